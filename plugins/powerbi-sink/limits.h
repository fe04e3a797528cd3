/*
 * When a POST may go: the published limits of push datasets as sliding windows over the POSTs that
 * were answered. A POST counts from its answer on, which is later than the service counts it, so a
 * sluice that is alone never goes too fast.
 */
#ifndef POWERBI_LIMITS_H
#define POWERBI_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    POWERBI_POSTS_A_MINUTE = 120,
    POWERBI_ROWS_AN_HOUR = 1000000,
    POWERBI_LARGE_TABLE_ROWS = 250000, /* from here on: */
    POWERBI_POSTS_AN_HOUR = 120,
    POWERBI_POSTS_REMEMBERED = 8192 /* more than an hour can have */
};

struct powerbi_post {
    int64_t at_us;
    int32_t rows;
};

struct powerbi_limits {
    struct powerbi_post posts[POWERBI_POSTS_REMEMBERED]; /* a ring, oldest at `first` */
    size_t first;
    size_t n;
    int64_t rows_last_hour;
    int64_t rows_ever;
    bool keeps_all;        /* retention none: the table grows */
    int64_t not_before_us; /* a 429 has asked for it */
};

/* How long a POST of `rows` has to wait, us; 0: it may go. */
int64_t powerbi_limits_wait(struct powerbi_limits *limits, int64_t now_us, int32_t rows);
/* A POST was answered; a refused one counts as well, with 0 rows. */
void powerbi_limits_posted(struct powerbi_limits *limits, int64_t now_us, int32_t rows);

#endif /* POWERBI_LIMITS_H */
