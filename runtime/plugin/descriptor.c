/*
 * Reading a descriptor that another compiler run has made (see descriptor.h). Nothing of it is
 * trusted before its own size says that it is there.
 */
#include "plugin/descriptor.h"

#include <stdalign.h>
#include <stdlib.h>

#define MAX_OPTIONS 1000
#define MAX_TABLE_DEPTH 16
#define HEADER_BYTES (4 * sizeof(uint32_t)) /* abi_major, abi_minor, struct_bytes, reserved */
#define END_OF(type, field) (offsetof(type, field) + sizeof(((const type *)NULL)->field))

/* A copied option table. */
struct table {
    struct table *next;
    sl_option options[];
};

struct descriptor_copy {
    sl_plugin plugin;
    sl_role roles[3];
    sl_node_ops node_ops[3];
    sl_task_ops task_ops[3];
    struct table *tables;
};

/* What the checks need to name the culprit. */
struct origin {
    const char *name;
    const char *file;
};

SL_PRINTF(2, 3)
static sl_error *refuse(const struct origin *origin, const char *format, ...) {
    va_list args;
    va_start(args, format);
    sl_error *error = sl_error_newv(SL_ERROR_CONFIG, format, args);
    va_end(args);
    return sl_error_wrap(error, "plugin \"%s\" (%s)", origin->name, origin->file);
}

static void copy_min(void *to, size_t to_bytes, const void *from, size_t from_bytes) {
    memset(to, 0, to_bytes);
    memcpy(to, from, from_bytes < to_bytes ? from_bytes : to_bytes);
}

/* ---- option tables ---- */

/* Size and alignment of the field that an option of this type fills. */
static bool field_layout(uint32_t type, size_t *bytes, size_t *alignment) {
    switch (type) {
#define FIELD_LAYOUT(constant, type_name, field, notation)                                         \
    case constant:                                                                                 \
        *bytes = sizeof(field);                                                                    \
        *alignment = alignof(field);                                                               \
        return true;
        SL_OPTION_TYPE_MAP(FIELD_LAYOUT)
#undef FIELD_LAYOUT
    default:
        return false;
    }
}

static sl_error *copy_table(struct descriptor_copy *copy, const struct origin *origin,
                            const sl_option *from, size_t stride, size_t struct_bytes, int depth,
                            const sl_option **out);

static sl_error *check_option(const struct origin *origin, const sl_option *option,
                              size_t struct_bytes) {
    const char *name = option->name;
    size_t bytes = 0;
    size_t alignment = 1;
    if (name[0] == 0) {
        return refuse(origin, "an option has an empty name");
    }
    if (!field_layout(option->type, &bytes, &alignment)) {
        return refuse(origin, "option \"%s\" has the unknown type %u", name, option->type);
    }
    if (option->offset % alignment != 0 || bytes > struct_bytes ||
        option->offset > struct_bytes - bytes) {
        return refuse(origin, "option \"%s\" lies outside its config struct of %zu bytes", name,
                      struct_bytes);
    }
    if (option->type == SL_OPTION_ENUM &&
        (option->enum_names == NULL || option->enum_names[0] == NULL)) {
        return refuse(origin, "option \"%s\" is an enum without names", name);
    }
    if (option->type == SL_OPTION_OBJECT &&
        (option->options == NULL || option->object_bytes == 0)) {
        return refuse(origin, "option \"%s\" is an object without options of its own", name);
    }
    if ((option->flags & SL_OPTION_REST) != 0 && option->type != SL_OPTION_MAP) {
        return refuse(origin, "option \"%s\" takes the rest of the keys, but is no map", name);
    }
    if ((option->flags & SL_OPTION_CONTENT) != 0 && option->type != SL_OPTION_PATH) {
        return refuse(origin, "option \"%s\" is a file's content, but is no path", name);
    }
    if ((option->flags & SL_OPTION_EXCLUSIVE) != 0 && option->type != SL_OPTION_LOCATION) {
        return refuse(origin, "option \"%s\" is exclusive, but is no location", name);
    }
    if ((option->flags & SL_OPTION_RANGE) != 0 && !(option->min <= option->max)) {
        return refuse(origin, "option \"%s\" has a range without values", name);
    }
    return NULL;
}

static sl_error *check_names(const struct origin *origin, const sl_option *options, size_t n) {
    bool rest = false;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(options[i].name, options[j].name) == 0) {
                return refuse(origin, "option \"%s\" stands twice in its table", options[i].name);
            }
        }
        if ((options[i].flags & SL_OPTION_REST) != 0) {
            if (rest) {
                return refuse(origin, "two options take the rest of the keys");
            }
            rest = true;
        }
    }
    return NULL;
}

static const sl_option *option_at(const sl_option *table, size_t stride, size_t i) {
    return (const sl_option *)(const void *)((const char *)table + i * stride);
}

