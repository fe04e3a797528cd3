/*
 * Fills a plugin's config struct from "option=value" texts by its option table, in the operator's
 * notation. Checks what a test needs checked: unknown names, malformed values, ranges, what is
 * required.
 */
#include "inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *keep(sl_harness *harness, void *owned) {
    void **grown = realloc((void *)harness->owned, (harness->n_owned + 1) * sizeof(*grown));
    if (grown == NULL || owned == NULL) {
        free(owned);
        harness->owned = grown != NULL ? grown : harness->owned;
        return NULL;
    }
    harness->owned = grown;
    harness->owned[harness->n_owned++] = owned;
    return owned;
}

struct unit {
    const char *name;
    double factor;
};

/* A sum of numbers with units ("1h30m"); NAN when it is none. */
static double with_units(const char *text, const struct unit *units) {
    double sum = 0;
    do {
        char *end = NULL;
        double number = strtod(text, &end);
        size_t letters = strcspn(end, "0123456789.-");
        const struct unit *unit = units;
        while (unit->name != NULL &&
               (strlen(unit->name) != letters || strncmp(unit->name, end, letters) != 0)) {
            unit++;
        }
        if (end == text || unit->name == NULL) {
            return NAN;
        }
        sum += number * unit->factor;
        text = end + letters;
    } while (*text != '\0');
    return sum;
}

static double read_number(uint32_t type, const char *text) {
    static const struct unit SIZES[] = {{"", 1},          {"B", 1},           {"KiB", 1024},
                                        {"MiB", 1048576}, {"GiB", 1 << 30},   {"kB", 1000},
                                        {"MB", 1000000},  {"GB", 1000000000}, {NULL, 0}};
    static const struct unit TIMES[] = {{"us", 1},     {"ms", 1e3},    {"s", 1e6}, {"m", 60e6},
                                        {"h", 3600e6}, {"d", 86400e6}, {"", 1},    {NULL, 0}};
    static const struct unit NONE[] = {{"", 1}, {NULL, 0}};
    return with_units(text, type == SL_OPTION_SIZE       ? SIZES
                            : type == SL_OPTION_DURATION ? TIMES
                                                         : NONE);
}

static sl_error *set_number(const sl_option *option, char *field, const char *text) {
    double number = read_number(option->type, text);
    if (isnan(number)) {
        return harness_error(SL_ERROR_CONFIG, "option %s: \"%s\" is malformed", option->name, text);
    }
    if ((option->flags & SL_OPTION_RANGE) != 0 && (number < option->min || number > option->max)) {
        return harness_error(SL_ERROR_CONFIG, "option %s: %s is outside %g to %g", option->name,
                             text, option->min, option->max);
    }
    int64_t integer = (int64_t)number;
    if (option->type == SL_OPTION_NUMBER) {
        memcpy(field, &number, sizeof(number));
    } else {
        memcpy(field, &integer, sizeof(integer));
    }
    return NULL;
}

static sl_error *set_name(const sl_option *option, char *field, const char *text) {
    static const char *const BOOLS[] = {"false", "true", NULL};
    const char *const *names = option->type == SL_OPTION_BOOL ? BOOLS : option->enum_names;
    for (int32_t i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], text) == 0) {
            memcpy(field, &i, sizeof(i));
            return NULL;
        }
    }
    return harness_error(SL_ERROR_CONFIG, "option %s: \"%s\" is not allowed", option->name, text);
}

static sl_error *set_list(sl_harness *harness, char *field, const char *text) {
    char *copy = keep(harness, strdup(text));
    const char **items = keep(harness, calloc(strlen(text) / 2 + 2, sizeof(*items)));
    if (copy == NULL || items == NULL) {
        return harness_error(SL_ERROR_NO_MEMORY, "out of memory");
    }
    sl_list list = {0, items};
    for (char *item = strtok(copy, ","); item != NULL; item = strtok(NULL, ",")) {
        items[list.count++] = item;
    }
    memcpy(field, &list, sizeof(list));
    return NULL;
}

static sl_error *add_pair(sl_harness *harness, char *field, const char *key, const char *text) {
    sl_map map;
    memcpy(&map, field, sizeof(map));
    sl_pair *pairs = keep(harness, calloc(map.count + 1, sizeof(*pairs)));
    char *key_copy = keep(harness, strdup(key));
    char *value = keep(harness, strdup(text));
    if (pairs == NULL || key_copy == NULL || value == NULL) {
        return harness_error(SL_ERROR_NO_MEMORY, "out of memory");
    }
    if (map.count > 0) {
        memcpy(pairs, map.pairs, map.count * sizeof(*pairs));
    }
    pairs[map.count] = (sl_pair){key_copy, value};
    map = (sl_map){map.count + 1, pairs};
    memcpy(field, &map, sizeof(map));
    return NULL;
}

