/*
 * Dates and times of RFC 3339, section 5.6, as JSON Schema's formats date-time, date and time ask
 * for them: strictly, with leap seconds where they may be.
 */
#ifndef SLJ_TEMPORAL_H
#define SLJ_TEMPORAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "2026-11-22": days since 1970-01-01. */
bool slj_parse_date(const uint8_t *text, size_t bytes, int32_t *days);

/* "10:00:00.5+01:00": microseconds since midnight UTC, may lie outside [0, 24 h). Digits beyond
 * microseconds are cut; a leap second counts as the second after it. */
bool slj_parse_time(const uint8_t *text, size_t bytes, int64_t *us);

/* "2026-11-22T10:00:00.123Z": Unix time in microseconds, as slj_parse_time. */
bool slj_parse_date_time(const uint8_t *text, size_t bytes, int64_t *us);

#endif /* SLJ_TEMPORAL_H */
