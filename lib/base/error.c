/*
 * Errors with formatted messages. An error and its text are one allocation; when even that fails,
 * the static out-of-memory error stands in, so that making an error never fails.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

typedef struct owned_error {
    sl_error error;
    char text[];
} owned_error;

static sl_error no_memory_error = {sizeof(sl_error), SL_ERROR_NO_MEMORY, "out of memory", NULL};

static void owned_error_release(sl_error *error) {
    free(error);
}

sl_error *sl_error_no_memory(void) {
    return &no_memory_error;
}

sl_error *sl_error_newv(sl_error_class error_class, const char *format, va_list args) {
    va_list measure;
    va_copy(measure, args);
    int length = vsnprintf(NULL, 0, format, measure);
    va_end(measure);
    if (length < 0) {
        return sl_error_no_memory();
    }
    owned_error *made = malloc(sizeof(*made) + (size_t)length + 1);
    if (made == NULL) {
        return sl_error_no_memory();
    }
    (void)vsnprintf(made->text, (size_t)length + 1, format, args);
    made->error.struct_bytes = sizeof(sl_error);
    made->error.error_class = (uint32_t)error_class;
    made->error.message = made->text;
    made->error.release = owned_error_release;
    return &made->error;
}

sl_error *sl_error_new(sl_error_class error_class, const char *format, ...) {
    va_list args;
    va_start(args, format);
    sl_error *error = sl_error_newv(error_class, format, args);
    va_end(args);
    return error;
}

sl_error *sl_error_wrap(sl_error *error, const char *format, ...) {
    sl_buffer prefix = SL_BUFFER_INIT;
    char text[256];
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const char *shown = text;
    if (length >= (int)sizeof(text) && sl_buffer_reserve(&prefix, (size_t)length + 1)) {
        (void)vsnprintf((char *)prefix.data, (size_t)length + 1, format, again);
        shown = (const char *)prefix.data;
    }
    va_end(again);
    sl_error *wrapped =
        sl_error_new(sl_error_get_class(error), "%s: %s", shown, sl_error_message(error));
    sl_buffer_free(&prefix);
    sl_error_free(error);
    return wrapped;
}

sl_error *sl_error_format(const char *where, int64_t found, int64_t oldest, int64_t newest) {
    char versions[64];
    if (oldest == newest) {
        (void)snprintf(versions, sizeof(versions), "version %" PRId64, newest);
    } else {
        (void)snprintf(versions, sizeof(versions), "versions %" PRId64 " to %" PRId64, oldest,
                       newest);
    }
    return sl_error_new(SL_ERROR_UNSUPPORTED,
                        "%s has format version %" PRId64 ", this sluice reads %s; run the sluice "
                        "that wrote it, or a newer one",
                        where, found, versions);
}

const char *sl_error_class_name(sl_error_class error_class) {
    switch (error_class) {
#define SL_ERROR_CLASS_NAME(constant, name, meaning)                                               \
    case constant:                                                                                 \
        return name;
        SL_ERROR_CLASS_MAP(SL_ERROR_CLASS_NAME)
#undef SL_ERROR_CLASS_NAME
    }
    return "unknown";
}
