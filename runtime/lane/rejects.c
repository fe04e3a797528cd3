/*
 * Rejected records of one task. Rows for the output are built while process runs and leave in one
 * batch behind it, so that a batch that is tried again rejects its records once.
 */
#include "lane/rejects.h"

#include "host/run.h"
#include "lane/lane.h"

#include <stdlib.h>

#include "columns/raw.h"
#include "columns/rejects.h"

/* Of each lane's task: so many lines a second with errors.log.enable; without it, where records are
 * lost, one line for all of so long. */
enum { LINES_A_SECOND = 20, LOST_LINE_S = 60, SHOWN_BYTES = 1024 };

struct rejects {
    uint32_t output; /* where they leave, if somebody reads it; or TOPOLOGY_NO_OUTPUT */
    sl_builder rows;
    int64_t rejected; /* of the batch in hand */
    int64_t lost;     /* of these */
    sl_buffer line;
    int64_t window_us; /* when the present second, or minute, of the log began */
    int64_t lines;     /* logged in it */
    int64_t unlogged;
};

static sl_error *rejects_new(struct lane_task *task) {
    const struct host_node *node = task->object.node;
    struct rejects *rejects = calloc(1, sizeof(*rejects));
    if (rejects == NULL) {
        return sl_error_no_memory();
    }
    uint32_t output = topology_rejects_output(node->spec);
    size_t bytes;
    rejects->output = TOPOLOGY_NO_OUTPUT;
    if (output != TOPOLOGY_NO_OUTPUT &&
        sl_rejects_of(&node->opened->outputs[output], &bytes) != NULL) {
        sl_error *error = sl_builder_init(&rejects->rows, &node->opened->outputs[output]);
        if (error != NULL) {
            free(rejects);
            return error;
        }
        rejects->output = output;
    }
    task->rejects = rejects;
    return NULL;
}

/* A reload may give them a reader, and take it. */
static bool leave(const struct lane_task *task) {
    const struct rejects *rejects = task->rejects;
    return rejects->output != TOPOLOGY_NO_OUTPUT &&
           task->object.node->n_routes[rejects->output] > 0;
}

void rejects_free(struct rejects *rejects) {
    if (rejects != NULL) {
        if (rejects->output != TOPOLOGY_NO_OUTPUT) {
            sl_builder_free(&rejects->rows);
        }
        sl_buffer_free(&rejects->line);
        free(rejects);
    }
}

/* ---- saying it ---- */

/* "events partition 0 offset 7: $.id: type: found 7, allowed type: string" */
static void describe(const sl_batch *batch, int64_t row, const sl_reject *why, sl_buffer *out) {
    (void)sl_buffer_printf(out, "%s partition %d offset %lld: %.*s: %.*s: %.*s",
                           batch->stream->topic, (int)batch->stream->partition,
                           (long long)sl_rejects_offset(batch, row), (int)why->path_bytes,
                           why->path, (int)why->reason_bytes, why->reason, (int)why->detail_bytes,
                           why->detail);
}

/* Bytes as text: what is not printable ASCII as \xNN. */
static void show_bytes(const struct ArrowArray *column, int64_t row, const char *label,
                       sl_buffer *out) {
    if (sl_array_is_null(column, row)) {
        (void)sl_buffer_printf(out, "; %s null", label);
        return;
    }
    const int32_t *at = (const int32_t *)column->buffers[1] + row;
    const uint8_t *bytes = (const uint8_t *)column->buffers[2] + at[0];
    int32_t n = at[1] - at[0];
    (void)sl_buffer_printf(out, "; %s \"", label);
    for (int32_t i = 0; i < n && i < SHOWN_BYTES; i++) {
        bool plain = bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '\\';
        (void)(plain ? sl_buffer_append_byte(out, bytes[i])
                     : sl_buffer_printf(out, "\\x%02x", bytes[i]));
    }
    (void)sl_buffer_append_text(out, n > SHOWN_BYTES ? "\"..." : "\"");
}

static void show_message(const sl_batch *batch, int64_t row, sl_buffer *out) {
    if (sl_raw_is(batch->schema)) {
        show_bytes(batch->columns->children[SL_RAW_KEY], row, "key", out);
        show_bytes(batch->columns->children[SL_RAW_VALUE], row, "value", out);
        return;
    }
    (void)sl_buffer_append_text(out, "; row ");
    (void)sl_array_append_json(batch->schema, batch->columns, row, out);
}

/* Whether the log takes one more line now. */
static bool may_log(struct rejects *rejects, const struct topology_node *spec) {
    int64_t now = sl_monotonic_us();
    int64_t window_us = INT64_C(1000000) * (spec->errors_log ? 1 : LOST_LINE_S);
    if (rejects->window_us == 0 || now - rejects->window_us >= window_us) {
        rejects->window_us = now;
        rejects->lines = 0;
    }
    return rejects->lines++ < (spec->errors_log ? LINES_A_SECOND : 1);
}

