/* UTF-8, checked. Any thread. */
#ifndef SL_BASE_UTF8_H
#define SL_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many bytes from the beginning are below 0x80. */
size_t sl_ascii_prefix(const void *text, size_t bytes);
/* Well-formed UTF-8 from end to end (Unicode 15, table 3-7). */
bool sl_utf8_is_valid(const void *text, size_t bytes);
/*
 * Length of the well-formed sequence at text (1 to 4), or 0 with *skip set to the length of the
 * maximal ill-formed subpart, for which one U+FFFD stands. bytes > 0.
 */
size_t sl_utf8_sequence(const uint8_t *text, size_t bytes, size_t *skip);

#endif /* SL_BASE_UTF8_H */
