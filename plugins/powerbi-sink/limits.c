/* Sliding windows over the POSTs of the last hour: see limits.h. */
#include "limits.h"

#define MINUTE_US (INT64_C(60) * 1000000)
#define HOUR_US (INT64_C(3600) * 1000000)

static const struct powerbi_post *post_at(const struct powerbi_limits *limits, size_t i) {
    return &limits->posts[(limits->first + i) % POWERBI_POSTS_REMEMBERED];
}

static void forget(struct powerbi_limits *limits, int64_t now_us) {
    while (limits->n > 0 && post_at(limits, 0)->at_us <= now_us - HOUR_US) {
        limits->rows_last_hour -= post_at(limits, 0)->rows;
        limits->first = (limits->first + 1) % POWERBI_POSTS_REMEMBERED;
        limits->n--;
    }
}

/* Until at most `most` - 1 POSTs are younger than `window_us`. */
static int64_t wait_for_posts(const struct powerbi_limits *limits, int64_t now_us, size_t most,
                              int64_t window_us) {
    if (limits->n < most) {
        return 0;
    }
    int64_t free_us = post_at(limits, limits->n - most)->at_us + window_us;
    return free_us > now_us ? free_us - now_us : 0;
}

static int64_t wait_for_rows(const struct powerbi_limits *limits, int64_t now_us, int32_t rows) {
    int64_t over = limits->rows_last_hour + rows - POWERBI_ROWS_AN_HOUR;
    int64_t wait_us = 0;
    for (size_t i = 0; i < limits->n && over > 0; i++) {
        over -= post_at(limits, i)->rows;
        wait_us = post_at(limits, i)->at_us + HOUR_US - now_us;
    }
    return wait_us > 0 ? wait_us : 0;
}

static int64_t longer(int64_t a, int64_t b) {
    return a > b ? a : b;
}

int64_t powerbi_limits_wait(struct powerbi_limits *limits, int64_t now_us, int32_t rows) {
    forget(limits, now_us);
    int64_t wait_us = longer(limits->not_before_us - now_us, 0);
    wait_us = longer(wait_us, wait_for_posts(limits, now_us, POWERBI_POSTS_A_MINUTE, MINUTE_US));
    if (limits->keeps_all && limits->rows_ever + rows >= POWERBI_LARGE_TABLE_ROWS) {
        wait_us = longer(wait_us, wait_for_posts(limits, now_us, POWERBI_POSTS_AN_HOUR, HOUR_US));
    }
    wait_us = longer(wait_us, wait_for_posts(limits, now_us, POWERBI_POSTS_REMEMBERED, HOUR_US));
    return longer(wait_us, wait_for_rows(limits, now_us, rows));
}

void powerbi_limits_posted(struct powerbi_limits *limits, int64_t now_us, int32_t rows) {
    forget(limits, now_us);
    if (limits->n == POWERBI_POSTS_REMEMBERED) {
        return; /* wait has kept this from happening */
    }
    limits->posts[(limits->first + limits->n++) % POWERBI_POSTS_REMEMBERED] =
        (struct powerbi_post){now_us, rows};
    limits->rows_last_hour += rows;
    limits->rows_ever += rows;
}
