/*
 * gold-agg and a reader that falls behind alone: it leaves, is sent again what it lacks, and joins,
 * at random, while the store fails and the process crashes, also in the middle of what it is sent.
 * Whenever it is with the other reader, it has the same rows: closed windows and open ones.
 */
#include "gold_agg_host.h"

struct history {
    struct host *host;
    bool apart;
    int64_t sent_to; /* the stream, by what is in its queue */
    int joined;
};

/* Both readers, or the one that is not behind, take what the stream has for them. */
static void take(struct history *history, size_t n) {
    struct host *host = history->host;
    n = n > host->n_queue ? host->n_queue : n;
    for (size_t i = 0; i < n; i++) {
        apply(host->reader, &host->queue[i]);
        if (!history->apart && host->queue[i].output == 0) {
            apply(host->behind, &host->queue[i]);
        }
        free(host->queue[i].text);
    }
    host->n_queue -= n;
    if (n > 0) {
        memmove(host->queue, host->queue + n, host->n_queue * sizeof(*host->queue));
    }
    int64_t least = host->reader->position[0] < host->behind->position[0]
                        ? host->reader->position[0]
                        : host->behind->position[0];
    node_ops(host)->acknowledge(host->node, &host->own[0], least);
    node_ops(host)->acknowledge(host->node, &host->own[1], host->reader->position[1]);
}

static void assert_level(const struct history *history) {
    const struct reader *a = history->host->reader;
    const struct reader *b = history->host->behind;
    char *rows = joined(a->finals, a->n_finals, NULL, 0);
    char *other = joined(b->finals, b->n_finals, NULL, 0);
    ck_assert_msg(strcmp(rows, other) == 0, "closed windows differ: %zu and %zu of them",
                  a->n_finals, b->n_finals);
    free(rows);
    free(other);
    rows = joined(a->open, a->n_open, NULL, 0);
    other = joined(b->open, b->n_open, NULL, 0);
    ck_assert_msg(strcmp(rows, other) == 0, "open windows differ: %zu and %zu of them at %lld",
                  a->n_open, b->n_open, (long long)a->position[0]);
    free(rows);
    free(other);
}

static int64_t stream_at(const struct host *host) {
    int64_t at = host->reader->position[0];
    for (size_t i = 0; i < host->n_queue; i++) {
        if (host->queue[i].output == 0 && host->queue[i].next > at) {
            at = host->queue[i].next;
        }
    }
    return at;
}

/* Where the stream is, the one that was behind is with the others. */
static void look(struct history *history) {
    struct host *host = history->host;
    if (history->apart && host->behind->position[0] >= stream_at(host)) {
        history->apart = false;
        history->joined++;
    }
    if (!history->apart && host->n_queue == 0) {
        assert_level(history);
    }
}

/* One piece; of which it may get only a part before everything ends. */
static void send_again(struct history *history, size_t max_bytes, bool crashes) {
    struct host *host = history->host;
    sl_request request = {0};
    node_ops(host)->again(host->node, &host->feed, host->behind->position[0], max_bytes, &request);
    sl_error *error = ended(&request);
    ck_assert_msg(error == NULL || sl_error_is(error, SL_ERROR_RETRIABLE), "%s",
                  error == NULL ? "" : sl_error_message(error));
    sl_error_free(error);
    size_t n = crashes ? random_u64() % (host->n_fed_rows + 1) : host->n_fed_rows;
    for (size_t i = 0; i < n; i++) {
        apply(host->behind, &host->fed_rows[i]);
    }
    for (size_t i = 0; i < host->n_fed_rows; i++) {
        free(host->fed_rows[i].text);
    }
    host->n_fed_rows = 0;
}

static void no_faults(struct host *host) {
    sl_store_memory_fail(host->store, SL_STORE_OP_PUT, NULL, 0, SL_STORE_FAULT_BEFORE,
                         SL_ERROR_RETRIABLE);
}

static void crash_and_start(struct history *history) {
    struct host *host = history->host;
    no_faults(host);
    crash(host);
    history->apart = host->behind->position[0] < host->reader->position[0];
    ok(start(host));
}

