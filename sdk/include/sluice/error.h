/*
 * Errors as objects: NULL is success, anything else is one error owned by whoever received it.
 *
 * The struct is public because a plugin, its statically linked libraries and the host pass errors
 * to each other across shared objects; its layout is frozen for ABI major 1. Use the accessors;
 * make errors with sl_error_new() of lib/base or, in a plugin that links no library of ours, with
 * sl_services.error_new().
 */
#ifndef SLUICE_ERROR_H
#define SLUICE_ERROR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What the receiver should do. One list gives the enum, the name in logs and JSON, and the meaning.
 *   X(constant, name, meaning)
 */
#define SL_ERROR_CLASS_MAP(X)                                                                      \
    X(SL_ERROR_RETRIABLE, "retriable", "may succeed later: the host backs off and tries again")    \
    X(SL_ERROR_RECORD, "record", "a record is at fault and not passed over: the node stops")       \
    X(SL_ERROR_CONFIG, "config", "the configuration is at fault: an operator must change it")      \
    X(SL_ERROR_FATAL, "fatal", "the node stops with this message, the others go on")               \
    X(SL_ERROR_CONFLICT, "conflict", "somebody else got there first: recover from what is stored") \
    X(SL_ERROR_EXISTS, "exists", "put-if-absent found the object there already")                   \
    X(SL_ERROR_NOT_FOUND, "not_found", "the object is not there")                                  \
    X(SL_ERROR_CORRUPT, "corrupt", "stored bytes do not follow their format")                      \
    X(SL_ERROR_UNSUPPORTED, "unsupported", "a feature of the input that sluice does not have")     \
    X(SL_ERROR_NO_MEMORY, "no_memory", "an allocation failed")

typedef enum sl_error_class {
#define SL_ERROR_CLASS_ENUM(constant, name, meaning) constant,
    SL_ERROR_CLASS_MAP(SL_ERROR_CLASS_ENUM)
#undef SL_ERROR_CLASS_ENUM
} sl_error_class;

typedef struct sl_error {
    uint32_t struct_bytes; /* sizeof of the maker's struct */
    uint32_t error_class;  /* sl_error_class */
    const char *message;   /* UTF-8, one sentence or more, no trailing newline; never NULL */
    void (*release)(struct sl_error *); /* frees the error; NULL for a static one */
} sl_error;

/* Frees `error`; NULL is allowed. Any thread. */
static inline void sl_error_free(sl_error *error) {
    if (error != NULL && error->release != NULL) {
        error->release(error);
    }
}

/* Borrowed, valid as long as `error`. Any thread. */
static inline const char *sl_error_message(const sl_error *error) {
    return error->message;
}

static inline sl_error_class sl_error_get_class(const sl_error *error) {
    return (sl_error_class)error->error_class;
}

static inline int sl_error_is(const sl_error *error, sl_error_class wanted) {
    return error != NULL && error->error_class == (uint32_t)wanted;
}

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_ERROR_H */
