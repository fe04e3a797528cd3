/* A lane's part: rows become JSON until as many wait as one POST may hold; then the task says "not
 * now" until they are handed over. */
#include "powerbi.h"

#include <stdio.h>
#include <stdlib.h>

#include "columns/rejects.h"

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        return sl_error_no_memory();
    }
    task->node = node;
    task->services = context->services;
    task->self = context->self;
    sl_error *error = sl_replayed_open(&task->replayed, 1);
    if (error == NULL && node->config->coalesce != 0) {
        task->newest = powerbi_coalesced_new();
        error = task->newest == NULL ? sl_error_no_memory() : NULL;
    }
    if (error != NULL) {
        sl_replayed_close(&task->replayed);
        free(task);
        return error;
    }
    *out = task;
    return NULL;
}

static sl_error *task_attach(sl_task *task, const sl_stream *stream, const sl_attach *how) {
    return sl_replayed_attach(&task->replayed, stream, how->input, how->position);
}

static void task_detach(sl_task *task, const sl_stream *stream) {
    sl_replayed_detach(&task->replayed, stream);
}

static sl_error *reject(sl_task *task, const sl_batch *batch, int64_t row,
                        const struct powerbi_fault *fault) {
    char path[160];
    snprintf(path, sizeof(path), "$.%.150s", fault->column);
    const sl_reject why = sl_reject_of(fault->reason, path, fault->detail);
    return task->services->reject(task->self, batch, row, &why);
}

static bool append_key(const sl_task *task, const sl_batch *batch, int64_t row, sl_buffer *key) {
    const sl_list *names = &task->node->key;
    for (size_t i = 0; i < names->count; i++) {
        int64_t column = sl_schema_find(batch->schema, names->items[i]);
        if (!sl_array_append_json(batch->schema->children[column], batch->columns->children[column],
                                  row, key) ||
            !sl_buffer_append_byte(key, ',')) {
            return false;
        }
    }
    return true;
}

static bool take_row(sl_task *task, const sl_batch *batch, int64_t row, sl_buffer *json,
                     sl_buffer *key) {
    sl_buffer_clear(json);
    sl_buffer_clear(key);
    int64_t added = 1;
    if (!sl_array_append_json(batch->schema, batch->columns, row, json)) {
        return false;
    }
    if (task->newest != NULL) {
        if (!append_key(task, batch, row, key) ||
            !powerbi_coalesced_put(task->newest, key, json, &task->bytes, &added)) {
            return false;
        }
    } else {
        if (!powerbi_rows_append(&task->first, &task->last, json->data, json->bytes)) {
            return false;
        }
        task->bytes += json->bytes + 1;
    }
    task->rows += added;
    return true;
}

static sl_error *task_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    bool posted = sl_replayed_has(&task->replayed, input, batch);
    sl_buffer json = SL_BUFFER_INIT;
    sl_buffer key = SL_BUFFER_INIT;
    sl_error *error = NULL;
    for (int64_t row = 0; row < batch->rows && error == NULL; row++) {
        struct powerbi_fault fault;
        if (powerbi_row_is_at_fault(batch->schema, batch->columns, row, &fault)) {
            error = reject(task, batch, row, &fault);
        } else if (!posted && !take_row(task, batch, row, &json, &key)) {
            error = sl_error_no_memory();
        }
    }
    sl_buffer_free(&json);
    sl_buffer_free(&key);
    task->services->hold(task->self, task->bytes);
    if (task->rows >= POWERBI_POST_ROWS && task->newest == NULL && !task->paused) {
        task->paused = true;
        task->services->pause(task->self, 1);
    }
    return error;
}

static void task_flush(sl_task *task, void **piece, sl_request *request) {
    if (task->newest != NULL && !powerbi_coalesced_take(task->newest, &task->first, &task->last)) {
        task->services->done(request, sl_error_no_memory());
        return;
    }
    *piece = task->first;
    task->first = task->last = NULL;
    task->rows = 0;
    task->bytes = 0;
    task->services->hold(task->self, 0);
    if (task->paused) {
        task->paused = false;
        task->services->pause(task->self, 0);
    }
    task->services->done(request, NULL);
}

static void task_close(sl_task *task) {
    powerbi_rows_free(task->first);
    powerbi_coalesced_free(task->newest);
    sl_replayed_close(&task->replayed);
    free(task);
}

const sl_task_ops powerbi_task_ops = {
    .struct_bytes = sizeof(sl_task_ops),
    .open = task_open,
    .attach = task_attach,
    .detach = task_detach,
    .process = task_process,
    .flush = task_flush,
    .close = task_close,
};
