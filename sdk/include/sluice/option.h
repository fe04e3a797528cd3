/*
 * The option table: the one place where an option of a plugin is described. From it come strict
 * parsing before `open` into a const struct, error messages, `sluice inspect`, the REST answers,
 * the reference pages and the topology's JSON Schema.
 */
#ifndef SLUICE_OPTION_H
#define SLUICE_OPTION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An ordered list of strings; borrowed from the host for the node's life, as everything in a config
 * struct. */
typedef struct sl_list {
    size_t count;
    const char *const *items;
} sl_list;

/* An ordered map; values that are not strings in the topology stand as their JSON text. */
typedef struct sl_pair {
    const char *key;
    const char *value;
} sl_pair;
typedef struct sl_map {
    size_t count;
    const sl_pair *pairs;
} sl_map;

/*
 * X(constant, name, C type of the field at `offset`, how it is written in the topology)
 *   a field without value and default: NULL, 0, an empty list or map
 */
#define SL_OPTION_TYPE_MAP(X)                                                                      \
    X(SL_OPTION_STRING, "string", const char *, "a JSON string")                                   \
    X(SL_OPTION_SECRET, "secret", const char *, "a string that is never shown")                    \
    X(SL_OPTION_INTEGER, "integer", int64_t, "a JSON integer")                                     \
    X(SL_OPTION_NUMBER, "number", double, "a JSON number")                                         \
    X(SL_OPTION_SIZE, "size", int64_t, "bytes: an integer or a string as \"32MiB\"")               \
    X(SL_OPTION_DURATION, "duration", int64_t,                                                     \
      "microseconds: a string as \"250ms\", \"10s\", \"1h30m\"")                                   \
    X(SL_OPTION_ENUM, "enum", int32_t, "one of the names; the field gets its index")               \
    X(SL_OPTION_BOOL, "bool", int32_t, "true or false; the field gets 1 or 0")                     \
    X(SL_OPTION_LIST, "list", sl_list, "an array of strings, or one string")                       \
    X(SL_OPTION_MAP, "map", sl_map, "an object of any keys")                                       \
    X(SL_OPTION_OBJECT, "object", const void *,                                                    \
      "an object with options of its own; NULL when absent")                                       \
    X(SL_OPTION_JSON, "json", const char *, "any JSON value, handed over as JSON text")            \
    X(SL_OPTION_PATH, "path", const char *,                                                        \
      "a local file; relative to the topology's folder, handed over absolute")                     \
    X(SL_OPTION_LOCATION, "location", const char *,                                                \
      "a store URL or folder; relative to the topology's folder, handed over as a URL")

typedef enum sl_option_type {
#define SL_OPTION_TYPE_ENUM(constant, name, field, notation) constant,
    SL_OPTION_TYPE_MAP(SL_OPTION_TYPE_ENUM)
#undef SL_OPTION_TYPE_ENUM
} sl_option_type;

enum {
    SL_OPTION_REQUIRED = 1u,
    SL_OPTION_DEPRECATED = 2u,
    /* LOCATION: no two nodes may have the same. */
    SL_OPTION_EXCLUSIVE = 4u,
    /* MAP: takes every key that no other option of the table has, if `check` says so. Its own name
       is not written in the topology. */
    SL_OPTION_REST = 8u,
    /* min and max hold. */
    SL_OPTION_RANGE = 16u,
    /* PATH of a role's own table: what the file holds is configuration: it is kept with it, so that
       a change is noticed and what was read under the old one can be read again under it. */
    SL_OPTION_CONTENT = 32u,
    /* How the work is done, or which streams there are, but not which rows come out of a record: a
       change needs no care. */
    SL_OPTION_TUNING = 64u
};

typedef struct sl_option {
    const char *name; /* NULL ends the table */
    uint32_t type;    /* sl_option_type */
    uint32_t flags;
    size_t offset;            /* of the field in the config struct */
    const char *default_text; /* as an operator would write it, without quotes ("10s", "true",
                                 "a,b"); NULL: none */
    double min; /* with SL_OPTION_RANGE; of integers, numbers, bytes, or microseconds */
    double max;
    const char *const *enum_names;   /* NULL-ended; ENUM */
    const struct sl_option *options; /* OBJECT: table of its own */
    size_t object_bytes;             /* OBJECT: size of its struct */
    /*
     * REST: NULL when the key and value are allowed, else why not: a sentence with static storage.
     * `nearest` may be set to the right name. Any thread, no side effect.
     */
    const char *(*check)(const char *key, const char *value, const char **nearest);
    const char *unit;  /* for the reference, or NULL */
    const char *since; /* plugin version, or NULL */
    const char *doc;   /* one line */
} sl_option;

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_OPTION_H */
