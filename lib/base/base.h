/*
 * base: what every part of sluice needs and the C library lacks. Errors with printf-checked
 * messages, growing byte buffers, strict parsing of integers, sizes and durations, nearest-name
 * suggestions, string helpers.
 *
 * Nothing here keeps global state; every function may be called from any thread, one object by one
 * thread at a time.
 */
#ifndef SL_BASE_H
#define SL_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sluice/error.h"

#define SL_ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define SL_PRINTF(format_index, first_arg) __attribute__((format(printf, format_index, first_arg)))

/* ---- errors (error.c) ---- */

/* A new error, owned by the caller. Falls back to the static out-of-memory error, never NULL. */
sl_error *sl_error_new(sl_error_class error_class, const char *format, ...) SL_PRINTF(2, 3);
sl_error *sl_error_newv(sl_error_class error_class, const char *format, va_list args)
    SL_PRINTF(2, 0);

/* The static out-of-memory error; freeing it does nothing. */
sl_error *sl_error_no_memory(void);

/* Takes `error` and returns one of the same class whose message is "<prefix>: <message>". */
sl_error *sl_error_wrap(sl_error *error, const char *format, ...) SL_PRINTF(2, 3);

/* UNSUPPORTED: what is kept at `where` has format version `found`, while the versions from `oldest`
 * to `newest` are read. The one wording for all that is stored. */
sl_error *sl_error_format(const char *where, int64_t found, int64_t oldest, int64_t newest);

/* "retriable", "record", ...: SL_ERROR_CLASS_MAP's names. */
const char *sl_error_class_name(sl_error_class error_class);

/* ---- byte buffers (buffer.c) ---- */

/*
 * A growing byte buffer. Zero-initialise or SL_BUFFER_INIT. After a failed append the buffer is
 * unchanged and `failed` is set and stays set until sl_buffer_clear, so that a sequence of appends
 * needs one check at its end.
 */
typedef struct sl_buffer {
    uint8_t *data;
    size_t bytes;
    size_t capacity_bytes;
    bool failed;
} sl_buffer;
#define SL_BUFFER_INIT                                                                             \
    { NULL, 0, 0, false }

/* Slow path of sl_buffer_reserve: enlarges at least to bytes + more_bytes. */
bool sl_buffer_grow(sl_buffer *buffer, size_t more_bytes);

/* Room for `more_bytes` past the end; false (and `failed`) when memory is short. */
static inline bool sl_buffer_reserve(sl_buffer *buffer, size_t more_bytes) {
    return (more_bytes <= buffer->capacity_bytes - buffer->bytes && !buffer->failed) ||
           sl_buffer_grow(buffer, more_bytes);
}
static inline bool sl_buffer_append(sl_buffer *buffer, const void *data, size_t bytes) {
    if (bytes == 0) {
        return !buffer->failed;
    }
    if (!sl_buffer_reserve(buffer, bytes)) {
        return false;
    }
    memcpy(buffer->data + buffer->bytes, data, bytes);
    buffer->bytes += bytes;
    return true;
}
static inline bool sl_buffer_append_byte(sl_buffer *buffer, uint8_t byte) {
    if (!sl_buffer_reserve(buffer, 1)) {
        return false;
    }
    buffer->data[buffer->bytes++] = byte;
    return true;
}
bool sl_buffer_append_text(sl_buffer *buffer, const char *text);
bool sl_buffer_printf(sl_buffer *buffer, const char *format, ...) SL_PRINTF(2, 3);
/* Appends `text` as a JSON string with its quotes, RFC 8259; bytes that are not UTF-8 become
 * U+FFFD. */
bool sl_buffer_append_json_string(sl_buffer *buffer, const char *text, size_t bytes);
/* Appends a 0 byte that is not counted in `bytes`; returns the text or NULL when memory is short.
 * Borrowed. */
const char *sl_buffer_text(sl_buffer *buffer);
/* Hands the bytes to the caller (free()), leaves the buffer empty. */
uint8_t *sl_buffer_take(sl_buffer *buffer, size_t *bytes);
void sl_buffer_clear(sl_buffer *buffer); /* keeps the memory */
void sl_buffer_free(sl_buffer *buffer);

/* ---- URLs (url.c) ---- */

/* Whether nobody else can read what is sent to `url`: it is not plain http, or it does not leave
 * the machine. */
bool sl_url_is_private(const char *url);

/* ---- percent-encoding (percent.c), RFC 3986, 2.1 ---- */

/* Appends the bytes; all but unreserved characters and those of `keep` are encoded. False when
 * memory is short. */
bool sl_percent_encode(sl_buffer *out, const char *text, size_t bytes, const char *keep);
/* Appends the bytes decoded. A '%' without two hex digits behind it, and one that would give a 0
 * byte, stays as it is; the answer then is false. Memory that is short shows as out->failed. */
bool sl_percent_decode(sl_buffer *out, const char *text, size_t bytes);

/* ---- arithmetic ---- */

/* 128-bit integers of gcc and clang: decimals and exact sums. */
__extension__ typedef __int128 sl_i128;
__extension__ typedef unsigned __int128 sl_u128;

static inline bool sl_add_size(size_t a, size_t b, size_t *sum) {
    return !__builtin_add_overflow(a, b, sum);
}
static inline bool sl_mul_size(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}

/* ---- strict parsing (parse.c): the whole text or nothing ---- */

/* Decimal integer with optional '-', no space, no '+', no leading zeros beyond "0"; false when not
 * one or outside int64. */
bool sl_parse_i64(const char *text, size_t bytes, int64_t *out);
/* "64", "8KiB", "32MiB", "1GiB", "10kB", "5MB": bytes; false when malformed or outside int64. */
bool sl_parse_size(const char *text, size_t bytes, int64_t *out_bytes);
/* "250ms", "10s", "5m", "2h", "1d", "1h30m", "100us", "0"; microseconds; false when malformed or
 * outside int64. */
bool sl_parse_duration(const char *text, size_t bytes, int64_t *out_us);
/* Shortest exact spelling ("32MiB", "10s"); `out` has room for 32 bytes; returns out. */
char *sl_format_size(int64_t bytes, char *out);
char *sl_format_duration(int64_t us, char *out);

/* ---- names (names.c) ---- */

/*
 * The candidate nearest to `name` (Damerau-Levenshtein, case folded) or NULL when none is near
 * enough to be what was meant. Borrowed from `candidates`.
 */
const char *sl_nearest_name(const char *name, const char *const *candidates, size_t n);

/* ---- time (clock.c) ---- */

int64_t sl_now_us(void);       /* Unix time */
int64_t sl_monotonic_us(void); /* for intervals */

#endif /* SL_BASE_H */
