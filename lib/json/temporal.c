/*
 * RFC 3339 dates and times.
 */
#include "json/temporal.h"

#include "base/timestamp.h"

#define US_PER_SECOND INT64_C(1000000)
#define US_PER_DAY (INT64_C(86400) * US_PER_SECOND)

/* Two digits, or -1. */
static int digits2(const uint8_t *p) {
    unsigned high = p[0] - '0', low = p[1] - '0';
    return high > 9 || low > 9 ? -1 : (int)(high * 10 + low);
}

bool slj_parse_date(const uint8_t *text, size_t bytes, int32_t *days) {
    static const uint8_t month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (bytes != 10 || text[4] != '-' || text[7] != '-') {
        return false;
    }
    int century = digits2(text), rest = digits2(text + 2);
    int month = digits2(text + 5), day = digits2(text + 8);
    if (century < 0 || rest < 0 || month < 1 || month > 12 || day < 1 ||
        day > month_days[month - 1]) {
        return false;
    }
    int year = century * 100 + rest;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (month == 2 && day == 29 && !leap) {
        return false;
    }
    *days = (int32_t)sl_days_from_civil(year, month, day);
    return true;
}

/* "Z" or "+01:00" to the end; *offset_us is what to subtract. */
static bool parse_offset(const uint8_t *text, size_t bytes, int64_t *offset_us) {
    *offset_us = 0;
    if (bytes == 1 && (text[0] | 0x20) == 'z') {
        return true;
    }
    if (bytes != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') {
        return false;
    }
    int hours = digits2(text + 1), minutes = digits2(text + 4);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) {
        return false;
    }
    int64_t us = (hours * 60 + minutes) * 60 * US_PER_SECOND;
    *offset_us = text[0] == '-' ? -us : us;
    return true;
}

bool slj_parse_time(const uint8_t *text, size_t bytes, int64_t *us) {
    if (bytes < 9 || text[2] != ':' || text[5] != ':') {
        return false;
    }
    int hours = digits2(text), minutes = digits2(text + 3), seconds = digits2(text + 6);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || seconds < 0 || seconds > 60) {
        return false;
    }
    int64_t fraction_us = 0;
    size_t at = 8;
    if (text[at] == '.') {
        int64_t scale = US_PER_SECOND / 10;
        size_t first = ++at;
        for (; at < bytes && text[at] >= '0' && text[at] <= '9'; at++) {
            fraction_us += scale * (text[at] - '0');
            scale /= 10;
        }
        if (at == first) {
            return false;
        }
    }
    int64_t offset_us;
    if (!parse_offset(text + at, bytes - at, &offset_us)) {
        return false;
    }
    int64_t second = ((int64_t)hours * 60 + minutes) * 60 + seconds;
    *us = second * US_PER_SECOND + fraction_us - offset_us;
    if (seconds == 60) { /* only as the last second of a day of UTC */
        int64_t utc = ((*us - fraction_us) % US_PER_DAY + US_PER_DAY) % US_PER_DAY;
        return utc == 0;
    }
    return true;
}

bool slj_parse_date_time(const uint8_t *text, size_t bytes, int64_t *us) {
    int32_t days;
    if (bytes < 20 || (text[10] | 0x20) != 't' || !slj_parse_date(text, 10, &days) ||
        !slj_parse_time(text + 11, bytes - 11, us)) {
        return false;
    }
    *us += (int64_t)days * US_PER_DAY;
    return true;
}
