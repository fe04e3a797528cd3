/*
 * The task. Append: rows go into the encoder of their input; large files are uploaded while they
 * grow, a flush ends all of them and hands over what is durable. Upsert: batches are retained for
 * the node, since what replaces what is decided there.
 *
 * Files hold rows of all streams of the lane. When a stream is taken away with rows that are not
 * flushed, those files are useless: they are discarded, and the flush says so, so that the host
 * recovers the streams from their stored positions.
 */
#include "sink.h"

#include <stdlib.h>
#include <string.h>

/* Encoded bytes that are worth an upload before the flush. */
#define STREAM_BYTES ((size_t)8 << 20)

/* What became of a stream's rows. */
struct stream_note {
    uint32_t index;
    bool rows;     /* some are in files of the next flush */
    bool flushing; /* some are in files of the flush under way */
    bool lost;     /* some were discarded: they have to be read again */
};

struct sl_task {
    struct sl_node *node;
    const sl_services *services;
    sl_object *self;
    struct sink_gate gate;
    sl_delta_encoder **encoders; /* by input; NULL until it has rows */
    sl_delta_files stored;       /* files that are durable already, for the next piece */
    /* One upload at a time, over all encoders. */
    sl_delta_upload *upload;
    sl_delta_encoder *uploading; /* whose it is */
    sl_error *upload_error;      /* written by the worker, read when it is done */
    bool working;
    bool closed;                 /* while working: the work's end frees the task */
    struct stream_note *streams; /* attached ones that have had rows */
    size_t n_streams;
    size_t stream_capacity;
    struct sink_piece *kept; /* upsert: batches since the last flush */
    /* The flush under way. */
    sl_request *flush;
    bool retrying; /* the last one may pass later: the next call is the same flush again */
    void **piece_out;
    sl_error *failure; /* of an upload between flushes: the next flush tells */
};

static void kept_free(const sl_services *services, struct sink_kept *kept) {
    services->release(kept->batch);
    sink_passed_free(&kept->passed);
}

void sink_piece_free(const sl_services *services, struct sink_piece *piece) {
    if (piece == NULL) {
        return;
    }
    sl_delta_files_free(&piece->files);
    for (size_t i = 0; i < piece->n_batches; i++) {
        kept_free(services, &piece->batches[i]);
    }
    free(piece->batches);
    free(piece);
}

sl_delta_encoder_options sink_encoder_options(const struct sl_node *node,
                                              const struct ArrowSchema *schema) {
    const struct sink_config *config = node->config;
    return (sl_delta_encoder_options){
        .schema = schema,
        .partition_columns = (const char *const *)node->partitions,
        .n_partition_columns = node->n_partitions,
        .compression = sink_compressions[config->compression],
        .compression_level = (int)config->compression_level,
        .row_group_bytes = (size_t)config->row_group_bytes,
        .file_bytes = (size_t)config->file_bytes,
        .memory_bytes = (size_t)config->memory_bytes,
        .open_files = (size_t)config->open_files,
    };
}

/* ---- life ---- */

static void task_free(sl_task *task) {
    for (size_t i = 0; i < task->node->n_inputs; i++) {
        sl_delta_encoder_free(task->encoders[i]);
    }
    sink_piece_free(task->services, task->kept);
    sl_delta_files_free(&task->stored);
    sl_error_free(task->failure);
    sl_replayed_close(&task->gate.replayed);
    free(task->encoders);
    free(task->streams);
    free(task);
}

static void task_close(sl_task *task) {
    task->closed = true;
    if (!task->working) {
        if (task->upload != NULL) { /* one that was to be tried again */
            sl_error_free(sl_delta_upload_end(task->upload, task->uploading, &task->stored));
        }
        task_free(task);
    }
}

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    struct sl_task *task = calloc(1, sizeof(*task));
    sl_delta_encoder **encoders = calloc(node->n_inputs, sizeof(*encoders));
    sl_error *error = task == NULL || encoders == NULL
                          ? sl_error_no_memory()
                          : sl_replayed_open(&task->gate.replayed, node->n_inputs);
    if (error != NULL) {
        free(task);
        free(encoders);
        return error;
    }
    task->node = node;
    task->services = task->gate.services = context->services;
    task->self = task->gate.self = context->self;
    task->encoders = encoders;
    *out = task;
    return NULL;
}

