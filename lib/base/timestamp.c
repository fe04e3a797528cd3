/*
 * RFC 3339 and the calendar behind it. The calendar counts in eras of 400 years that begin in March
 * (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"), so that leap days come last.
 */
#include "base/timestamp.h"

#define DAY_US INT64_C(86400000000)

int64_t sl_days_from_civil(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

void sl_civil_from_days(int64_t days, int64_t *year, int *month, int *day) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = yoe + era * 400 + (*month <= 2);
}

/* Reads exactly `n` digits; -1 when there are not that many. */
static int digits(const char **at, const char *end, int n) {
    int value = 0;
    for (int i = 0; i < n; i++, (*at)++) {
        if (*at >= end || **at < '0' || **at > '9') {
            return -1;
        }
        value = value * 10 + (**at - '0');
    }
    return value;
}

static bool skip(const char **at, const char *end, char wanted) {
    if (*at >= end || **at != wanted) {
        return false;
    }
    (*at)++;
    return true;
}

static bool parse_date(const char **at, const char *end, int64_t *days) {
    static const int LENGTHS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = digits(at, end, 4);
    bool good = year >= 0 && skip(at, end, '-');
    int month = good ? digits(at, end, 2) : -1;
    good = month >= 1 && month <= 12 && skip(at, end, '-');
    int day = good ? digits(at, end, 2) : -1;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (!good || day < 1 || day > LENGTHS[month - 1] + (month == 2 && leap)) {
        return false;
    }
    *days = sl_days_from_civil(year, month, day);
    return true;
}

static bool parse_time(const char **at, const char *end, int64_t *us) {
    int hour = digits(at, end, 2);
    int minute = hour >= 0 && skip(at, end, ':') ? digits(at, end, 2) : -1;
    int second = minute >= 0 && skip(at, end, ':') ? digits(at, end, 2) : -1;
    if (second < 0 || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    *us = ((hour * 60 + minute) * INT64_C(60) + second) * 1000000;
    if (!skip(at, end, '.')) {
        return true;
    }
    int64_t unit = 100000;
    const char *first = *at;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++, unit /= 10) {
        *us += unit * (**at - '0');
    }
    return *at > first;
}

static bool parse_zone(const char **at, const char *end, int64_t *offset_us) {
    *offset_us = 0;
    if (skip(at, end, 'Z') || skip(at, end, 'z')) {
        return true;
    }
    bool west = *at < end && **at == '-';
    if (!west && (*at >= end || **at != '+')) {
        return false;
    }
    (*at)++;
    int hour = digits(at, end, 2);
    int minute = hour >= 0 && skip(at, end, ':') ? digits(at, end, 2) : -1;
    if (minute < 0 || hour > 23 || minute > 59) {
        return false;
    }
    *offset_us = (hour * 60 + minute) * INT64_C(60000000) * (west ? -1 : 1);
    return true;
}

bool sl_parse_timestamp(const char *text, size_t bytes, int64_t *out_us) {
    const char *at = text;
    const char *end = text + bytes;
    int64_t days = 0;
    int64_t us = 0;
    int64_t offset_us = 0;
    if (!parse_date(&at, end, &days) || at >= end || (*at != 'T' && *at != 't' && *at != ' ')) {
        return false;
    }
    at++;
    if (!parse_time(&at, end, &us) || !parse_zone(&at, end, &offset_us) || at != end) {
        return false;
    }
    *out_us = days * DAY_US + us - offset_us;
    return true;
}