/* Rejected records are logged when that is asked for, lost ones always. */
static void log_reject(struct lane_task *task, const sl_batch *batch, int64_t row,
                       const sl_reject *why) {
    struct rejects *rejects = task->rejects;
    const struct topology_node *spec = task->object.node->spec;
    bool lost = !leave(task);
    if ((!spec->errors_log && !lost) || batch->stream->reader != 0) {
        return; /* not asked for, or said when the stream itself passed */
    }
    if (!may_log(rejects, spec)) {
        rejects->unlogged++;
        return;
    }
    sl_buffer_clear(&rejects->line);
    (void)sl_buffer_append_text(&rejects->line,
                                lost ? "record rejected and lost: " : "record rejected: ");
    describe(batch, row, why, &rejects->line);
    if (spec->errors_log_messages) {
        show_message(batch, row, &rejects->line);
    }
    if (rejects->unlogged > 0) {
        (void)sl_buffer_printf(&rejects->line, " (and %lld before it that are not logged)",
                               (long long)rejects->unlogged);
    }
    const char *line = sl_buffer_text(&rejects->line);
    if (line != NULL) {
        host_log(task->object.host, SL_LOG_WARN, spec->name, "%s", line);
        rejects->unlogged = 0;
    }
}

/* ---- counting ---- */

/* By reason; when there are too many reasons, the last place counts what is left. */
static void count(struct lane_task *task, const sl_reject *why) {
    size_t n = atomic_load_explicit(&task->n_rejected, memory_order_relaxed);
    const char *reason = why->reason_bytes > 0 ? why->reason : "unknown";
    size_t bytes = why->reason_bytes > 0 ? why->reason_bytes : strlen(reason);
    const size_t most = sizeof(task->rejected[0].reason) - 1;
    bytes = bytes < most ? bytes : most;
    size_t i = 0;
    while (i < n && i < REJECTED_REASONS_MAX - 1 &&
           (strncmp(task->rejected[i].reason, reason, bytes) != 0 ||
            task->rejected[i].reason[bytes] != 0)) {
        i++;
    }
    if (i == n) {
        bool last = i == REJECTED_REASONS_MAX - 1;
        memcpy(task->rejected[i].reason, last ? "other" : reason, last ? sizeof("other") : bytes);
        atomic_store_explicit(&task->n_rejected, n + 1, memory_order_release);
    }
    atomic_fetch_add_explicit(&task->rejected[i].rows, 1, memory_order_relaxed);
}

/* ---- doing it ---- */

static sl_error *refuse(const sl_batch *batch, int64_t row, const sl_reject *why) {
    sl_buffer text = SL_BUFFER_INIT;
    describe(batch, row, why, &text);
    const char *place = sl_buffer_text(&text);
    sl_error *error =
        place == NULL
            ? sl_error_no_memory()
            : sl_error_new(SL_ERROR_RECORD,
                           "%s; \"errors.tolerance\" is \"none\", so the node stops here: mend the "
                           "record's producer and the configuration, or set \"all\"",
                           place);
    sl_buffer_free(&text);
    return error;
}

sl_error *rejects_add(struct lane_task *task, const sl_batch *batch, int64_t row,
                      const sl_reject *why) {
    if (task->object.node->spec->tolerance == TOPOLOGY_TOLERATE_NONE) {
        task->refused = true;
        return refuse(batch, row, why);
    }
    sl_error *error = task->rejects == NULL ? rejects_new(task) : NULL;
    if (error != NULL) {
        return error;
    }
    struct rejects *rejects = task->rejects;
    rejects->rejected++;
    log_reject(task, batch, row, why);
    if (batch->stream->reader == 0) {
        count(task, why);
    }
    if (leave(task)) {
        return sl_rejects_append(&rejects->rows, batch, row, why) ? NULL : sl_error_no_memory();
    }
    rejects->lost++;
    return task->current == NULL ? rejects_settle(task, batch) : NULL;
}

sl_error *rejects_settle(struct lane_task *task, const sl_batch *batch) {
    struct rejects *rejects = task->rejects;
    if (rejects == NULL) {
        return NULL;
    }
    if (rejects->lost > 0) {
        task_dropped(task, batch->stream, "rejected and lost", rejects->lost);
        rejects->lost = 0;
    }
    if (rejects->output == TOPOLOGY_NO_OUTPUT || rejects->rows.length == 0) {
        return NULL;
    }
    struct ArrowArray columns;
    sl_error *error = sl_builder_finish(&rejects->rows, &columns);
    if (error != NULL) {
        return error;
    }
    sl_emission emission = {.struct_bytes = sizeof(emission),
                            .flags = batch->flags & SL_BATCH_AT_END,
                            .stream = batch->stream,
                            .first_offset = batch->first_offset,
                            .next_offset = batch->next_offset,
                            .max_event_time_us = SL_EVENT_TIME_NONE,
                            .columns = &columns};
    return task_emit(task, rejects->output, &emission);
}

int64_t rejects_since(struct lane_task *task) {
    int64_t rejected = task->rejects == NULL ? 0 : task->rejects->rejected;
    if (rejected > 0) {
        task->rejects->rejected = 0;
    }
    return rejected;
}

void rejects_forget(struct lane_task *task) {
    struct rejects *rejects = task->rejects;
    if (rejects == NULL) {
        return;
    }
    rejects->rejected = 0;
    rejects->lost = 0;
    if (rejects->output != TOPOLOGY_NO_OUTPUT) {
        sl_builder_clear(&rejects->rows);
    }
}