static sl_error *task_attach(sl_task *task, const sl_stream *stream, const sl_attach *how) {
    return sl_replayed_attach(&task->gate.replayed, stream, how->input, how->position);
}

/* ---- streams with rows ---- */

static struct stream_note *find_note(const sl_task *task, const sl_stream *stream) {
    for (size_t i = 0; i < task->n_streams; i++) {
        if (task->streams[i].index == stream->index) {
            return &task->streams[i];
        }
    }
    return NULL;
}

static sl_error *note_stream(sl_task *task, const sl_stream *stream) {
    struct stream_note *note = find_note(task, stream);
    if (note != NULL) {
        note->rows = true;
        return NULL;
    }
    if (task->n_streams == task->stream_capacity) {
        size_t capacity = task->stream_capacity == 0 ? 16 : task->stream_capacity * 2;
        struct stream_note *streams = realloc(task->streams, capacity * sizeof(*streams));
        if (streams == NULL) {
            return sl_error_no_memory();
        }
        task->streams = streams;
        task->stream_capacity = capacity;
    }
    task->streams[task->n_streams++] = (struct stream_note){.index = stream->index, .rows = true};
    return NULL;
}

static void tell_memory(const sl_task *task) {
    size_t bytes = 0;
    for (size_t i = 0; i < task->node->n_inputs; i++) {
        if (task->encoders[i] != NULL) {
            bytes += sl_delta_encoder_memory_bytes(task->encoders[i]);
        }
    }
    task->services->hold(task->self, bytes);
}

/* Discards all that is not handed over: the streams that have rows there have lost them. */
static void forget_rows(sl_task *task) {
    for (size_t i = 0; i < task->node->n_inputs; i++) {
        if (task->encoders[i] != NULL) {
            sl_delta_encoder_discard(task->encoders[i]);
        }
    }
    sl_delta_files_free(&task->stored);
    for (size_t i = 0; i < task->n_streams; i++) {
        struct stream_note *note = &task->streams[i];
        note->lost = note->lost || note->rows || note->flushing;
        note->rows = note->flushing = false;
    }
    tell_memory(task);
}

/* Batches of a stream leave the piece; those of others stay in their order. */
static void forget_batches(const sl_task *task, const sl_stream *stream) {
    struct sink_piece *piece = task->kept;
    size_t kept = 0;
    for (size_t i = 0; i < piece->n_batches; i++) {
        if (piece->batches[i].batch->stream->index == stream->index) {
            kept_free(task->services, &piece->batches[i]);
        } else {
            piece->batches[kept++] = piece->batches[i];
        }
    }
    piece->n_batches = kept;
}

static void task_detach(sl_task *task, const sl_stream *stream) {
    sl_replayed_detach(&task->gate.replayed, stream);
    if (task->kept != NULL) {
        forget_batches(task, stream);
    }
    struct stream_note *note = find_note(task, stream);
    if (note == NULL) {
        return;
    }
    if (note->rows || note->flushing) {
        forget_rows(task);
    }
    *note = task->streams[--task->n_streams];
}

/* ---- uploads ---- */

static void upload_run(void *arg) {
    sl_task *task = arg;
    task->upload_error = sl_delta_upload_run(task->upload, task->node->store);
}

static void go_on(sl_task *task);

static void upload_done(void *arg) {
    sl_task *task = arg;
    sl_error *error = task->upload_error;
    task->upload_error = NULL;
    task->working = false;
    sl_node *node = task->node;
    if (task->closed) {
        sl_error_free(error);
        task_close(task);
        sink_release(node);
        return;
    }
    sink_release(node);
    if (!sl_error_is(error, SL_ERROR_RETRIABLE)) { /* else kept, for another try */
        sl_error *ended = sl_delta_upload_end(task->upload, task->uploading, &task->stored);
        task->upload = NULL;
        task->uploading = NULL;
        if (error == NULL) {
            error = ended;
        } else {
            sl_error_free(ended);
        }
    }
    if (error != NULL && !sl_error_is(error, SL_ERROR_RETRIABLE)) {
        forget_rows(task); /* some of them are lost: none may be handed over */
    }
    if (error != NULL && task->failure == NULL) {
        task->failure = error;
    } else {
        sl_error_free(error);
    }
    tell_memory(task);
    go_on(task);
}

