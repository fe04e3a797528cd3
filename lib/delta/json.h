/*
 * JSON as the transaction log has it: a tree in one arena, numbers kept as their text, since
 * positions and sizes are 64-bit integers that a double cannot hold. No public interface.
 */
#ifndef SL_DELTA_JSON_H
#define SL_DELTA_JSON_H

#include "base/base.h"

typedef enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER, /* text: as written */
    JSON_STRING, /* text: decoded, 0-terminated, may hold further 0 bytes */
    JSON_ARRAY,
    JSON_OBJECT
} json_kind;

typedef struct json_value {
    json_kind kind;
    const char *name; /* in an object: decoded, 0-terminated */
    const char *text;
    size_t bytes;
    struct json_value *child; /* first of an array or object */
    struct json_value *next;  /* sibling */
} json_value;

/* Chunks of memory given back at once. Zero-initialise. */
typedef struct json_arena {
    struct json_chunk *chunks;
} json_arena;

/*
 * Parses one whole value (RFC 8259). *out lives in the arena. Errors: CORRUPT with the byte at
 * which the text goes wrong, NO_MEMORY. Values nested over JSON_MAX_DEPTH deep are CORRUPT.
 */
#define JSON_MAX_DEPTH 200
sl_error *delta_json_parse(json_arena *arena, const char *text, size_t bytes,
                           const json_value **out);
/* Gives the memory back; the arena can be used again. */
void delta_json_arena_free(json_arena *arena);

/* The member `name` of an object, NULL when absent, null, or `object` is no object (or NULL). */
const json_value *delta_json_member(const json_value *object, const char *name);
/* Text of a string member, NULL when absent or of another kind. */
const char *delta_json_text(const json_value *object, const char *name);
/* An integer member ("12", also "12.0"); false when absent or not an int64. */
bool delta_json_int(const json_value *object, const char *name, int64_t *out);
/* A boolean member; `fallback` when absent. */
bool delta_json_bool(const json_value *object, const char *name, bool fallback);
/* Writes the value as compact JSON text. */
bool delta_json_write(const json_value *value, sl_buffer *out);

#endif /* SL_DELTA_JSON_H */
