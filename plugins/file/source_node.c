/*
 * The file source's node: looks for files that match the pattern, now and every `scan`, and opens
 * each for the lane that reads it. Looking and opening happen on pool threads.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "columns/raw.h"

void source_file_free(struct source_file *file) {
    if (file->fd >= 0) {
        close(file->fd);
    }
    free(file->path);
    free(file);
}

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    sl_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return sl_error_no_memory();
    }
    node->services = context->services;
    node->self = context->self;
    node->config = context->config;
    node->until_end = (context->flags & SL_RUN_UNTIL_END) != 0;
    *out = node;
    return NULL;
}

static sl_error *node_output_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    (void)node;
    (void)output;
    return sl_raw_schema(out);
}

/* ---- looking for files ---- */

struct scan {
    sl_node *node;
    sl_request *request; /* of start; NULL later */
    glob_t found;
    int code;
};

static bool is_known(const sl_node *node, const char *path) {
    for (size_t i = 0; i < node->n_files; i++) {
        if (strcmp(node->files[i], path) == 0) {
            return true;
        }
    }
    return false;
}

static sl_error *offer(sl_node *node, const char *path) {
    char **grown = realloc((void *)node->files, (node->n_files + 1) * sizeof(*grown));
    node->files = grown != NULL ? grown : node->files;
    char *copy = strdup(path);
    if (grown == NULL || copy == NULL) {
        free(copy);
        return sl_error_no_memory();
    }
    node->files[node->n_files++] = copy;
    sl_stream_name name = {.topic = copy, .partition = 0};
    node->services->assign(node->self, &name, 1);
    return NULL;
}

static void scan_run(void *arg) {
    struct scan *scan = arg;
    scan->code = glob(scan->node->config->path, GLOB_MARK, NULL, &scan->found);
}

static sl_error *take_found(struct scan *scan) {
    sl_node *node = scan->node;
    if (scan->code == GLOB_NOSPACE) {
        return sl_error_no_memory();
    }
    sl_error *error = NULL;
    for (size_t i = 0; scan->code == 0 && i < scan->found.gl_pathc && error == NULL; i++) {
        const char *path = scan->found.gl_pathv[i];
        if (path[strlen(path) - 1] != '/' && !is_known(node, path)) {
            error = offer(node, path);
        }
    }
    if (error == NULL && node->until_end && node->n_files == 0) {
        error = sl_error_new(SL_ERROR_CONFIG, "no file matches %s", node->config->path);
    }
    return error;
}

static void start_scan(sl_node *node, sl_request *request);

static void on_timer(void *arg) {
    sl_node *node = arg;
    if (!node->scanning) {
        start_scan(node, NULL);
    }
}

static void scan_done(void *arg) {
    struct scan *scan = arg;
    sl_node *node = scan->node;
    sl_request *request = scan->request;
    sl_error *error = take_found(scan);
    if (scan->code == 0) {
        globfree(&scan->found);
    }
    free(scan);
    node->scanning = 0;
    if (error == NULL && node->until_end) {
        node->services->all_assigned(node->self);
    }
    if (request == NULL) {
        if (error != NULL) {
            node->services->fail(node->self, error);
        }
        return;
    }
    if (error == NULL && !node->until_end) {
        uint64_t every_ms = (uint64_t)node->config->scan_us / 1000;
        error = node->services->timer_start(node->self, every_ms, every_ms, on_timer, node,
                                            &node->timer);
    }
    node->services->done(request, error);
}

static void start_scan(sl_node *node, sl_request *request) {
    struct scan *scan = calloc(1, sizeof(*scan));
    sl_error *error = scan == NULL ? sl_error_no_memory() : NULL;
    if (error == NULL) {
        scan->node = node;
        scan->request = request;
        node->scanning = 1;
        error = node->services->work(node->self, scan_run, scan_done, scan);
    }
    if (error != NULL) {
        node->scanning = 0;
        free(scan);
        if (request != NULL) {
            node->services->done(request, error);
        } else {
            node->services->fail(node->self, error);
        }
    }
}

static void node_start(sl_node *node, sl_request *request) {
    start_scan(node, request);
}

static void node_resolve(sl_node *node, const sl_stream *stream, int64_t *offset,
                         sl_request *request) {
    (void)stream;
    *offset = 0;
    node->services->done(request, NULL);
}

/* ---- opening ---- */

struct opening {
    sl_node *node;
    sl_request *request;
    void **handle;
    int64_t offset;
    struct source_file *file;
    sl_error *error;
};

static void open_run(void *arg) {
    struct opening *opening = arg;
    struct source_file *file = opening->file;
    struct stat status;
    file->fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (file->fd < 0 || fstat(file->fd, &status) != 0) {
        opening->error =
            sl_error_new(SL_ERROR_FATAL, "cannot open %s: %s", file->path, strerror(errno));
    } else if (opening->offset > status.st_size) {
        opening->error =
            sl_error_new(SL_ERROR_FATAL,
                         "%s has %lld bytes, but the next position is %lld: it was cut or "
                         "replaced. Give new files new names, or the pipeline a new name",
                         file->path, (long long)status.st_size, (long long)opening->offset);
    } else {
        file->end = status.st_size;
    }
}

static void open_done(void *arg) {
    struct opening *opening = arg;
    const sl_services *services = opening->node->services;
    sl_request *request = opening->request;
    sl_error *error = opening->error;
    if (error == NULL) {
        *opening->handle = opening->file;
    } else {
        source_file_free(opening->file);
    }
    free(opening);
    services->done(request, error);
}

static void node_resume(sl_node *node, const sl_stream *stream, int64_t offset, int64_t position,
                        void **handle, sl_request *request) {
    (void)position;
    struct opening *opening = calloc(1, sizeof(*opening));
    struct source_file *file = calloc(1, sizeof(*file));
    char *path = strdup(stream->topic);
    sl_error *error = opening == NULL || file == NULL || path == NULL ? sl_error_no_memory() : NULL;
    if (error == NULL) {
        *file = (struct source_file){.path = path, .fd = -1};
        *opening = (struct opening){
            .node = node, .request = request, .handle = handle, .offset = offset, .file = file};
        error = node->services->work(node->self, open_run, open_done, opening);
    }
    if (error != NULL) {
        free(opening);
        free(file);
        free(path);
        node->services->done(request, error);
    }
}

static void node_close(sl_node *node) {
    if (node->timer != NULL) {
        node->services->timer_stop(node->timer);
    }
    for (size_t i = 0; i < node->n_files; i++) {
        free(node->files[i]);
    }
    free((void *)node->files);
    free(node);
}

static void node_drop_handle(sl_node *node, const sl_stream *stream, void *handle) {
    (void)node;
    (void)stream;
    source_file_free(handle);
}

const sl_node_ops file_source_node_ops = {
    .struct_bytes = sizeof(sl_node_ops),
    .open = node_open,
    .output_schema = node_output_schema,
    .start = node_start,
    .resolve = node_resolve,
    .resume = node_resume,
    .close = node_close,
    .drop_handle = node_drop_handle,
};
