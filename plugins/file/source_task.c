/*
 * The file source's task: cuts lines from chunks that pool threads read, one chunk of a file at a
 * time. A line's offset is that of its first byte in the file; the batch ends after the last line's
 * end.
 */
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/slots.h"
#include "columns/raw.h"

#define CHUNK_BYTES (1 << 20)

/* One attached file. Outlives its detaching while a chunk is being read. */
struct reading {
    struct sl_task *task;
    const sl_stream *stream;
    struct source_file *file;
    sl_buffer text; /* read and not yet emitted; begins at file offset `at` */
    int64_t at;
    int64_t mtime_us;
    int busy;     /* a pool thread has the buffer */
    int detached; /* free it when the thread is done */
    int dry;      /* the last read met the end of the file */
    sl_error *error;
};

struct sl_task {
    sl_node *node;
    const sl_services *services;
    sl_object *self;
    sl_slots readings; /* by stream index */
    sl_raw_builder builder;
    sl_timer *timer; /* looks for new lines */
};

static void free_reading(struct reading *reading) {
    sl_buffer_free(&reading->text);
    source_file_free(reading->file);
    sl_error_free(reading->error);
    free(reading);
}

/* ---- reading, on pool threads ---- */

static void read_run(void *arg) {
    struct reading *reading = arg;
    struct source_file *file = reading->file;
    struct stat status;
    if (!sl_buffer_reserve(&reading->text, CHUNK_BYTES)) {
        reading->error = sl_error_no_memory();
        return;
    }
    size_t before = reading->text.bytes;
    ssize_t n = 0;
    do {
        n = pread(file->fd, reading->text.data + before, CHUNK_BYTES,
                  reading->at + (int64_t)before);
    } while (n < 0 && errno == EINTR);
    if (n < 0 || fstat(file->fd, &status) != 0) {
        reading->error = sl_error_new(SL_ERROR_FATAL, "cannot read %s at byte %lld: %s", file->path,
                                      (long long)(reading->at + (int64_t)before), strerror(errno));
        return;
    }
    if (status.st_size < reading->at + (int64_t)before) {
        reading->error = sl_error_new(
            SL_ERROR_FATAL, "%s was cut to %lld bytes while it was read at %lld", file->path,
            (long long)status.st_size, (long long)(reading->at + (int64_t)before));
        return;
    }
    reading->text.bytes += (size_t)n;
    reading->dry = n == 0;
    reading->mtime_us = status.st_mtim.tv_sec * INT64_C(1000000) + status.st_mtim.tv_nsec / 1000;
}

static void read_done(void *arg) {
    struct reading *reading = arg;
    reading->busy = 0;
    if (reading->detached) {
        free_reading(reading);
    } else {
        reading->task->services->wake(reading->task->self, reading->stream);
    }
}

static sl_error *start_read(struct reading *reading) {
    if (reading->busy) {
        return NULL;
    }
    reading->busy = 1;
    sl_error *error =
        reading->task->services->work(reading->task->self, read_run, read_done, reading);
    reading->busy = error == NULL;
    return error;
}

/* ---- lines ---- */

static bool append_line(struct reading *reading, const char *line, size_t bytes, int64_t offset) {
    if (bytes > 0 && line[bytes - 1] == '\r') {
        bytes--;
    }
    sl_raw_builder *builder = &reading->task->builder;
    return bytes == 0 || (sl_raw_append(builder, NULL, 0, line, bytes, reading->mtime_us, offset) &&
                          sl_raw_end_row(builder));
}

/* --until-end: the file ends where it ended when the run began. */
static size_t readable_bytes(const struct reading *reading) {
    int64_t left = reading->file->end - reading->at;
    bool bounded = reading->task->node->until_end && (int64_t)reading->text.bytes > left;
    return !bounded ? reading->text.bytes : left > 0 ? (size_t)left : 0;
}

/* Appends lines up to max_bytes; returns the bytes taken. */
static sl_error *take_lines(struct reading *reading, size_t max_bytes, size_t *taken) {
    const char *text = (const char *)reading->text.data;
    size_t bytes = readable_bytes(reading);
    bool last =
        reading->task->node->until_end && reading->at + (int64_t)bytes >= reading->file->end;
    *taken = 0;
    while (*taken < bytes && *taken < max_bytes) {
        const char *line = text + *taken;
        const char *end = memchr(line, '\n', bytes - *taken);
        if (end == NULL && !last) {
            break;
        }
        size_t length = end != NULL ? (size_t)(end - line) : bytes - *taken;
        if (!append_line(reading, line, length, reading->at + (int64_t)*taken)) {
            return sl_error_no_memory();
        }
        *taken += length + (end != NULL);
    }
    int64_t max_line = reading->task->node->config->max_line_bytes;
    if (*taken == 0 && (int64_t)bytes > max_line) {
        return sl_error_new(SL_ERROR_FATAL,
                            "%s: the line at byte %lld is longer than max_line, %lld bytes",
                            reading->file->path, (long long)reading->at, (long long)max_line);
    }
    return NULL;
}

