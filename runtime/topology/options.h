/*
 * The strict parser of a JSON object by an option table into the table's config struct. The host's
 * own keys and a plugin's options go the same way, so that they are checked, reported and shown
 * alike.
 */
#ifndef TOPOLOGY_OPTIONS_H
#define TOPOLOGY_OPTIONS_H

#include "topology/arena.h"
#include "topology/document.h"
#include "topology/faults.h"
#include "topology/secrets.h"

#include "sluice/option.h"

/* A location that only one node may have. */
struct claimed_location {
    struct claimed_location *next;
    const char *key;
    const char *owner; /* "sink \"bronze\"" */
    int line;
};

/* What the parser needs besides the table and the value. Everything lives in the arena. */
struct option_context {
    struct arena *arena;
    struct topology_faults *faults;
    struct secrets *secrets;
    const char *directory; /* absolute */
    struct claimed_location **claimed;
    const char *owner;
};

/*
 * A new zeroed struct of `struct_bytes` (an empty table may have 0), filled from `object` (NULL: an
 * absent one, which has the defaults) by `table` (NULL: no options at all). Faults go to the
 * context's list; the struct is returned all the same, NULL only when memory is short. What is
 * missing is reported at `place`. `effective` (may be NULL) receives the options with their
 * defaults as a JSON object in which nothing secret stands.
 */
void *options_parse(const struct option_context *context, const sl_option *table,
                    size_t struct_bytes, const struct json_value *object, struct json_place place,
                    const char *path, sl_buffer *effective);

/* The option called `name`, or NULL. */
const sl_option *option_find(const sl_option *table, const char *name);
/* The option that takes the rest of the keys, or NULL. */
const sl_option *option_rest(const sl_option *table);
/* Whether the option for a key cannot change which rows come out (SL_OPTION_TUNING). */
bool option_is_tuning(const sl_option *table, const char *key);
/* The option nearest to a misspelt name, or NULL. */
const char *option_nearest(const sl_option *table, const char *name);
/* Appends `"a", "b", "c"`: the names of a table. */
void option_list_names(const sl_option *table, sl_buffer *out);

/* "string", "integer", ...: SL_OPTION_TYPE_MAP's names. */
const char *option_type_name(uint32_t type);
/* Appends what is allowed: "an integer from 1 to 64". */
void option_describe(const sl_option *option, sl_buffer *out);
/* Appends " from 1 to 64"; the option has a range. */
void option_describe_range(const sl_option *option, sl_buffer *out);
/* Appends a bound of the option's range in the option's own words ("32MiB", "10s"). */
void option_format_bound(const sl_option *option, double bound, sl_buffer *out);

/* True for a key that looks as if its value were a secret ("sasl.password"). */
bool option_is_secret_name(const char *key);

#endif /* TOPOLOGY_OPTIONS_H */
