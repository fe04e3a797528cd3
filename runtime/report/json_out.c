/* The JSON writer. */
#include "report/json_out.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void new_line(struct json_out *out) {
    (void)sl_buffer_append_byte(&out->text, '\n');
    for (int i = 0; i < out->depth; i++) {
        (void)sl_buffer_append_text(&out->text, "  ");
    }
}

/* What stands before a value or a key. */
static void before(struct json_out *out) {
    if (out->after_key) {
        out->after_key = false;
        return;
    }
    if (out->depth > 0) {
        if (out->has_items[out->depth - 1]) {
            (void)sl_buffer_append_byte(&out->text, ',');
        }
        out->has_items[out->depth - 1] = true;
        new_line(out);
    }
}

static void begin(struct json_out *out, char bracket) {
    before(out);
    (void)sl_buffer_append_byte(&out->text, (uint8_t)bracket);
    if (out->depth == JSON_OUT_MAX_DEPTH) {
        out->text.failed = true;
        return;
    }
    out->has_items[out->depth++] = false;
}

static void end(struct json_out *out, char bracket) {
    if (out->depth == 0) {
        return;
    }
    out->depth--;
    if (out->has_items[out->depth]) {
        new_line(out);
    }
    (void)sl_buffer_append_byte(&out->text, (uint8_t)bracket);
}

void json_out_object(struct json_out *out) {
    begin(out, '{');
}

void json_out_array(struct json_out *out) {
    begin(out, '[');
}

void json_out_end_object(struct json_out *out) {
    end(out, '}');
}

void json_out_end_array(struct json_out *out) {
    end(out, ']');
}

void json_out_key(struct json_out *out, const char *key) {
    before(out);
    (void)sl_buffer_append_json_string(&out->text, key, strlen(key));
    (void)sl_buffer_append_text(&out->text, ": ");
    out->after_key = true;
}

void json_out_string(struct json_out *out, const char *text) {
    before(out);
    if (text == NULL) {
        (void)sl_buffer_append_text(&out->text, "null");
    } else {
        (void)sl_buffer_append_json_string(&out->text, text, strlen(text));
    }
}

void json_out_masked(struct json_out *out, const char *text) {
    if (text == NULL || out->mask == NULL) {
        json_out_string(out, text);
        return;
    }
    sl_buffer masked = SL_BUFFER_INIT;
    (void)sl_buffer_append_text(&masked, text);
    out->mask(out->mask_arg, &masked);
    json_out_string(out, sl_buffer_text(&masked));
    sl_buffer_free(&masked);
}

void json_out_integer(struct json_out *out, int64_t value) {
    before(out);
    (void)sl_buffer_printf(&out->text, "%" PRId64, value);
}

void json_out_number(struct json_out *out, double value) {
    before(out);
    if (isfinite(value)) {
        char text[40];
        (void)snprintf(text, sizeof(text), "%.15g", value);
        if (strtod(text, NULL) != value) {
            (void)snprintf(text, sizeof(text), "%.17g", value);
        }
        (void)sl_buffer_append_text(&out->text, text);
    } else {
        (void)sl_buffer_append_text(&out->text, "null");
    }
}

void json_out_bool(struct json_out *out, bool value) {
    before(out);
    (void)sl_buffer_append_text(&out->text, value ? "true" : "false");
}

void json_out_raw(struct json_out *out, const char *json) {
    before(out);
    (void)sl_buffer_append_text(&out->text, json);
}

void json_out_member(struct json_out *out, const char *key, const char *text) {
    json_out_key(out, key);
    json_out_string(out, text);
}

void json_out_member_integer(struct json_out *out, const char *key, int64_t value) {
    json_out_key(out, key);
    json_out_integer(out, value);
}

void json_out_member_bool(struct json_out *out, const char *key, bool value) {
    json_out_key(out, key);
    json_out_bool(out, value);
}

bool json_out_print(struct json_out *out) {
    (void)sl_buffer_append_byte(&out->text, '\n');
    bool good = !out->text.failed &&
                fwrite(out->text.data, 1, out->text.bytes, stdout) == out->text.bytes &&
                fflush(stdout) == 0;
    sl_buffer_free(&out->text);
    return good;
}
