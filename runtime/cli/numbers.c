/* Numbers as people read them. */
#include "cli/numbers.h"

#include <inttypes.h>
#include <stdio.h>

void number_count(sl_buffer *out, int64_t value) {
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%" PRIu64,
                     value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value);
    if (value < 0) {
        (void)sl_buffer_append_byte(out, '-');
    }
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) {
            (void)sl_buffer_append_byte(out, ',');
        }
        (void)sl_buffer_append_byte(out, (uint8_t)digits[i]);
    }
}

void number_bytes(sl_buffer *out, int64_t bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t i = 0;
    while (value >= 1024 && i + 1 < SL_ARRAY_LENGTH(units)) {
        value /= 1024;
        i++;
    }
    if (i == 0) {
        (void)sl_buffer_printf(out, "%" PRId64 " bytes", bytes);
    } else {
        (void)sl_buffer_printf(out, "%.1f %s", value, units[i]);
    }
}

void number_seconds(sl_buffer *out, int64_t us) {
    (void)sl_buffer_printf(out, "%.1f s", (double)us / 1e6);
}

void number_duration(sl_buffer *out, int64_t us) {
    if (us < 1000) {
        (void)sl_buffer_printf(out, "%" PRId64 " us", us);
    } else if (us < 1000000) {
        (void)sl_buffer_printf(out, "%.0f ms", (double)us / 1e3);
    } else {
        (void)sl_buffer_printf(out, "%.2f s", (double)us / 1e6);
    }
}
