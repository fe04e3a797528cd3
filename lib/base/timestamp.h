/*
 * Timestamps as operators write them: RFC 3339 in, for options such as "start_time".
 */
#ifndef SL_BASE_TIMESTAMP_H
#define SL_BASE_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * "2026-11-22T10:00:00Z", with fraction (at most 6 digits count, the rest is dropped) and offset
 * ("+01:00"): Unix time in microseconds. False when it is none (RFC 3339, section 5.6; no leap
 * second).
 */
bool sl_parse_timestamp(const char *text, size_t bytes, int64_t *out_us);

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar, and back. */
int64_t sl_days_from_civil(int64_t year, int month, int day);
void sl_civil_from_days(int64_t days, int64_t *year, int *month, int *day);

#endif /* SL_BASE_TIMESTAMP_H */
