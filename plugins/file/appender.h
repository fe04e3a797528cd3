/*
 * A file that lines are appended to: durable appends, rotation. Blocking; knows nothing of the SDK
 * but errors.
 */
#ifndef FILE_APPENDER_H
#define FILE_APPENDER_H

#include "base/base.h"

struct appender {
    const char *path; /* borrowed */
    int64_t rotate_bytes;
    int64_t rotate_us;
    int fd;              /* -1: not open */
    int64_t bytes;       /* of the file */
    int64_t first_us;    /* when its first line came */
    int64_t files_aside; /* rotations so far */
};

/*
 * Appends all buffers as one step: they are on disk when it returns success; after an error none of
 * them is in the file. `now_us` names rotated files. Errors: RETRIABLE, FATAL (permission).
 */
sl_error *appender_append(struct appender *appender, sl_buffer *const *buffers, size_t n,
                          int64_t now_us);
void appender_close(struct appender *appender);

#endif /* FILE_APPENDER_H */
