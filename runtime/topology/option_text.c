/* Option tables in words: names, what is allowed, bounds. Used by faults, `inspect` and the schema.
 */
#include "topology/options.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#define MAX_CANDIDATES 256

const sl_option *option_find(const sl_option *table, const char *name) {
    for (const sl_option *o = table; o != NULL && o->name != NULL; o++) {
        if ((o->flags & SL_OPTION_REST) == 0 && strcmp(o->name, name) == 0) {
            return o;
        }
    }
    return NULL;
}

const sl_option *option_rest(const sl_option *table) {
    for (const sl_option *o = table; o != NULL && o->name != NULL; o++) {
        if ((o->flags & SL_OPTION_REST) != 0) {
            return o;
        }
    }
    return NULL;
}

bool option_is_tuning(const sl_option *table, const char *key) {
    const sl_option *option = table == NULL ? NULL : option_find(table, key);
    option = option != NULL || table == NULL ? option : option_rest(table);
    return option != NULL && (option->flags & SL_OPTION_TUNING) != 0;
}

const char *option_nearest(const sl_option *table, const char *name) {
    const char *names[MAX_CANDIDATES];
    size_t n = 0;
    for (const sl_option *o = table; o != NULL && o->name != NULL && n < MAX_CANDIDATES; o++) {
        if ((o->flags & SL_OPTION_REST) == 0) {
            names[n++] = o->name;
        }
    }
    return sl_nearest_name(name, names, n);
}

void option_list_names(const sl_option *table, sl_buffer *out) {
    const char *separator = "";
    for (const sl_option *o = table; o != NULL && o->name != NULL; o++) {
        if ((o->flags & SL_OPTION_REST) == 0) {
            (void)sl_buffer_printf(out, "%s\"%s\"", separator, o->name);
            separator = ", ";
        }
    }
}

const char *option_type_name(uint32_t type) {
    switch (type) {
#define OPTION_TYPE_NAME(constant, name, field, notation)                                          \
    case constant:                                                                                 \
        return name;
        SL_OPTION_TYPE_MAP(OPTION_TYPE_NAME)
#undef OPTION_TYPE_NAME
    default:
        return "unknown";
    }
}

void option_format_bound(const sl_option *option, double bound, sl_buffer *out) {
    char text[32];
    bool whole = bound >= -9.0e18 && bound <= 9.0e18 && rint(bound) == bound;
    if (whole && option->type == SL_OPTION_SIZE) {
        (void)sl_buffer_append_text(out, sl_format_size((int64_t)bound, text));
    } else if (whole && option->type == SL_OPTION_DURATION) {
        (void)sl_buffer_append_text(out, sl_format_duration((int64_t)bound, text));
    } else if (whole) {
        (void)sl_buffer_printf(out, "%lld", (long long)bound);
    } else {
        (void)sl_buffer_printf(out, "%g", bound);
    }
}

void option_describe_range(const sl_option *option, sl_buffer *out) {
    bool from = option->min > -9.0e18;
    bool to = option->max < 9.0e18;
    if (from) {
        (void)sl_buffer_append_text(out, " from ");
        option_format_bound(option, option->min, out);
        if (!to) {
            (void)sl_buffer_append_text(out, " up");
        }
    }
    if (to) {
        (void)sl_buffer_append_text(out, from ? " to " : " up to ");
        option_format_bound(option, option->max, out);
    }
}

void option_describe(const sl_option *option, sl_buffer *out) {
    static const char *const texts[] = {
        [SL_OPTION_STRING] = "a string",
        [SL_OPTION_SECRET] = "a string",
        [SL_OPTION_INTEGER] = "an integer",
        [SL_OPTION_NUMBER] = "a number",
        [SL_OPTION_SIZE] = "a size (bytes, or a string as \"32MiB\")",
        [SL_OPTION_DURATION] = "a duration (a string as \"250ms\", \"10s\", \"1h30m\")",
        [SL_OPTION_ENUM] = "one of",
        [SL_OPTION_BOOL] = "true or false",
        [SL_OPTION_LIST] = "an array of strings, or one string",
        [SL_OPTION_MAP] = "an object",
        [SL_OPTION_OBJECT] = "an object",
        [SL_OPTION_JSON] = "a JSON value",
        [SL_OPTION_PATH] = "a file's path, a string",
        [SL_OPTION_LOCATION] = "a folder or store URL, a string",
    };
    (void)sl_buffer_append_text(out, texts[option->type]);
    if (option->type == SL_OPTION_ENUM) {
        for (size_t i = 0; option->enum_names[i] != NULL; i++) {
            (void)sl_buffer_printf(out, "%s \"%s\"", i == 0 ? "" : ",", option->enum_names[i]);
        }
    }
    if ((option->flags & SL_OPTION_RANGE) != 0) {
        option_describe_range(option, out);
    }
}

bool option_is_secret_name(const char *key) {
    static const char *const parts[] = {"password",
                                        "passwd",
                                        "passphrase",
                                        "secret",
                                        "credential",
                                        "private.key",
                                        "key.pem",
                                        "account.key",
                                        "accesskey",
                                        "access.key",
                                        "apikey",
                                        "api.key",
                                        "sasl.oauthbearer.config"};
    static const char last[] = "token";
    size_t bytes = strlen(key);
    for (size_t i = 0; i < SL_ARRAY_LENGTH(parts); i++) {
        if (strcasestr(key, parts[i]) != NULL) {
            return true;
        }
    }
    return bytes >= sizeof(last) - 1 && strcasecmp(key + bytes - (sizeof(last) - 1), last) == 0;
}
