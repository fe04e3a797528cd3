/* Masking of secret values in outgoing text. */
#include "topology/secrets.h"

#include <ctype.h>

#define SHORT_BYTES 4

struct secret {
    struct secret *next;
    const char *text;
    size_t bytes;
};

struct secret_place {
    struct secret_place *next;
    int line;
    int column;
};

static void add_spelling(struct secrets *secrets, struct arena *arena, const char *text,
                         size_t bytes) {
    struct secret **at = &secrets->list;
    while (*at != NULL && (*at)->bytes >= bytes) {
        if ((*at)->bytes == bytes && memcmp((*at)->text, text, bytes) == 0) {
            return;
        }
        at = &(*at)->next;
    }
    struct secret *made = arena_alloc(arena, sizeof(*made));
    const char *copy = arena_copy(arena, text, bytes);
    if (made == NULL || copy == NULL) {
        return;
    }
    *made = (struct secret){*at, copy, bytes};
    *at = made;
}

static void add_json_spelling(struct secrets *secrets, struct arena *arena, const char *value) {
    sl_buffer out = SL_BUFFER_INIT;
    if (sl_buffer_append_json_string(&out, value, strlen(value))) {
        add_spelling(secrets, arena, (const char *)out.data + 1, out.bytes - 2);
    } else {
        arena->failed = true;
    }
    sl_buffer_free(&out);
}

/* As in URLs: everything but RFC 3986's unreserved characters and '/', in capitals. */
static void add_percent_spelling(struct secrets *secrets, struct arena *arena, const char *value) {
    sl_buffer out = SL_BUFFER_INIT;
    (void)sl_percent_encode(&out, value, strlen(value), "/");
    if (out.failed) {
        arena->failed = true;
    } else {
        add_spelling(secrets, arena, (const char *)out.data, out.bytes);
    }
    sl_buffer_free(&out);
}

void secrets_add(struct secrets *secrets, struct arena *arena, const char *value) {
    size_t bytes = strlen(value);
    if (bytes == 0) {
        return;
    }
    add_spelling(secrets, arena, value, bytes);
    add_json_spelling(secrets, arena, value);
    add_percent_spelling(secrets, arena, value);
}

void secrets_add_place(struct secrets *secrets, struct arena *arena, int line, int column) {
    struct secret_place *made = line > 0 ? arena_alloc(arena, sizeof(*made)) : NULL;
    if (made != NULL) {
        *made = (struct secret_place){secrets->places, line, column};
        secrets->places = made;
    }
}

bool secrets_stand_at(const struct secrets *secrets, int line, int column) {
    for (const struct secret_place *p = secrets->places; p != NULL; p = p->next) {
        if (p->line == line && p->column == column) {
            return true;
        }
    }
    return false;
}

bool secrets_is_empty(const struct secrets *secrets) {
    return secrets->list == NULL;
}

static bool stands_alone(const uint8_t *text, size_t bytes, size_t at, size_t length) {
    bool left = at == 0 || !isalnum(text[at - 1]);
    bool right = at + length >= bytes || !isalnum(text[at + length]);
    return left && right;
}

/* The longest secret that stands at text[at...], or NULL. */
static const struct secret *secret_at(const struct secrets *secrets, const uint8_t *text,
                                      size_t bytes, size_t at) {
    for (const struct secret *s = secrets->list; s != NULL; s = s->next) {
        if (s->bytes <= bytes - at && text[at] == (uint8_t)s->text[0] &&
            memcmp(text + at, s->text, s->bytes) == 0 &&
            (s->bytes >= SHORT_BYTES || stands_alone(text, bytes, at, s->bytes))) {
            return s;
        }
    }
    return NULL;
}

void secrets_mask(const struct secrets *secrets, sl_buffer *text) {
    if (secrets->list == NULL || text->bytes == 0) {
        return;
    }
    sl_buffer out = SL_BUFFER_INIT;
    bool found = false;
    for (size_t at = 0; at < text->bytes;) {
        const struct secret *s = secret_at(secrets, text->data, text->bytes, at);
        if (s != NULL) {
            found = true;
            (void)sl_buffer_append_text(&out, "***");
            at += s->bytes;
        } else {
            (void)sl_buffer_append_byte(&out, text->data[at++]);
        }
    }
    if (out.failed) {
        memset(text->data, '*', text->bytes);
        sl_buffer_free(&out);
    } else if (found) {
        sl_buffer_free(text);
        *text = out;
    } else {
        sl_buffer_free(&out);
    }
}
