/* Option tables for people and programs: text, JSON, JSON Schema. */
#include "cli/option_print.h"

#include "topology/options.h"

#define SIZE_PATTERN "^(0|[1-9][0-9]*)(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)?$"
#define DURATION_PATTERN "^(0|((0|[1-9][0-9]*)(us|ms|s|m|h|d))+)$"
/* A string that holds a reference is taken wherever its value would be. */
#define REFERENCE_PATTERN "\\$\\{(env|file):"

/* ---- text ---- */

static void append_facts(const sl_option *o, sl_buffer *out) {
    (void)sl_buffer_append_text(out, option_type_name(o->type));
    if ((o->flags & SL_OPTION_REQUIRED) != 0) {
        (void)sl_buffer_append_text(out, ", required");
    } else if (o->default_text != NULL) {
        (void)sl_buffer_printf(out, ", default %s",
                               *o->default_text == 0 ? "\"\"" : o->default_text);
    }
    if (o->type == SL_OPTION_ENUM) {
        (void)sl_buffer_append_text(out, ", ");
        option_describe(o, out);
    } else if ((o->flags & SL_OPTION_RANGE) != 0) {
        (void)sl_buffer_append_byte(out, ',');
        option_describe_range(o, out);
    }
    if (o->unit != NULL) {
        (void)sl_buffer_printf(out, ", in %s", o->unit);
    }
    if ((o->flags & SL_OPTION_EXCLUSIVE) != 0) {
        (void)sl_buffer_append_text(out, ", each node its own");
    }
    if ((o->flags & SL_OPTION_DEPRECATED) != 0) {
        (void)sl_buffer_append_text(out, ", deprecated");
    }
    if (o->since != NULL) {
        (void)sl_buffer_printf(out, ", since %s", o->since);
    }
}

void option_print_text(const sl_option *table, const char *prefix, sl_buffer *out) {
    for (const sl_option *o = table; o != NULL && o->name != NULL; o++) {
        bool rest = (o->flags & SL_OPTION_REST) != 0;
        (void)sl_buffer_printf(out, "    %s%s  (", prefix, rest ? "any other key" : o->name);
        append_facts(o, out);
        (void)sl_buffer_printf(out, ")\n        %s\n", o->doc == NULL ? "" : o->doc);
        if (o->type == SL_OPTION_OBJECT) {
            sl_buffer nested = SL_BUFFER_INIT;
            (void)sl_buffer_printf(&nested, "%s%s.", prefix, o->name);
            const char *text = sl_buffer_text(&nested);
            if (text != NULL) {
                option_print_text(o->options, text, out);
            }
            out->failed = out->failed || text == NULL;
            sl_buffer_free(&nested);
        }
    }
}

/* ---- JSON ---- */

static void write_bounds(const sl_option *o, struct json_out *out) {
    if ((o->flags & SL_OPTION_RANGE) != 0) {
        json_out_key(out, "min");
        json_out_number(out, o->min);
        json_out_key(out, "max");
        json_out_number(out, o->max);
    }
}

static void write_enum(const sl_option *o, struct json_out *out) {
    json_out_array(out);
    for (size_t i = 0; o->enum_names[i] != NULL; i++) {
        json_out_string(out, o->enum_names[i]);
    }
    json_out_end_array(out);
}

void option_print_json(const sl_option *table, struct json_out *out) {
    json_out_array(out);
    for (const sl_option *o = table; o != NULL && o->name != NULL; o++) {
        json_out_object(out);
        json_out_member(out, "name", o->name);
        json_out_member(out, "type", option_type_name(o->type));
        json_out_member_bool(out, "required", (o->flags & SL_OPTION_REQUIRED) != 0);
        json_out_member(out, "default", o->default_text);
        write_bounds(o, out);
        if (o->type == SL_OPTION_ENUM) {
            json_out_key(out, "values");
            write_enum(o, out);
        }
        json_out_member(out, "unit", o->unit);
        json_out_member_bool(out, "deprecated", (o->flags & SL_OPTION_DEPRECATED) != 0);
        json_out_member_bool(out, "exclusive", (o->flags & SL_OPTION_EXCLUSIVE) != 0);
        json_out_member_bool(out, "rest", (o->flags & SL_OPTION_REST) != 0);
        json_out_member(out, "since", o->since);
        json_out_member(out, "doc", o->doc);
        if (o->type == SL_OPTION_OBJECT) {
            json_out_key(out, "options");
            option_print_json(o->options, out);
        }
        json_out_end_object(out);
    }
    json_out_end_array(out);
}