static sl_error *work(sl_task *task) {
    atomic_fetch_add(&task->node->users, 1);
    sl_error *error = task->services->work(task->self, upload_run, upload_done, task);
    task->working = error == NULL;
    if (error != NULL) {
        sink_release(task->node);
    }
    return error;
}

/* Starts an upload when an encoder has something for one: in a flush the files that it ended, else
 * what is large enough. */
static sl_error *start_upload(sl_task *task) {
    for (size_t i = 0; i < task->node->n_inputs && task->upload == NULL; i++) {
        sl_delta_encoder *encoder = task->encoders[i];
        if (encoder == NULL ||
            (task->flush != NULL ? !sl_delta_encoder_has_ended(encoder)
                                 : sl_delta_encoder_ready_bytes(encoder) < STREAM_BYTES)) {
            continue;
        }
        sl_error *error = sl_delta_encoder_take(encoder, &task->upload);
        if (error != NULL) {
            return error;
        }
        task->uploading = encoder;
    }
    return task->upload == NULL ? NULL : work(task);
}

/* ---- taking rows ---- */

static sl_error *encode(sl_task *task, uint32_t input, const sl_stream *stream,
                        const struct ArrowArray *rows) {
    sl_delta_encoder **encoder = &task->encoders[input];
    sl_error *error = NULL;
    if (*encoder == NULL) {
        sl_delta_encoder_options options =
            sink_encoder_options(task->node, task->node->inputs[input].schema);
        error = sl_delta_encoder_new(&options, encoder);
    }
    error = error ? error : note_stream(task, stream);
    error = error ? error : sl_delta_encoder_append(*encoder, rows, 0, rows->length);
    /* before a retry, a file of the next flush must not come to those of this one */
    if (error == NULL && !task->working && task->flush == NULL && !task->retrying &&
        task->failure == NULL) {
        error = start_upload(task);
    }
    tell_memory(task);
    return error;
}

/* Takes what has passed, also when it fails. */
static sl_error *keep_batch(sl_task *task, const sl_batch *batch, struct sink_passed *passed) {
    if (task->kept == NULL) {
        task->kept = calloc(1, sizeof(*task->kept));
    }
    struct sink_piece *piece = task->kept;
    if (piece != NULL && piece->n_batches == piece->capacity) {
        size_t capacity = piece->capacity == 0 ? 16 : piece->capacity * 2;
        struct sink_kept *batches = realloc(piece->batches, capacity * sizeof(*batches));
        if (batches != NULL) {
            piece->batches = batches;
            piece->capacity = capacity;
        }
    }
    if (piece == NULL || piece->n_batches == piece->capacity) {
        sink_passed_free(passed);
        return sl_error_no_memory();
    }
    task->services->retain(batch);
    struct sink_kept *kept = &piece->batches[piece->n_batches++];
    *kept = (struct sink_kept){batch, *passed};
    return NULL;
}

/* The batch's rows that are to be written, or to be kept for the node. */
static sl_error *take(sl_task *task, uint32_t input, const sl_batch *batch,
                      struct sink_passed *passed) {
    if (passed->rows == NULL) {
        return NULL;
    }
    if (task->node->way != WAY_APPEND) {
        return keep_batch(task, batch, passed);
    }
    sl_error *error =
        passed->rows->length == 0 ? NULL : encode(task, input, batch->stream, passed->rows);
    sink_passed_free(passed);
    return error;
}

