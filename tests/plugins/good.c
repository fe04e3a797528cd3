/*
 * A whole plugin of all three roles with an option of every type: what the tests of loading, of
 * topologies and of `inspect` look at. The source gives no rows, the transform passes them on, the
 * sink forgets them.
 */
#include <stdlib.h>
#include <string.h>

#include "columns/columns.h"
#include "sluice/plugin.h"

struct sl_node {
    struct ArrowSchema schema;
    const sl_services *services;
    sl_object *self;
};
struct sl_task {
    const sl_services *services;
    sl_object *self;
};

/* ---- nodes ---- */

static void node_close(sl_node *node) {
    if (node->schema.release != NULL) {
        node->schema.release(&node->schema);
    }
    free(node);
}

static sl_error *new_node(const sl_node_context *context, sl_node **out) {
    sl_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return sl_error_no_memory();
    }
    node->services = context->services;
    node->self = context->self;
    *out = node;
    return NULL;
}

static sl_error *source_open(const sl_node_context *context, sl_node **out) {
    sl_node *node = NULL;
    sl_error *error = new_node(context, &node);
    if (error != NULL) {
        return error;
    }
    error = sl_schema_new_struct(2, &node->schema);
    if (error == NULL) {
        error = sl_schema_set_field(&node->schema, 0, "n", "l", false, 0);
    }
    if (error == NULL) {
        error = sl_schema_set_field(&node->schema, 1, "text", "u", true, 0);
    }
    if (error != NULL) {
        node_close(node);
        return error;
    }
    *out = node;
    return NULL;
}

static sl_error *reader_open(const sl_node_context *context, sl_node **out) {
    sl_node *node = NULL;
    sl_error *error = new_node(context, &node);
    if (error == NULL) {
        error = sl_schema_copy(context->inputs[0].schema, &node->schema);
        if (error != NULL) {
            node_close(node);
            return error;
        }
        *out = node;
    }
    return error;
}

static sl_error *output_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    (void)output;
    return sl_schema_copy(&node->schema, out);
}

static void start_source(sl_node *node, sl_request *request) {
    node->services->all_assigned(node->self);
    node->services->done(request, NULL);
}

static void recover(sl_node *node, sl_position *positions, size_t n, sl_request *request) {
    for (size_t i = 0; i < n; i++) {
        positions[i].from = SL_OFFSET_NONE;
    }
    node->services->done(request, NULL);
}

static void commit(sl_node *node, const sl_commit *what, sl_request *request) {
    (void)what;
    node->services->done(request, NULL);
}

/* ---- tasks ---- */

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    (void)node;
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return sl_error_no_memory();
    }
    (*out)->services = context->services;
    (*out)->self = context->self;
    return NULL;
}

static void task_close(sl_task *task) {
    free(task);
}

static sl_error *poll(sl_task *task, const sl_stream *stream, size_t max_bytes,
                      sl_poll_state *state) {
    (void)task;
    (void)stream;
    (void)max_bytes;
    *state = SL_POLL_ENDED;
    return NULL;
}

static sl_error *pass_on(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)input;
    return task->services->forward(task->self, 0, batch);
}

static sl_error *forget(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)task;
    (void)input;
    (void)batch;
    return NULL;
}

/* ---- options ---- */

struct nested {
    int64_t within_us;
    const char *key;
};

struct config {
    sl_list topics;
    const char *text;
    const char *password;
    int64_t count;
    double ratio;
    int64_t size_bytes;
    int64_t wait_us;
    int32_t start;
    int32_t eager;
    sl_map names;
    const struct nested *deduplicate;
    const char *anything;
    const char *schema;
    const char *table;
};

static const char *const starts[] = {"earliest", "latest", "timestamp", NULL};

static const sl_option nested_options[] = {
    {.name = "within",
     .type = SL_OPTION_DURATION,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct nested, within_us),
     .doc = "how far back"},
    {.name = "key",
     .type = SL_OPTION_STRING,
     .offset = offsetof(struct nested, key),
     .default_text = "id",
     .doc = "the column"},
    {.name = NULL},
};

static const sl_option source_options[] = {
    {.name = "topics",
     .type = SL_OPTION_LIST,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct config, topics),
     .doc = "names of topics"},
    {.name = "text",
     .type = SL_OPTION_STRING,
     .offset = offsetof(struct config, text),
     .doc = "any text"},
    {.name = "password",
     .type = SL_OPTION_SECRET,
     .offset = offsetof(struct config, password),
     .doc = "never shown"},
    {.name = "count",
     .type = SL_OPTION_INTEGER,
     .flags = SL_OPTION_RANGE,
     .offset = offsetof(struct config, count),
     .default_text = "10",
     .min = 1,
     .max = 1000,
     .doc = "how many"},
    {.name = "ratio",
     .type = SL_OPTION_NUMBER,
     .flags = SL_OPTION_RANGE,
     .offset = offsetof(struct config, ratio),
     .default_text = "0.5",
     .min = 0,
     .max = 1,
     .doc = "a share"},
    {.name = "size",
     .type = SL_OPTION_SIZE,
     .flags = SL_OPTION_RANGE | SL_OPTION_TUNING,
     .offset = offsetof(struct config, size_bytes),
     .default_text = "1MiB",
     .min = 1024,
     .max = 1073741824,
     .doc = "a size"},
    {.name = "wait",
     .type = SL_OPTION_DURATION,
     .flags = SL_OPTION_RANGE,
     .offset = offsetof(struct config, wait_us),
     .default_text = "10s",
     .min = 1000,
     .max = 3600e6,
     .doc = "a time"},
    {.name = "start",
     .type = SL_OPTION_ENUM,
     .offset = offsetof(struct config, start),
     .default_text = "earliest",
     .enum_names = starts,
     .doc = "where to begin"},
    {.name = "eager",
     .type = SL_OPTION_BOOL,
     .offset = offsetof(struct config, eager),
     .default_text = "true",
     .doc = "yes or no"},
    {.name = "old_count",
     .type = SL_OPTION_INTEGER,
     .flags = SL_OPTION_DEPRECATED,
     .offset = offsetof(struct config, count),
     .doc = "write \"count\""},
    {.name = NULL},
};

