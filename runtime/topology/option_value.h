/*
 * Inside the option parser: one value into its field (option_value.c), a whole table of them
 * (options.c).
 */
#ifndef TOPOLOGY_OPTION_VALUE_H
#define TOPOLOGY_OPTION_VALUE_H

#include "topology/options.h"

/* One value on its way into its field. */
struct option_target {
    const struct option_context *context;
    const sl_option *option;
    const struct json_value *value; /* NULL: the default's text */
    struct json_place place;
    const char *path;
    void *field;
    sl_buffer *effective; /* or NULL */
};

/* The target's value, or a default's text, into the field and into `effective`; false after a fault
 * or when memory is short. */
bool option_put(const struct option_target *t);
bool option_put_text(const struct option_target *t, const char *text);

/* A member of a map: its value as text, NULL when memory is short; and the member as it may be
 * shown. */
sl_pair option_make_pair(const struct option_context *context, const struct json_value *member);
void option_show_member(const struct json_value *member, bool first, sl_buffer *effective);

/* Fills `config` from an object; options_parse without the allocation. */
bool options_parse_into(const struct option_context *context, const sl_option *table,
                        const struct json_value *object, struct json_place place, const char *path,
                        void *config, sl_buffer *effective);

#endif /* TOPOLOGY_OPTION_VALUE_H */
