/* Numbers as people read them. Each appends to `out`. */
#ifndef CLI_NUMBERS_H
#define CLI_NUMBERS_H

#include "base/base.h"

void number_count(sl_buffer *out, int64_t value); /* 1,234,567 */
void number_bytes(sl_buffer *out, int64_t bytes); /* 1.2 GiB */
void number_seconds(sl_buffer *out, int64_t us);  /* 12.3 s */
void number_duration(sl_buffer *out, int64_t us); /* 850 us, 12 ms, 1.2 s */

#endif /* CLI_NUMBERS_H */