static void drop_taken(struct reading *reading, size_t taken) {
    reading->at += (int64_t)taken;
    reading->text.bytes -= taken;
    if (reading->text.bytes > 0) {
        memmove(reading->text.data, reading->text.data + taken, reading->text.bytes);
    }
}

static sl_error *emit(struct reading *reading, int64_t first, uint32_t flags) {
    sl_task *task = reading->task;
    struct ArrowArray columns;
    int64_t rows = sl_raw_rows(&task->builder);
    sl_error *error = rows == 0 ? NULL : sl_builder_finish(&task->builder.root, &columns);
    if (error != NULL) {
        return error;
    }
    sl_emission emission = {
        .struct_bytes = sizeof(emission),
        .flags = flags,
        .stream = reading->stream,
        .first_offset = first,
        .next_offset = reading->at,
        .max_event_time_us = SL_EVENT_TIME_NONE,
        .columns = rows == 0 ? NULL : &columns,
    };
    return task->services->emit(task->self, 0, &emission);
}

static sl_error *task_poll(sl_task *task, const sl_stream *stream, size_t max_bytes,
                           sl_poll_state *state) {
    struct reading *reading = sl_slots_get(&task->readings, stream->index);
    *state = SL_POLL_EMPTY;
    if (reading->busy) {
        return NULL; /* read_done wakes */
    }
    if (reading->error != NULL) {
        sl_error *error = reading->error;
        reading->error = NULL;
        return error;
    }
    int64_t first = reading->at;
    size_t taken = 0;
    sl_error *error = take_lines(reading, max_bytes, &taken);
    if (error != NULL) {
        sl_builder_clear(&task->builder.root);
        return error;
    }
    drop_taken(reading, taken);
    bool ended = task->node->until_end && reading->at >= reading->file->end;
    bool at_end = ended || (reading->dry && taken == 0);
    if (taken > 0 || at_end) {
        error = emit(reading, first, at_end ? SL_BATCH_AT_END : 0);
    }
    if (error != NULL || ended) {
        *state = SL_POLL_ENDED;
        return error;
    }
    if (taken > 0) {
        *state = SL_POLL_MORE;
        return NULL;
    }
    if (!reading->dry) {
        return start_read(reading);
    }
    reading->dry = 0; /* the timer has it read again */
    return task->node->until_end
               ? sl_error_new(SL_ERROR_FATAL, "%s was cut to %lld bytes while it was read",
                              reading->file->path,
                              (long long)(reading->at + (int64_t)reading->text.bytes))
               : NULL;
}

/* ---- life ---- */

static void on_timer(void *arg) {
    sl_task *task = arg;
    for (size_t i = 0; i < task->readings.n; i++) {
        struct reading *reading = task->readings.items[i];
        if (reading == NULL || reading->busy) {
            continue;
        }
        sl_error *error = start_read(reading);
        if (error != NULL) {
            task->services->fail(task->self, error);
            return;
        }
    }
}

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        return sl_error_no_memory();
    }
    task->node = node;
    task->services = context->services;
    task->self = context->self;
    sl_error *error = sl_raw_builder_init(&task->builder);
    if (error == NULL && !node->until_end) {
        uint64_t every_ms = (uint64_t)node->config->scan_us / 1000;
        error = task->services->timer_start(task->self, every_ms, every_ms, on_timer, task,
                                            &task->timer);
    }
    if (error != NULL) {
        sl_raw_builder_free(&task->builder);
        free(task);
        return error;
    }
    *out = task;
    return NULL;
}

static sl_error *task_attach(sl_task *task, const sl_stream *stream, const sl_attach *how) {
    struct reading *reading = calloc(1, sizeof(*reading));
    if (reading == NULL || !sl_slots_set(&task->readings, stream->index, reading)) {
        free(reading);
        source_file_free(how->handle);
        return sl_error_no_memory();
    }
    reading->task = task;
    reading->stream = stream;
    reading->file = how->handle;
    reading->at = how->offset;
    return NULL;
}

static void task_detach(sl_task *task, const sl_stream *stream) {
    struct reading *reading = sl_slots_get(&task->readings, stream->index);
    if (reading != NULL) {
        sl_slots_set(&task->readings, stream->index, NULL);
        reading->detached = 1;
        if (!reading->busy) {
            free_reading(reading);
        }
    }
}

static void task_close(sl_task *task) {
    if (task->timer != NULL) {
        task->services->timer_stop(task->timer);
    }
    sl_raw_builder_free(&task->builder);
    sl_slots_free(&task->readings);
    free(task);
}

const sl_task_ops file_source_task_ops = {
    .struct_bytes = sizeof(sl_task_ops),
    .open = task_open,
    .attach = task_attach,
    .detach = task_detach,
    .poll = task_poll,
    .close = task_close,
};