static sl_error *set_value(sl_harness *harness, const sl_option *option, char *base,
                           const char *text) {
    char *field = base + option->offset;
    switch (option->type) {
    case SL_OPTION_INTEGER:
    case SL_OPTION_NUMBER:
    case SL_OPTION_SIZE:
    case SL_OPTION_DURATION:
        return set_number(option, field, text);
    case SL_OPTION_ENUM:
    case SL_OPTION_BOOL:
        return set_name(option, field, text);
    case SL_OPTION_LIST:
        return set_list(harness, field, text);
    case SL_OPTION_MAP:
    case SL_OPTION_OBJECT:
        return harness_error(SL_ERROR_CONFIG, "option %s is written %s.KEY=VALUE", option->name,
                             option->name);
    default:
        break;
    }
    char *copy = keep(harness, strdup(text));
    if (copy == NULL) {
        return harness_error(SL_ERROR_NO_MEMORY, "out of memory");
    }
    memcpy(field, &copy, sizeof(copy));
    return NULL;
}

static sl_error *set_defaults(sl_harness *harness, const sl_option *options, char *base) {
    sl_error *error = NULL;
    for (const sl_option *o = options; o->name != NULL && error == NULL; o++) {
        if (o->default_text != NULL) {
            error = set_value(harness, o, base, o->default_text);
        }
    }
    return error;
}

static sl_error *set_option(sl_harness *harness, const sl_option *options, char *base,
                            const char *key, const char *text);

/* "object.option" and "map.key". */
static sl_error *set_inside(sl_harness *harness, const sl_option *option, char *base,
                            const char *key, const char *text) {
    if (option->type == SL_OPTION_MAP) {
        return add_pair(harness, base + option->offset, key, text);
    }
    char *inner = NULL;
    memcpy(&inner, base + option->offset, sizeof(inner));
    if (inner == NULL) {
        inner = keep(harness, calloc(1, option->object_bytes));
        if (inner == NULL) {
            return harness_error(SL_ERROR_NO_MEMORY, "out of memory");
        }
        memcpy(base + option->offset, &inner, sizeof(inner));
        sl_error *error = set_defaults(harness, option->options, inner);
        if (error != NULL) {
            return error;
        }
    }
    return set_option(harness, option->options, inner, key, text);
}

static sl_error *set_rest(sl_harness *harness, const sl_option *option, char *base, const char *key,
                          const char *text) {
    const char *nearest = NULL;
    const char *why = option->check == NULL ? NULL : option->check(key, text, &nearest);
    if (why == NULL) {
        return add_pair(harness, base + option->offset, key, text);
    }
    return harness_error(SL_ERROR_CONFIG, "option %s: %s%s%s", key, why,
                         nearest != NULL ? "; nearest: " : "", nearest != NULL ? nearest : "");
}

static sl_error *set_option(sl_harness *harness, const sl_option *options, char *base,
                            const char *key, const char *text) {
    const sl_option *rest = NULL;
    const sl_option *inside = NULL;
    for (const sl_option *o = options; o->name != NULL; o++) {
        size_t bytes = strlen(o->name);
        if ((o->flags & SL_OPTION_REST) != 0) {
            rest = o;
        } else if (strcmp(o->name, key) == 0) {
            return set_value(harness, o, base, text);
        } else if ((o->type == SL_OPTION_OBJECT || o->type == SL_OPTION_MAP) &&
                   strncmp(o->name, key, bytes) == 0 && key[bytes] == '.') {
            inside = o;
        }
    }
    if (inside != NULL) {
        return set_inside(harness, inside, base, key + strlen(inside->name) + 1, text);
    }
    return rest != NULL ? set_rest(harness, rest, base, key, text)
                        : harness_error(SL_ERROR_CONFIG, "option %s does not exist", key);
}

static sl_error *check_required(const sl_option *options, const char *const *texts) {
    for (const sl_option *o = options; o->name != NULL; o++) {
        int found = (o->flags & SL_OPTION_REQUIRED) == 0;
        size_t bytes = strlen(o->name);
        for (; !found && texts != NULL && *texts != NULL; texts++) {
            found = strncmp(*texts, o->name, bytes) == 0 &&
                    ((*texts)[bytes] == '=' || (*texts)[bytes] == '.');
        }
        if (!found) {
            return harness_error(SL_ERROR_CONFIG, "option %s is missing", o->name);
        }
    }
    return NULL;
}

sl_error *harness_parse(sl_harness *harness, const sl_option *options, size_t config_bytes,
                        const char *const *texts, void **out) {
    char *config = keep(harness, calloc(1, config_bytes == 0 ? 1 : config_bytes));
    if (config == NULL) {
        return harness_error(SL_ERROR_NO_MEMORY, "out of memory");
    }
    sl_error *error = set_defaults(harness, options, config);
    for (const char *const *at = texts; error == NULL && at != NULL && *at != NULL; at++) {
        const char *equals = strchr(*at, '=');
        char *key = equals == NULL ? NULL : strndup(*at, (size_t)(equals - *at));
        if (key == NULL) {
            return harness_error(SL_ERROR_CONFIG, "\"%s\" is not of the form option=value", *at);
        }
        error = set_option(harness, options, config, key, equals + 1);
        free(key);
    }
    if (error == NULL) {
        error = check_required(options, texts);
    }
    *out = config;
    return error;
}