static sl_error *copy_table(struct descriptor_copy *copy, const struct origin *origin,
                            const sl_option *from, size_t stride, size_t struct_bytes, int depth,
                            const sl_option **out) {
    if (depth > MAX_TABLE_DEPTH) {
        return refuse(origin, "its option tables are nested deeper than %d levels",
                      MAX_TABLE_DEPTH);
    }
    size_t n = 0;
    while (option_at(from, stride, n)->name != NULL) {
        if (++n > MAX_OPTIONS) {
            return refuse(origin, "an option table has no end");
        }
    }
    struct table *table = calloc(1, sizeof(*table) + (n + 1) * sizeof(sl_option));
    if (table == NULL) {
        return sl_error_no_memory();
    }
    table->next = copy->tables;
    copy->tables = table;
    for (size_t i = 0; i < n; i++) {
        sl_option *option = &table->options[i];
        copy_min(option, sizeof(*option), option_at(from, stride, i), stride);
        sl_error *error = check_option(origin, option, struct_bytes);
        if (error == NULL && option->type == SL_OPTION_OBJECT) {
            error = copy_table(copy, origin, option->options, stride, option->object_bytes,
                               depth + 1, &option->options);
        }
        if (error != NULL) {
            return error;
        }
    }
    *out = table->options;
    return check_names(origin, table->options, n);
}

/* ---- roles ---- */

/* Operations without which a role cannot work; NULL when all are there. */
static const char *missing_operation(const sl_role *role, int kind) {
    const sl_node_ops *node = role->node;
    const sl_task_ops *task = role->task;
    if (node->open == NULL || task->open == NULL) {
        return node->open == NULL ? "node.open" : "task.open";
    }
    if (kind == 0 && task->poll == NULL) {
        return "task.poll";
    }
    if (kind != 0 && task->process == NULL) {
        return "task.process";
    }
    if (kind != 2 && node->output_schema == NULL) {
        return "node.output_schema";
    }
    if ((role->flags & SL_ROLE_DURABLE) != 0 && (node->recover == NULL || node->commit == NULL)) {
        return node->recover == NULL ? "node.recover" : "node.commit";
    }
    return NULL;
}

static sl_error *check_outputs(const struct origin *origin, const char *const *outputs, int kind) {
    if (kind == 2 && outputs != NULL) {
        bool good = outputs[0] != NULL && strcmp(outputs[0], SL_REJECT_OUTPUT) == 0;
        return good && outputs[1] == NULL
                   ? NULL
                   : refuse(origin,
                            "the only output that a sink can have is \"" SL_REJECT_OUTPUT "\"");
    }
    for (size_t i = 0; outputs != NULL && outputs[i] != NULL; i++) {
        if ((i == 0) != (outputs[i][0] == 0)) {
            return refuse(origin, "its first output, and no other, must have the name \"\"");
        }
    }
    return outputs != NULL && outputs[0] == NULL ? refuse(origin, "its list of outputs is empty")
                                                 : NULL;
}

static sl_error *check_role(const struct origin *origin, const sl_role *role, int kind) {
    static const char *const names[] = {"source", "transform", "sink"};
    const char *missing = missing_operation(role, kind);
    if (missing != NULL) {
        return refuse(origin, "the %s has no operation %s", names[kind], missing);
    }
    if (role->guarantee > SL_EXACTLY_ONCE) {
        return refuse(origin, "the %s has the unknown guarantee %u", names[kind], role->guarantee);
    }
    bool good = kind == 0 ? role->max_inputs == 0
                          : role->max_inputs > 0 && role->min_inputs <= role->max_inputs;
    if (!good) {
        return refuse(origin, "the %s says it takes %u to %u inputs", names[kind], role->min_inputs,
                      role->max_inputs);
    }
    return check_outputs(origin, role->outputs, kind);
}

static sl_error *copy_role(struct descriptor_copy *copy, const struct origin *origin,
                           const sl_role *from, int kind) {
    sl_role *role = &copy->roles[kind];
    if (from->struct_bytes < END_OF(sl_role, task)) {
        return refuse(origin, "a role of %u bytes; the smallest has %zu", from->struct_bytes,
                      END_OF(sl_role, task));
    }
    copy_min(role, sizeof(*role), from, from->struct_bytes);
    const sl_node_ops *node = role->node;
    const sl_task_ops *task = role->task;
    if (node == NULL || node->struct_bytes < END_OF(sl_node_ops, open) || task == NULL ||
        task->struct_bytes < END_OF(sl_task_ops, open)) {
        return refuse(origin, "a role without operations");
    }
    copy_min(&copy->node_ops[kind], sizeof(sl_node_ops), node, node->struct_bytes);
    copy_min(&copy->task_ops[kind], sizeof(sl_task_ops), task, task->struct_bytes);
    role->node = &copy->node_ops[kind];
    role->task = &copy->task_ops[kind];
    sl_error *error = check_role(origin, role, kind);
    if (error == NULL && role->options != NULL) {
        if (role->option_bytes < END_OF(sl_option, offset)) {
            return refuse(origin, "an option of %u bytes", role->option_bytes);
        }
        error = copy_table(copy, origin, role->options, role->option_bytes, role->config_bytes, 0,
                           &role->options);
    }
    role->option_bytes = sizeof(sl_option);
    return error;
}

