/*
 * The limits of sl_json_options with their defaults filled in.
 */
#ifndef SLJ_OPTIONS_H
#define SLJ_OPTIONS_H

#include "json/json.h"

#define SLJ_DEFAULT_VALUE_BYTES ((size_t)64 << 20)
#define SLJ_MAX_VALUE_BYTES ((size_t)1 << 30)
#define SLJ_DEFAULT_DEPTH 64u
#define SLJ_MAX_DEPTH 256u

typedef struct slj_limits {
    size_t max_value_bytes;
    uint32_t max_depth;
} slj_limits;

/* CONFIG error when a limit is beyond what is allowed. `options` may be NULL. */
sl_error *slj_limits_read(const sl_json_options *options, slj_limits *out);

#endif /* SLJ_OPTIONS_H */