/* ---- JSON Schema ---- */

static void write_type(struct json_out *out, const char *type) {
    json_out_member(out, "type", type);
}

static void write_pattern(struct json_out *out, const char *pattern) {
    json_out_object(out);
    write_type(out, "string");
    json_out_member(out, "pattern", pattern);
    json_out_end_object(out);
}

/* anyOf: a value of `type` within the option's range, a text of `pattern` (or NULL), a reference */
static void write_alternatives(const sl_option *o, struct json_out *out, const char *type,
                               const char *pattern) {
    json_out_key(out, "anyOf");
    json_out_array(out);
    if (type != NULL) {
        json_out_object(out);
        write_type(out, type);
        if ((o->flags & SL_OPTION_RANGE) != 0) {
            json_out_key(out, "minimum");
            json_out_number(out, o->min);
            json_out_key(out, "maximum");
            json_out_number(out, o->max);
        }
        json_out_end_object(out);
    }
    if (pattern != NULL) {
        write_pattern(out, pattern);
    }
    if (o->type == SL_OPTION_ENUM) {
        json_out_object(out);
        json_out_key(out, "enum");
        write_enum(o, out);
        json_out_end_object(out);
    }
    write_pattern(out, REFERENCE_PATTERN);
    json_out_end_array(out);
}

static void write_list(struct json_out *out) {
    json_out_key(out, "anyOf");
    json_out_array(out);
    json_out_object(out);
    write_type(out, "string");
    json_out_end_object(out);
    json_out_object(out);
    write_type(out, "array");
    json_out_key(out, "items");
    json_out_object(out);
    write_type(out, "string");
    json_out_end_object(out);
    json_out_end_object(out);
    json_out_end_array(out);
}

static void write_value_schema(const sl_option *o, struct json_out *out) {
    switch ((sl_option_type)o->type) {
    case SL_OPTION_STRING:
    case SL_OPTION_SECRET:
    case SL_OPTION_PATH:
    case SL_OPTION_LOCATION:
        write_type(out, "string");
        break;
    case SL_OPTION_INTEGER:
        write_alternatives(o, out, "integer", NULL);
        break;
    case SL_OPTION_NUMBER:
        write_alternatives(o, out, "number", NULL);
        break;
    case SL_OPTION_BOOL:
        write_alternatives(o, out, "boolean", NULL);
        break;
    case SL_OPTION_SIZE:
        write_alternatives(o, out, "integer", SIZE_PATTERN);
        break;
    case SL_OPTION_DURATION:
        write_alternatives(o, out, NULL, DURATION_PATTERN);
        break;
    case SL_OPTION_ENUM:
        write_alternatives(o, out, NULL, NULL);
        break;
    case SL_OPTION_LIST:
        write_list(out);
        break;
    case SL_OPTION_MAP:
        write_type(out, "object");
        break;
    case SL_OPTION_OBJECT:
    case SL_OPTION_JSON:
        break;
    }
}

void option_print_properties(const sl_option *table, struct json_out *out) {
    for (const sl_option *o = table; o != NULL && o->name != NULL; o++) {
        if ((o->flags & SL_OPTION_REST) != 0) {
            continue;
        }
        json_out_key(out, o->name);
        if (o->type == SL_OPTION_OBJECT) {
            option_print_schema(o->options, out);
            continue;
        }
        json_out_object(out);
        write_value_schema(o, out);
        if (o->doc != NULL) {
            json_out_member(out, "description", o->doc);
        }
        if (o->default_text != NULL) {
            json_out_member(out, "default", o->default_text);
        }
        if ((o->flags & SL_OPTION_DEPRECATED) != 0) {
            json_out_member_bool(out, "deprecated", true);
        }
        json_out_end_object(out);
    }
}

void option_print_schema(const sl_option *table, struct json_out *out) {
    json_out_object(out);
    write_type(out, "object");
    json_out_key(out, "properties");
    json_out_object(out);
    option_print_properties(table, out);
    json_out_end_object(out);
    json_out_key(out, "required");
    json_out_array(out);
    for (const sl_option *o = table; o != NULL && o->name != NULL; o++) {
        if ((o->flags & SL_OPTION_REQUIRED) != 0) {
            json_out_string(out, o->name);
        }
    }
    json_out_end_array(out);
    json_out_member_bool(out, "additionalProperties", option_rest(table) != NULL);
    json_out_end_object(out);
}
