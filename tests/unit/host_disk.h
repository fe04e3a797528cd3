/*
 * What the plugins of tests of the host keep where a durable system would: positions, which outlive
 * a run. And the batches of raw rows that their sources make.
 */
#ifndef TESTS_HOST_DISK_H
#define TESTS_HOST_DISK_H

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "columns/columns.h"
#include "columns/raw.h"
#include "sluice/plugin.h"

enum { KEYS_MAX = 4096, KEY_BYTES = 160 };

static const sl_services *services; /* of the nodes' contexts */

static pthread_mutex_t disk_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    struct {
        char key[KEY_BYTES];
        int64_t offset;
    } at[KEYS_MAX];
    size_t n;
} disk_positions;

/* The caller holds the lock, or no node runs. */
static int64_t *stored(const char *key) {
    for (size_t i = 0; i < disk_positions.n; i++) {
        if (strcmp(disk_positions.at[i].key, key) == 0) {
            return &disk_positions.at[i].offset;
        }
    }
    ck_assert_uint_lt(disk_positions.n, KEYS_MAX);
    ck_assert_uint_lt(strlen(key), KEY_BYTES);
    strcpy(disk_positions.at[disk_positions.n].key, key);
    disk_positions.at[disk_positions.n].offset = SL_OFFSET_NONE;
    return &disk_positions.at[disk_positions.n++].offset;
}

static void recover_positions(sl_position *of, size_t n) {
    pthread_mutex_lock(&disk_lock);
    for (size_t i = 0; i < n; i++) {
        of[i].from = *stored(of[i].key);
    }
    pthread_mutex_unlock(&disk_lock);
}

/* All or, with CONFLICT, none. The caller holds the lock. */
static sl_error *move_positions(const sl_commit *commit) {
    for (size_t i = 0; i < commit->n_positions; i++) {
        if (*stored(commit->positions[i].key) != commit->positions[i].from) {
            return services->error_new(SL_ERROR_CONFLICT, "position moved");
        }
    }
    for (size_t i = 0; i < commit->n_positions; i++) {
        *stored(commit->positions[i].key) = commit->positions[i].to;
    }
    return NULL;
}

/* Emits n raw rows from offset `first` on; the value of row i is the eight bytes of ids[i]. */
static sl_error *emit_rows(sl_object *self, const sl_stream *stream, int64_t first, int64_t n,
                           const int64_t *ids) {
    struct ArrowArray columns;
    struct ArrowSchema schema;
    sl_builder builder;
    ck_assert_ptr_null(sl_raw_schema(&schema));
    ck_assert_ptr_null(sl_builder_init(&builder, &schema));
    for (int64_t i = 0; i < n; i++) {
        sl_builder_append_null(&builder.children[SL_RAW_KEY]);
        sl_builder_append_bytes(&builder.children[SL_RAW_VALUE], &ids[i], sizeof(ids[i]));
        sl_builder_append_i64(&builder.children[SL_RAW_TIMESTAMP], first + i);
        sl_builder_append_null(&builder.children[SL_RAW_HEADERS]);
        sl_builder_append_i64(&builder.children[SL_RAW_OFFSET], first + i);
        sl_builder_append_struct(&builder);
    }
    ck_assert_ptr_null(sl_builder_finish(&builder, &columns));
    sl_builder_free(&builder);
    schema.release(&schema);
    sl_emission emission = {.struct_bytes = sizeof(emission),
                            .stream = stream,
                            .first_offset = first,
                            .next_offset = first + n,
                            .max_event_time_us = SL_EVENT_TIME_NONE,
                            .columns = &columns};
    return services->emit(self, 0, &emission);
}

/* Emits row i of the batch to outputs[i], which is 0 or 1. Nothing is emitted for an output without
 * rows: the host must cover it. */
static sl_error *emit_split(sl_object *self, const sl_batch *batch, const uint8_t *outputs) {
    sl_error *error = NULL;
    for (uint32_t output = 0; output < 2 && error == NULL; output++) {
        struct ArrowArray columns;
        int32_t *rows = malloc(sizeof(int32_t) * (size_t)(batch->rows + 1));
        int64_t n = 0;
        for (int64_t i = 0; i < batch->rows; i++) {
            if (outputs[i] == output) {
                rows[n++] = (int32_t)i;
            }
        }
        if (n > 0) {
            ck_assert_ptr_null(sl_array_take(batch->schema, batch->columns, rows, n, &columns));
            sl_emission emission = {.struct_bytes = sizeof(emission),
                                    .stream = batch->stream,
                                    .first_offset = batch->first_offset,
                                    .next_offset = batch->next_offset,
                                    .max_event_time_us = SL_EVENT_TIME_NONE,
                                    .columns = &columns};
            error = services->emit(self, output, &emission);
        }
        free(rows);
    }
    return error;
}

#endif