static void commit_some(struct history *history) {
    struct host *host = history->host;
    if (chance(30)) {
        sl_store_memory_fail(host->store, SL_STORE_OP_PUT, chance(50) ? "log/" : NULL, 1,
                             chance(50) ? SL_STORE_FAULT_BEFORE : SL_STORE_FAULT_AFTER,
                             SL_ERROR_RETRIABLE);
    }
    sl_error *error = commit(host);
    ck_assert(error == NULL || sl_error_is(error, SL_ERROR_RETRIABLE));
    bool failed = error != NULL;
    sl_error_free(error);
    if (failed && history->apart && chance(50)) { /* while a commit waits for its next try */
        send_again(history, 1 + random_u64() % 20000, false);
    }
    while (failed && (error = commit(host)) != NULL) {
        ck_assert(sl_error_is(error, SL_ERROR_RETRIABLE));
        sl_error_free(error);
    }
    no_faults(host);
}

static void step(struct history *history) {
    struct host *host = history->host;
    int s = (int)(random_u64() % STREAMS);
    feed(host, s, 1 + random_u64() % 40, false);
    if (chance(20)) {
        flush(host, s % LANES);
    }
    if (chance(20) && host->n_pieces > 0) {
        commit_some(history);
    }
    if (chance(10)) {
        history->apart = true;
    }
    take(history, random_u64() % 6);
    bool crashes = chance(4);
    if (history->apart && chance(40)) {
        send_again(history, 1 + random_u64() % 20000, crashes);
        look(history);
    }
    if (crashes) {
        crash_and_start(history);
    }
    if (chance(20)) {
        take(history, SIZE_MAX);
        look(history);
    }
}

static void run_history(const struct window_options *window, uint64_t seed) {
    random_state = seed;
    make_events();
    struct history history = {.host = new_host(window)};
    struct host *host = history.host;
    host->behind = calloc(1, sizeof(*host->behind));
    ok(start(host));
    bool more = true;
    while (more) {
        step(&history);
        more = false;
        for (int i = 0; i < STREAMS; i++) {
            more = more || host->fed[i] < EVENTS;
        }
    }
    for (int lane = 0; lane < LANES; lane++) {
        flush(host, lane);
    }
    ok(commit(host));
    take(&history, SIZE_MAX);
    for (int i = 0; history.apart && i < 1000; i++) {
        send_again(&history, 20000, false);
        take(&history, SIZE_MAX);
        look(&history);
    }
    ck_assert(!history.apart);
    assert_level(&history);
    check_reader(host, window->session_us > 0);
    ck_assert_int_gt(history.joined, 0);
    ck_assert_str_eq(host->failure, "");
    free_host(host);
}

START_TEST(a_reader_that_was_behind_has_what_the_others_have) {
    for (uint64_t seed = 0; seed < 30; seed++) {
        long live_before = live;
        run_history(_i == 0 ? &tumbling : &session, 3000 + seed);
        ck_assert_msg(seed == 0 || live == live_before, "%ld blocks left", live - live_before);
    }
}
END_TEST

/* What the outbox has let go before a reader came to it is its loss, with the range. */
START_TEST(results_that_are_no_longer_kept_are_named) {
    random_state = 7;
    make_events();
    struct host *host = new_host(&tumbling);
    struct history history = {.host = host};
    host->behind = calloc(1, sizeof(*host->behind));
    ok(start(host));
    for (int s = 0; s < STREAMS; s++) {
        for (int i = 0; i < 20; i++) {
            feed(host, s, 20, false);
            flush(host, s % LANES);
            ok(commit(host));
            take(&history, SIZE_MAX);
        }
    }
    host->behind->position[0] = 3;
    crash_and_start(&history);
    node_ops(host)->acknowledge(host->node, &host->own[0], host->reader->position[0] - 5);
    sl_request request = {0};
    node_ops(host)->again(host->node, &host->feed, 3, 1 << 20, &request);
    sl_error *error = ended(&request);
    ck_assert(sl_error_is(error, SL_ERROR_FATAL));
    ck_assert_ptr_nonnull(strstr(sl_error_message(error), "needs results 3 to "));
    sl_error_free(error);
    free_host(host);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("gold-agg and a reader that falls behind");
    TCase *cases = tcase_create("again");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, a_reader_that_was_behind_has_what_the_others_have, 0, 2);
    tcase_add_test(cases, results_that_are_no_longer_kept_are_named);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