sl_error *sink_process(sl_task *task, uint32_t input, const sl_batch *batch, const sl_batch *came) {
    const struct sl_node *node = task->node;
    bool final = (batch->flags & SL_BATCH_UPDATES) == 0;
    if (batch->rows == 0 || (node->way == WAY_APPEND && !final)) {
        return NULL;
    }
    const struct sink_look look = {
        .rules = {.schema = node->inputs[input].schema,
                  .partition_columns = (const char *const *)node->partitions,
                  .n_partition_columns = node->n_partitions},
        .delete_column = node->way == WAY_REPLACE ? node->delete_column : -1,
        .rows = batch->columns,
    };
    struct sink_passed passed;
    sl_error *error = sink_gate_pass(&task->gate, input, came, &look, &passed);
    return error ? error : take(task, input, batch, &passed);
}

static sl_error *task_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    return sink_process(task, input, batch, batch);
}

/* ---- flushing ---- */

static void end_flush(sl_task *task, sl_error *error) {
    sl_request *request = task->flush;
    task->flush = NULL;
    task->retrying = sl_error_is(error, SL_ERROR_RETRIABLE);
    if (!task->retrying) {
        for (size_t i = 0; i < task->n_streams; i++) {
            task->streams[i].flushing = false;
        }
    }
    task->services->done(request, error);
}

/* Until the host has taken such a stream away to read it again, no flush succeeds. */
static bool has_lost(const sl_task *task) {
    for (size_t i = 0; i < task->n_streams; i++) {
        if (task->streams[i].lost) {
            return true;
        }
    }
    return false;
}

static sl_error *lost_error(void) {
    return sl_error_new(
        SL_ERROR_CONFLICT,
        "rows of several streams were discarded, because one of them was taken away "
        "or a file of theirs was lost: they have to be read again from the stored "
        "positions");
}

static sl_error *hand_over(sl_task *task) {
    if (task->stored.n == 0) {
        return NULL;
    }
    struct sink_piece *piece = calloc(1, sizeof(*piece));
    if (piece == NULL) {
        return sl_error_no_memory();
    }
    piece->files = task->stored;
    task->stored = (sl_delta_files){0};
    *task->piece_out = piece;
    return NULL;
}

/* Ends the files of the flush, at its very beginning: what is appended from now on, also while an
 * earlier upload is still under way, goes into files of the next one. */
static sl_error *end_files(sl_task *task) {
    for (size_t i = 0; i < task->node->n_inputs; i++) {
        sl_error *error =
            task->encoders[i] == NULL ? NULL : sl_delta_encoder_end_files(task->encoders[i]);
        if (error != NULL) {
            return error;
        }
    }
    for (size_t i = 0; i < task->n_streams; i++) {
        struct stream_note *note = &task->streams[i];
        note->flushing = note->flushing || note->rows;
        note->rows = false;
    }
    return NULL;
}

/* Takes a flush one step further, after its beginning and after each upload. */
static void go_on(sl_task *task) {
    if (task->flush == NULL || task->working) {
        return;
    }
    sl_error *error = task->failure;
    task->failure = NULL;
    if (error == NULL && has_lost(task)) {
        error = lost_error();
    }
    if (error == NULL && task->upload != NULL) {
        error = work(task); /* one that has to be tried again */
    } else if (error == NULL) {
        error = start_upload(task);
    }
    if (error == NULL && task->working) {
        return;
    }
    end_flush(task, error ? error : hand_over(task));
}

static void task_flush(sl_task *task, void **piece, sl_request *request) {
    task->flush = request;
    task->piece_out = piece;
    if (task->node->way == WAY_APPEND) {
        sl_error *error = task->retrying ? NULL : end_files(task);
        if (task->failure == NULL) {
            task->failure = error;
        } else {
            sl_error_free(error);
        }
        go_on(task);
        return;
    }
    if (task->kept != NULL && task->kept->n_batches > 0) {
        *piece = task->kept;
        task->kept = NULL;
    }
    end_flush(task, NULL);
}

const sl_task_ops sink_task_ops = {
    .struct_bytes = sizeof(sl_task_ops),
    .open = task_open,
    .attach = task_attach,
    .detach = task_detach,
    .process = task_process,
    .flush = task_flush,
    .close = task_close,
};
