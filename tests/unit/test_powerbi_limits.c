/* powerbi-sink's pace, in virtual time, against the published limits counted anew each time. */
#include "../../plugins/powerbi-sink/limits.c"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000)

static struct powerbi_limits limits;
static struct powerbi_post sent[100000];
static size_t n_sent;

static void begin(bool keeps_all) {
    memset(&limits, 0, sizeof(limits));
    limits.keeps_all = keeps_all;
    n_sent = 0;
}

/* POSTs and rows in the window that ends at `now`. */
static void count(int64_t now, int64_t window, int64_t *posts, int64_t *rows) {
    *posts = *rows = 0;
    for (size_t i = n_sent; i-- > 0 && sent[i].at_us > now - window;) {
        ++*posts;
        *rows += sent[i].rows;
    }
}

/* Posts as fast as it may until `end`, each answered after `latency`; how many rows went. */
static int64_t run(int64_t end, int64_t latency, int32_t (*rows_of)(void)) {
    int64_t total = 0;
    for (int64_t now = SECOND; now < end;) {
        int32_t rows = rows_of();
        int64_t wait = powerbi_limits_wait(&limits, now, rows);
        if (wait > 0) {
            now += wait;
            continue;
        }
        sent[n_sent++] = (struct powerbi_post){now, rows};
        int64_t posts;
        int64_t in_window;
        count(now, 60 * SECOND, &posts, &in_window);
        ck_assert_int_le(posts, 120);
        count(now, 3600 * SECOND, &posts, &in_window);
        ck_assert_int_le(in_window, 1000000);
        if (limits.keeps_all && total >= 250000) {
            ck_assert_int_le(posts, 120);
        }
        now += latency;
        powerbi_limits_posted(&limits, now, rows);
        total += rows;
    }
    return total;
}

static int32_t full(void) {
    return 10000;
}
static int32_t one(void) {
    return 1;
}
static int32_t any(void) {
    return 1 + (int32_t)(random() % 10000);
}

START_TEST(full_posts_use_the_hour) {
    begin(false);
    /* the hour's million at once, and again each hour */
    ck_assert_int_eq(run(3 * 3600 * SECOND, SECOND / 5, full), 3000000);
}
END_TEST

START_TEST(small_posts_use_the_minute) {
    begin(false);
    int64_t rows = run(3600 * SECOND, SECOND / 10, one);
    ck_assert_int_ge(rows, 120 * 59);
    ck_assert_int_le(rows, 120 * 60);
}
END_TEST

START_TEST(random_posts_stay_below) {
    srandom(7);
    for (int i = 0; i < 20; i++) {
        begin(i % 2 == 0);
        ck_assert_int_gt(run(5 * 3600 * SECOND, 1 + random() % SECOND, any), 250000);
    }
}
END_TEST

START_TEST(a_429_is_obeyed) {
    begin(false);
    limits.not_before_us = 100 * SECOND;
    ck_assert_int_eq(powerbi_limits_wait(&limits, 40 * SECOND, 1), 60 * SECOND);
    ck_assert_int_eq(powerbi_limits_wait(&limits, 100 * SECOND, 1), 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("powerbi_limits");
    TCase *pace = tcase_create("pace");
    tcase_set_timeout(pace, 60);
    tcase_add_test(pace, full_posts_use_the_hour);
    tcase_add_test(pace, small_posts_use_the_minute);
    tcase_add_test(pace, random_posts_stay_below);
    tcase_add_test(pace, a_429_is_obeyed);
    suite_add_tcase(suite, pace);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
