/* Writing JSON for programs: commas and indentation by the writer, so that no caller counts. */
#ifndef REPORT_JSON_OUT_H
#define REPORT_JSON_OUT_H

#include "base/base.h"

#define JSON_OUT_MAX_DEPTH 64

/* Zero-initialise. */
struct json_out {
    sl_buffer text;
    /* What json_out_masked writes passes through it; NULL: none. */
    void (*mask)(const void *arg, sl_buffer *text);
    const void *mask_arg;
    int depth;
    bool has_items[JSON_OUT_MAX_DEPTH];
    bool after_key;
};

void json_out_object(struct json_out *out);
void json_out_array(struct json_out *out);
void json_out_end_object(struct json_out *out);
void json_out_end_array(struct json_out *out);
void json_out_key(struct json_out *out, const char *key);
void json_out_string(struct json_out *out, const char *text); /* NULL: null */
void json_out_integer(struct json_out *out, int64_t value);
void json_out_number(struct json_out *out, double value);
void json_out_bool(struct json_out *out, bool value);
/* A string that may hold what is secret. */
void json_out_masked(struct json_out *out, const char *text);
/* JSON text as it is. */
void json_out_raw(struct json_out *out, const char *json);

/* key and value at once */
void json_out_member(struct json_out *out, const char *key, const char *text);
void json_out_member_integer(struct json_out *out, const char *key, int64_t value);
void json_out_member_bool(struct json_out *out, const char *key, bool value);

/* Prints the text and a line break to stdout, frees it; false when memory ran short or nothing
 * could be written. */
bool json_out_print(struct json_out *out);

#endif /* REPORT_JSON_OUT_H */