/* The stride of the section's table: all tables of one plugin are of one build. */
static size_t section_stride(const sl_plugin *plugin) {
    const sl_role *const roles[] = {plugin->source, plugin->transform, plugin->sink};
    for (size_t i = 0; i < 3; i++) {
        if (roles[i] != NULL && roles[i]->option_bytes >= END_OF(sl_option, offset)) {
            return roles[i]->option_bytes;
        }
    }
    return sizeof(sl_option);
}

static sl_error *copy_parts(struct descriptor_copy *copy, const struct origin *origin) {
    sl_plugin *plugin = &copy->plugin;
    size_t stride = section_stride(plugin);
    const sl_role **const roles[] = {&plugin->source, &plugin->transform, &plugin->sink};
    for (int kind = 0; kind < 3; kind++) {
        if (*roles[kind] != NULL) {
            sl_error *error = copy_role(copy, origin, *roles[kind], kind);
            if (error != NULL) {
                return error;
            }
            *roles[kind] = &copy->roles[kind];
        }
    }
    if (plugin->section == NULL) {
        return NULL;
    }
    if (plugin->section_options == NULL) {
        return refuse(origin, "its section \"%s\" has no option table", plugin->section);
    }
    return copy_table(copy, origin, plugin->section_options, stride, plugin->section_bytes, 0,
                      &plugin->section_options);
}

/* ---- the whole ---- */

static sl_error *check_version(const struct origin *origin, const uint32_t header[4],
                               size_t symbol_bytes) {
    if (header[0] != SL_ABI_MAJOR) {
        return refuse(origin,
                      "built for plugin ABI %u.%u, this sluice speaks %d.%d: install the plugin "
                      "built for ABI %d, or a sluice of ABI %u",
                      header[0], header[1], SL_ABI_MAJOR, SL_ABI_MINOR, SL_ABI_MAJOR, header[0]);
    }
    if (header[1] > SL_ABI_MINOR) {
        return refuse(origin,
                      "built for plugin ABI %u.%u, newer than this sluice's %d.%d: upgrade sluice, "
                      "or install an older version of the plugin",
                      header[0], header[1], SL_ABI_MAJOR, SL_ABI_MINOR);
    }
    if (header[2] < END_OF(sl_plugin, sink) || (symbol_bytes != 0 && symbol_bytes < header[2])) {
        return refuse(origin, "a descriptor that says it has %u bytes", header[2]);
    }
    return NULL;
}

static sl_error *check_names_of(const struct origin *origin, const sl_plugin *plugin) {
    if (plugin->name == NULL || strcmp(plugin->name, origin->name) != 0) {
        return refuse(origin, "the plugin calls itself \"%s\"; its file must be %s.so",
                      plugin->name == NULL ? "" : plugin->name,
                      plugin->name == NULL ? "NAME" : plugin->name);
    }
    if (plugin->version == NULL || plugin->summary == NULL || plugin->licence == NULL) {
        return refuse(origin, "a descriptor without %s",
                      plugin->version == NULL   ? "version"
                      : plugin->summary == NULL ? "summary"
                                                : "licence");
    }
    if (plugin->source == NULL && plugin->transform == NULL && plugin->sink == NULL) {
        return refuse(origin, "a descriptor without any role");
    }
    return NULL;
}

sl_error *descriptor_copy_new(const void *symbol, size_t symbol_bytes, const char *name,
                              const char *file, struct descriptor_copy **out) {
    struct origin origin = {name, file};
    uint32_t header[4];
    if (symbol_bytes != 0 && symbol_bytes < HEADER_BYTES) {
        return refuse(&origin, "its symbol " SL_PLUGIN_SYMBOL " is no descriptor");
    }
    memcpy(header, symbol, sizeof(header));
    sl_error *error = check_version(&origin, header, symbol_bytes);
    if (error != NULL) {
        return error;
    }
    struct descriptor_copy *copy = calloc(1, sizeof(*copy));
    if (copy == NULL) {
        return sl_error_no_memory();
    }
    copy_min(&copy->plugin, sizeof(copy->plugin), symbol, header[2]);
    error = check_names_of(&origin, &copy->plugin);
    if (error == NULL) {
        error = copy_parts(copy, &origin);
    }
    if (error != NULL) {
        descriptor_copy_free(copy);
        return error;
    }
    *out = copy;
    return NULL;
}

const sl_plugin *descriptor_copy_get(const struct descriptor_copy *copy) {
    return &copy->plugin;
}

void descriptor_copy_free(struct descriptor_copy *copy) {
    if (copy == NULL) {
        return;
    }
    struct table *table = copy->tables;
    while (table != NULL) {
        struct table *next = table->next;
        free(table);
        table = next;
    }
    free(copy);
}