static const sl_option transform_options[] = {
    {.name = "schema",
     .type = SL_OPTION_PATH,
     .flags = SL_OPTION_CONTENT,
     .offset = offsetof(struct config, schema),
     .doc = "a file"},
    {.name = "deduplicate",
     .type = SL_OPTION_OBJECT,
     .offset = offsetof(struct config, deduplicate),
     .options = nested_options,
     .object_bytes = sizeof(struct nested),
     .doc = "drop what came before"},
    {.name = "names",
     .type = SL_OPTION_MAP,
     .offset = offsetof(struct config, names),
     .doc = "new names of columns"},
    {.name = "anything",
     .type = SL_OPTION_JSON,
     .offset = offsetof(struct config, anything),
     .doc = "any value"},
    {.name = NULL},
};

static const sl_option sink_options[] = {
    {.name = "table",
     .type = SL_OPTION_LOCATION,
     .flags = SL_OPTION_REQUIRED | SL_OPTION_EXCLUSIVE,
     .offset = offsetof(struct config, table),
     .doc = "the table's folder"},
    {.name = "compression",
     .type = SL_OPTION_ENUM,
     .offset = offsetof(struct config, start),
     .default_text = "latest",
     .enum_names = starts,
     .doc = "a name"},
    {.name = NULL},
};

/* ---- the section ---- */

struct section {
    const char *servers;
    int32_t embedded;
    sl_map rest;
};

static const char *check_property(const char *key, const char *value, const char **nearest) {
    (void)value;
    if (strncmp(key, "client.", 7) == 0 || strcmp(key, "sasl.password") == 0) {
        return NULL;
    }
    *nearest = strncmp(key, "clint.", 6) == 0 ? "client.id" : NULL;
    return "no property of the client";
}

static const sl_option section_options[] = {
    {.name = "servers",
     .type = SL_OPTION_STRING,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct section, servers),
     .doc = "host:port"},
    {.name = "embedded",
     .type = SL_OPTION_BOOL,
     .offset = offsetof(struct section, embedded),
     .default_text = "false",
     .doc = "in the process"},
    {.name = "properties",
     .type = SL_OPTION_MAP,
     .flags = SL_OPTION_REST,
     .offset = offsetof(struct section, rest),
     .check = check_property,
     .doc = "properties of the client"},
    {.name = NULL},
};

/* ---- the descriptor ---- */

static const sl_node_ops source_node = {.struct_bytes = sizeof(sl_node_ops),
                                        .open = source_open,
                                        .output_schema = output_schema,
                                        .start = start_source,
                                        .close = node_close};
static const sl_node_ops transform_node = {.struct_bytes = sizeof(sl_node_ops),
                                           .open = reader_open,
                                           .output_schema = output_schema,
                                           .close = node_close};
static const sl_node_ops sink_node = {.struct_bytes = sizeof(sl_node_ops),
                                      .open = reader_open,
                                      .recover = recover,
                                      .commit = commit,
                                      .close = node_close};
static const sl_task_ops source_task = {
    .struct_bytes = sizeof(sl_task_ops), .open = task_open, .poll = poll, .close = task_close};
static const sl_task_ops transform_task = {.struct_bytes = sizeof(sl_task_ops),
                                           .open = task_open,
                                           .process = pass_on,
                                           .close = task_close};
static const sl_task_ops sink_task = {
    .struct_bytes = sizeof(sl_task_ops), .open = task_open, .process = forget, .close = task_close};

static const char *const transform_outputs[] = {"", "rejects", "late", NULL};

static const sl_role source = {.struct_bytes = sizeof(sl_role),
                               .guarantee = SL_EXACTLY_ONCE,
                               .option_bytes = sizeof(sl_option),
                               .options = source_options,
                               .config_bytes = sizeof(struct config),
                               .node = &source_node,
                               .task = &source_task};
static const sl_role transform = {.struct_bytes = sizeof(sl_role),
                                  .guarantee = SL_EXACTLY_ONCE,
                                  .option_bytes = sizeof(sl_option),
                                  .options = transform_options,
                                  .config_bytes = sizeof(struct config),
                                  .outputs = transform_outputs,
                                  .min_inputs = 1,
                                  .max_inputs = 2,
                                  .node = &transform_node,
                                  .task = &transform_task};
static const sl_role sink = {.struct_bytes = sizeof(sl_role),
                             .flags = SL_ROLE_DURABLE,
                             .guarantee = SL_EXACTLY_ONCE,
                             .option_bytes = sizeof(sl_option),
                             .options = sink_options,
                             .config_bytes = sizeof(struct config),
                             .min_inputs = 1,
                             .max_inputs = 1,
                             .node = &sink_node,
                             .task = &sink_task};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {SL_PLUGIN_HEADER,
                                                  .name = "good",
                                                  .version = "1.2.3",
                                                  .summary = "does nothing, in every role",
                                                  .licence = "MIT",
                                                  .source = &source,
                                                  .transform = &transform,
                                                  .sink = &sink,
                                                  .section = "good",
                                                  .section_options = section_options,
                                                  .section_bytes = sizeof(struct section)};
