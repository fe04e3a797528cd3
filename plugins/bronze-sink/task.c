/* The task: widens each batch and passes it on to the inner sink's task. */
#include "bronze.h"
#include "widen.h"

#include <stdlib.h>

struct bronze_task {
    struct bronze_node *node;
    const sl_services *services;
    sl_object *self;
    sl_task *inside;
    struct widen widen;
};

static struct bronze_task *outer(sl_task *task) {
    return (struct bronze_task *)(void *)task;
}

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    struct bronze_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        return sl_error_no_memory();
    }
    task->node = (struct bronze_node *)(void *)node;
    task->services = context->services;
    task->self = context->self;
    const struct bronze_inner *inner = task->node->inner;
    widen_init(&task->widen, task->node->config->partition_by, inner->ingest_time);
    sl_error *error = inner->task->open(task->node->inside, context, &task->inside);
    if (error != NULL) {
        free(task);
        return error;
    }
    *out = (sl_task *)(void *)task;
    return NULL;
}

static sl_error *task_attach(sl_task *task, const sl_stream *stream, const sl_attach *how) {
    const struct bronze_task *bronze = outer(task);
    return bronze->node->inner->task->attach(bronze->inside, stream, how);
}

static void task_detach(sl_task *task, const sl_stream *stream) {
    struct bronze_task *bronze = outer(task);
    bronze->widen.stream = UINT32_MAX; /* its index may come again for another topic */
    if (bronze->node->inner->task->detach != NULL) {
        bronze->node->inner->task->detach(bronze->inside, stream);
    }
}

static sl_error *task_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    struct bronze_task *bronze = outer(task);
    sl_batch widened = *batch;
    if (batch->rows > 0) {
        int64_t now_us = bronze->services->now_us(bronze->self);
        sl_error *error = widen_batch(&bronze->widen, batch, now_us);
        if (error != NULL) {
            return error;
        }
        widened.columns = &bronze->widen.columns;
    }
    widened.struct_bytes = sizeof(widened);
    widened.schema = &bronze->node->schema;
    return bronze->node->inner->process(bronze->inside, input, &widened, batch);
}

static void task_flush(sl_task *task, void **piece, sl_request *request) {
    const struct bronze_task *bronze = outer(task);
    bronze->node->inner->task->flush(bronze->inside, piece, request);
}

static void task_close(sl_task *task) {
    struct bronze_task *bronze = outer(task);
    bronze->node->inner->task->close(bronze->inside);
    widen_free(&bronze->widen);
    free(bronze);
}

const sl_task_ops bronze_task_ops = {
    .struct_bytes = sizeof(sl_task_ops),
    .open = task_open,
    .attach = task_attach,
    .detach = task_detach,
    .process = task_process,
    .flush = task_flush,
    .close = task_close,
};
