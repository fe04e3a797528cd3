/*
 * gold-agg under a small host of its own (gold_agg_host.h): random flushes, commits, failing stores
 * and crashes. Whatever happens, the reader ends with the same rows, each
 * once.
 */
#include "gold_agg_host.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- random histories ---- */

static void maybe_fault(struct host *host) {
    if (chance(20)) {
        sl_store_memory_fail(host->store, SL_STORE_OP_PUT, chance(50) ? "log/" : NULL,
                             1 + (int64_t)(random_u64() % 2),
                             chance(50) ? SL_STORE_FAULT_BEFORE : SL_STORE_FAULT_AFTER,
                             SL_ERROR_RETRIABLE);
    }
}

/* One commit, tried again while it may be, or given up by a crash. */
static void commit_or_crash(struct host *host, bool calm) {
    sl_error *error;
    while ((error = commit(host)) != NULL) {
        ck_assert_msg(sl_error_is(error, SL_ERROR_RETRIABLE), "%s", sl_error_message(error));
        sl_error_free(error);
        if (!calm && chance(30)) {
            sl_store_memory_fail(host->store, SL_STORE_OP_PUT, NULL, 0, SL_STORE_FAULT_BEFORE,
                                 SL_ERROR_RETRIABLE);
            crash(host);
            ok(start(host));
            return;
        }
    }
}

static bool changes_lateness; /* at each start */

static void start_again(struct host *host) {
    crash(host);
    if (changes_lateness) {
        host->options.lateness_us = (int64_t)(random_u64() % 4) * 8 * SECOND;
    }
    ok(start(host));
}

static void check_results(struct host *host, const struct window_options *window) {
    if (changes_lateness) {
        check_all_counted(host);
    } else {
        check_reader(host, window->session_us > 0);
    }
}

static void run_history(const struct window_options *window, uint64_t seed) {
    random_state = seed;
    make_events();
    struct host *host = new_host(window);
    ok(start(host));
    bool more = true;
    while (more) {
        int s = (int)(random_u64() % STREAMS);
        feed(host, s, 1 + random_u64() % 40, false);
        if (chance(20)) {
            flush(host, s % LANES);
        }
        if (chance(15) && host->n_pieces > 0) {
            maybe_fault(host);
            commit_or_crash(host, false);
        }
        read_some(host, random_u64() % 4);
        if (chance(2)) {
            sl_store_memory_fail(host->store, SL_STORE_OP_PUT, NULL, 0, SL_STORE_FAULT_BEFORE,
                                 SL_ERROR_RETRIABLE);
            start_again(host);
        }
        more = false;
        for (int i = 0; i < STREAMS; i++) {
            more = more || host->fed[i] < EVENTS;
        }
    }
    sl_store_memory_fail(host->store, SL_STORE_OP_PUT, NULL, 0, SL_STORE_FAULT_BEFORE,
                         SL_ERROR_RETRIABLE);
    for (int lane = 0; lane < LANES; lane++) {
        flush(host, lane);
    }
    commit_or_crash(host, true);
    read_some(host, SIZE_MAX);
    check_results(host, window);
    ck_assert_str_eq(host->failure, "");
    /* a start without anything new brings the reader nothing wrong */
    start_again(host);
    read_some(host, SIZE_MAX);
    check_results(host, window);
    free_host(host);
}

START_TEST(tumbling_survives_everything) {
    for (uint64_t seed = 0; seed < 25; seed++) {
        run_history(&tumbling, 1000 + seed);
    }
}
END_TEST

START_TEST(sessions_survive_everything) {
    for (uint64_t seed = 0; seed < 10; seed++) {
        run_history(&session, 2000 + seed);
    }
}
END_TEST

/* A window that is closed stays so. */
START_TEST(lateness_may_be_changed) {
    changes_lateness = true;
    for (uint64_t seed = 0; seed < 25; seed++) {
        run_history(&tumbling, 3000 + seed);
    }
    changes_lateness = false;
}
END_TEST

/* ---- details ---- */

static void feed_all(struct host *host, int s) {
    while (feed(host, s, 100, false)) {
    }
}

static void commit_all(struct host *host) {
    for (int lane = 0; lane < LANES; lane++) {
        flush(host, lane);
    }
    ok(commit(host));
    read_some(host, SIZE_MAX);
}

/* What is sent follows what was sent before, or the reader's position. */
static void assert_sent_in_order(const struct host *host) {
    int64_t at[OUTPUTS];
    memcpy(at, host->reader->position, sizeof(at));
    for (size_t i = 0; i < host->n_queue; i++) {
        const struct kept_batch *batch = &host->queue[i];
        ck_assert_int_eq(batch->first, at[batch->output]);
        at[batch->output] = batch->next;
    }
}

/* Whatever cannot be read for the moment while a reader is sent what it lacks. */
START_TEST(nothing_is_sent_twice_when_a_resume_is_tried_again) {
    random_state = 5;
    make_events();
    struct host *host = new_host(&tumbling);
    ok(start(host));
    for (bool more = true; more;) {
        more = false;
        for (int s = 0; s < STREAMS; s++) {
            more = feed(host, s, 100, false) || more;
        }
        for (int lane = 0; lane < LANES; lane++) {
            flush(host, lane);
        }
        ok(commit(host));
    }
    bool failed = false;
    int64_t n = 1; /* each start adds an entry or two, which the next one reads */
    do {
        crash(host);
        sl_store_memory_fail(host->store, SL_STORE_OP_GET, "log/", n, SL_STORE_FAULT_BEFORE,
                             SL_ERROR_RETRIABLE);
        n += 7;
        sl_error *error = start(host);
        failed = error != NULL;
        sl_error_free(error);
        if (failed) {
            ok(resume_all(host));
        }
        assert_sent_in_order(host);
    } while (failed);
    ck_assert_int_gt(n, 100);
    sl_store_memory_fail(host->store, SL_STORE_OP_GET, NULL, 0, SL_STORE_FAULT_BEFORE,
                         SL_ERROR_RETRIABLE);
    read_some(host, SIZE_MAX);
    check_reader(host, false);
    free_host(host);
}
END_TEST

/* Seconds of the host's life, in which nothing is read. */
static void pass(struct host *host, int seconds) {
    for (int i = 0; i < seconds; i++) {
        host->now_us += SECOND;
        fire(host, 1000);
    }
}

START_TEST(idle_streams_hold_nothing_open) {
    random_state = 3;
    make_events();
    struct host *host = new_host(&tumbling);
    host->options.idle_us = 30 * SECOND;
    ok(start(host));
    feed_all(host, 0);
    feed_all(host, 1);
    commit_all(host);
    ck_assert_uint_eq(host->reader->n_finals, 0); /* stream 2 has said nothing */
    feed(host, 2, 0, false);
    host->fed[2] = EVENTS;
    ck_assert(!feed(host, 2, 1, true)); /* it is at its end, empty */
    pass(host, 29);
    host->now_us += 900 * SECOND; /* the clock was set, or the process stood still */
    fire(host, 1000);
    host->now_us -= 450 * SECOND;
    fire(host, 1000);
    pass(host, 29);
    read_some(host, SIZE_MAX);
    ck_assert_uint_eq(host->reader->n_finals, 0);
    pass(host, 2); /* without any commit of the host's */
    read_some(host, SIZE_MAX);
    size_t finals = host->reader->n_finals;
    ck_assert_uint_gt(finals, 20);
    /* what it has after all is judged by what is closed: late, or in open windows; never twice */
    host->fed[2] = 0;
    feed_all(host, 2);
    commit_all(host);
    ck_assert_uint_ge(host->reader->n_finals, finals);
    size_t late = host->reader->n_late;
    ck_assert_uint_gt(late, EVENTS / STREAMS / 2);
    /* and the same after a crash before the commit */
    crash(host);
    ok(start(host));
    commit_all(host);
    ck_assert_uint_eq(host->reader->n_late, late);
    ck_assert_str_eq(host->failure, "");
    free_host(host);
}
END_TEST

/* Seconds in which the source sees where stream 2 ends: `behind` what was taken. */
static void pass_seeing(struct host *host, int seconds, int64_t behind) {
    for (int i = 0; i < seconds; i++) {
        host->seen_us[2] = host->now_us;
        host->seen_end[2] = host->fed_to[2] + behind;
        pass(host, 1);
    }
    read_some(host, SIZE_MAX);
}

/* As while a broker is away: there may be rows by now, which nobody can see. */
START_TEST(streams_whose_end_is_not_seen_are_not_idle) {
    random_state = 3;
    make_events();
    struct host *host = new_host(&tumbling);
    host->options.idle_us = 30 * SECOND;
    ok(start(host));
    size_t fed = host->fed[2];
    host->fed[2] = EVENTS;
    ck_assert(!feed(host, 2, 1, true)); /* it is at its end */
    pass_seeing(host, 28, 0);
    pass(host, 100);   /* nobody sees it any more */
    feed_all(host, 0); /* the others come back first */
    feed_all(host, 1);
    commit_all(host);
    ck_assert_uint_eq(host->reader->n_finals, 0);
    pass_seeing(host, 29, 0); /* not before it is seen for as long again */
    ck_assert_uint_eq(host->reader->n_finals, 0);
    pass_seeing(host, 100, 1); /* what lies there has not been taken yet */
    ck_assert_uint_eq(host->reader->n_finals, 0);
    pass_seeing(host, 28, 0);
    pass(host, 9); /* no answer for a while; it is as well for as long as that is no silence */
    ck_assert_uint_eq(host->reader->n_finals, 0);
    pass_seeing(host, 1, 0);
    read_some(host, SIZE_MAX);
    ck_assert_uint_gt(host->reader->n_finals, 20);
    host->fed[2] = fed;
    ck_assert_str_eq(host->failure, "");
    free_host(host);
}
END_TEST

START_TEST(all_streams_idle) {
    random_state = 7;
    make_events();
    struct host *host = new_host(&tumbling);
    host->options.idle_us = 30 * SECOND;
    ok(start(host));
    for (int s = 0; s < STREAMS; s++) {
        while (feed(host, s, 100, false)) {
        }
        feed(host, s, 1, true);
    }
    commit_all(host);
    size_t finals = host->reader->n_finals;
    size_t open = host->reader->n_open;
    pass(host, 31); /* the streams end at one time, so nothing more is closed */
    read_some(host, SIZE_MAX);
    ck_assert_uint_eq(host->reader->n_finals, finals);
    ck_assert_uint_eq(host->reader->n_open, open);
    check_reader(host, false);
    free_host(host);
}
END_TEST

START_TEST(runs_to_the_end_wait_for_no_time) {
    random_state = 8;
    make_events();
    struct host *host = new_host(&tumbling);
    host->options.idle_us = 30 * SECOND;
    host->run_flags = SL_RUN_UNTIL_END;
    ok(start(host));
    feed_all(host, 0);
    while (host->fed[1] < EVENTS / 2) { /* stream 1 is slow */
        feed(host, 1, 10, false);
    }
    feed(host, 0, 1, true);
    pass(host, 100);
    commit_all(host);
    size_t finals = host->reader->n_finals;
    ck_assert_uint_eq(finals, 0); /* stream 2 has not begun */
    size_t fed = host->fed[2];
    host->fed[2] = EVENTS; /* it is empty, and at its end */
    feed(host, 2, 1, true);
    feed(host, 1, 1, false);
    commit_all(host);
    ck_assert_uint_gt(host->reader->n_finals, 0);
    ck_assert_uint_lt(host->reader->n_finals, 40); /* stream 1 counts, stream 0 is far ahead */
    host->fed[2] = fed;
    free_host(host);
}
END_TEST

START_TEST(streams_too_far_ahead_wait) {
    random_state = 9;
    make_events();
    struct host *host = new_host(&tumbling);
    host->options.max_skew_us = 20 * SECOND;
    ok(start(host));
    fire(host, 50);
    feed(host, 0, 40, false); /* the others have not begun, and it is not known how far they are */
    ck_assert(host->held[0] && !host->held[1] && !host->held[2]);
    feed(host, 1, 40, false);
    feed(host, 2, 1, true);
    ck_assert(host->held[1]);
    fire(host, 50); /* first the lanes look, */
    fire(host, 50); /* then the node has seen the third stream */
    ck_assert(!host->held[0] && !host->held[1] && !host->held[2]);
    feed(host, 0, 200, false); /* 60 s */
    ck_assert(host->held[0]);
    feed(host, 1, 120, false);
    feed(host, 2, 120, false);
    fire(host, 50);
    fire(host, 50);
    ck_assert(host->held[0] && !host->held[1] && !host->held[2]);
    feed_all(host, 1);
    feed_all(host, 2);
    feed(host, 1, 1, true); /* at their ends, they hold nobody back */
    feed(host, 2, 1, true);
    fire(host, 50);
    fire(host, 50);
    ck_assert(!host->held[0]);
    feed_all(host, 0);
    commit_all(host);
    check_reader(host, false);
    free_host(host);
}
END_TEST

START_TEST(a_second_writer_is_fenced) {
    random_state = 4;
    make_events();
    struct host *host = new_host(&tumbling);
    ok(start(host));
    feed(host, 0, 50, false);
    commit_all(host);
    feed(host, 0, 50, false);
    flush(host, 0);
    ok(host->store->ops->put(host->store, "log/00000000000000000002", "other", 5, 0));
    sl_error *error = commit(host);
    ck_assert(sl_error_is(error, SL_ERROR_CONFLICT));
    sl_error_free(error);
    free_host(host);
}
END_TEST

START_TEST(lost_or_foreign_state_is_refused) {
    random_state = 5;
    make_events();
    struct host *host = new_host(&tumbling);
    ok(start(host));
    for (int s = 0; s < STREAMS; s++) {
        feed_all(host, s);
    }
    commit_all(host);
    ck_assert_int_gt(host->reader->position[0], 0);
    crash(host);
    /* other aggregates: the state does not fit */
    host->options.aggregates.count = 3;
    sl_error *error = start(host);
    ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
    ck_assert_ptr_nonnull(strstr(sl_error_message(error), "other windows, group columns or"));
    sl_error_free(error);
    crash(host);
    host->options.aggregates.count = 4;
    /* a damaged entry */
    ok(host->store->ops->put(host->store, "log/00000000000000000002", "SLGA\1damaged entry", 19,
                             0));
    error = start(host);
    ck_assert(sl_error_is(error, SL_ERROR_CORRUPT));
    sl_error_free(error);
    crash(host);
    /* the reader is ahead of an empty state */
    ok(host->store->ops->remove(host->store, "log/00000000000000000002"));
    ok(host->store->ops->remove(host->store, "log/00000000000000000001"));
    error = start(host);
    ck_assert(sl_error_is(error, SL_ERROR_FATAL));
    ck_assert_ptr_nonnull(strstr(sl_error_message(error), "the state is older than"));
    sl_error_free(error);
    free_host(host);
}
END_TEST

static void put_checksum(uint8_t *bytes, size_t n) {
    uint64_t checksum = XXH3_64bits(bytes, n);
    memcpy(bytes + n, &checksum, sizeof(checksum));
}

static void cut_out(sl_store_bytes *bytes, size_t at) {
    bytes->bytes -= 8;
    memmove(bytes->data + at, bytes->data + at + 8, bytes->bytes - at);
}

/* Rewrites an entry as older versions had it: before 3 it did not say what was sent, before 2 its
 * streams had no flags. */
static void as_version(struct host *host, const char *path, uint8_t version) {
    enum { OUTPUT_ROWS = 5 + 8 * 6, STREAM_COUNT = OUTPUT_ROWS + 8 * (2 * OUTPUTS + 2) };
    sl_store_bytes entry;
    ok(host->store->ops->get(host->store, path, 0, -1, &entry));
    ck_assert_uint_eq(entry.data[4], 3);
    for (size_t i = 0; i < OUTPUTS; i++) {
        cut_out(&entry, OUTPUT_ROWS + 8 * (2 * i + 2));
    }
    int64_t streams;
    memcpy(&streams, entry.data + STREAM_COUNT, sizeof(streams));
    size_t at = STREAM_COUNT + 8;
    for (int64_t i = 0; i < streams && version == 1; i++) {
        int64_t key;
        memcpy(&key, entry.data + at, sizeof(key));
        at += 8 + (size_t)key + 3 * 8;
        cut_out(&entry, at);
    }
    ck_assert_int_gt(streams, 0);
    entry.data[4] = version;
    put_checksum(entry.data, entry.bytes - 8);
    ok(host->store->ops->put(host->store, path, entry.data, entry.bytes, 0));
    entry.release(&entry);
}

START_TEST(other_versions_are_read_or_refused) {
    static const char *const paths[] = {"log/00000000000000000001", "log/00000000000000000002"};
    random_state = 11;
    make_events();
    struct host *host = new_host(&tumbling);
    ok(start(host));
    for (size_t i = 0; i < SL_ARRAY_LENGTH(paths); i++) {
        feed(host, 0, 200, false);
        feed(host, 1, 100, false);
        commit_all(host);
    }
    crash(host);
    for (size_t i = 0; i < SL_ARRAY_LENGTH(paths); i++) {
        as_version(host, paths[i], (uint8_t)_i);
    }
    ok(start(host));
    for (int s = 0; s < STREAMS; s++) {
        feed_all(host, s);
    }
    commit_all(host);
    check_reader(host, false);
    crash(host);
    sl_store_bytes entry;
    ok(host->store->ops->get(host->store, "log/00000000000000000003", 0, -1, &entry));
    entry.data[4] = 4;
    put_checksum(entry.data, entry.bytes - 8);
    ok(host->store->ops->put(host->store, "log/00000000000000000003", entry.data, entry.bytes, 0));
    entry.release(&entry);
    sl_error *error = start(host);
    ck_assert(sl_error_is(error, SL_ERROR_UNSUPPORTED));
    ck_assert_ptr_nonnull(strstr(sl_error_message(error), "format version 4"));
    sl_error_free(error);
    free_host(host);
}
END_TEST

static bool has_first_entry(struct host *host) {
    sl_store_entry entry;
    sl_error *error = host->store->ops->stat(host->store, "log/00000000000000000001", &entry);
    bool has = error == NULL;
    ck_assert(has || sl_error_is(error, SL_ERROR_NOT_FOUND));
    sl_error_free(error);
    return has;
}

START_TEST(snapshots_bound_the_chain) {
    random_state = 6;
    make_events();
    struct host *host = new_host(&tumbling);
    host->options.keep_us = 60 * SECOND;
    ok(start(host));
    /* many small commits: more than entries per snapshot */
    for (int round = 0; round < 1300; round++) {
        int s = round % STREAMS;
        feed(host, s, 1, false);
        flush(host, s % LANES);
        host->now_us = sl_now_us() + 3600 * SECOND; /* all that is there is old */
        ok(commit(host));
        read_some(host, SIZE_MAX);
    }
    ck_assert(!has_first_entry(host));
    crash(host);
    ok(start(host));
    for (int s = 0; s < STREAMS; s++) {
        feed_all(host, s);
    }
    commit_all(host);
    check_reader(host, false);
    free_host(host);
}
END_TEST

static void commit_rounds(struct host *host, int rounds) {
    for (int round = 0; round < rounds; round++) {
        feed(host, round % STREAMS, 1, false);
        flush(host, round % STREAMS % LANES);
        ok(commit(host));
        read_some(host, SIZE_MAX);
    }
}

/* What it has not read is old, and only it knows what that is. */
START_TEST(a_reader_that_is_away_finds_what_it_needs_for_as_long_as_keep) {
    random_state = 6;
    make_events();
    struct host *host = new_host(&tumbling);
    host->options.keep_us = 60 * SECOND;
    ok(start(host));
    commit_rounds(host, 300);
    host->now_us = sl_now_us() + 3600 * SECOND;         /* all that is there is old */
    node_ops(host)->suspend(host->node, &host->own[1]); /* its late rows */
    commit_rounds(host, 500);
    ck_assert(has_first_entry(host));
    host->now_us += 3600 * SECOND;
    commit_rounds(host, 500);
    ck_assert(!has_first_entry(host));
    free_host(host);
}
END_TEST

/* One life from open to commit, up to the first error; what is open is closed. */
static sl_error *short_life(struct host *host, const struct ArrowArray *rows) {
    sl_input input = {"silver", &host->schema};
    sl_node_context context = {.struct_bytes = sizeof(context),
                               .services = &services,
                               .self = &host->object,
                               .name = "gold",
                               .config = &host->options,
                               .inputs = &input,
                               .n_inputs = 1,
                               .lanes = 1};
    sl_task_context task_context = {sizeof(task_context), 0, &services, &host->object};
    sl_position position = {.stream = &host->streams[0], .key = "key/0"};
    sl_attach how = {.struct_bytes = sizeof(how), .position = SL_OFFSET_NONE};
    sl_request requests[5] = {0};
    sl_task *task = NULL;
    void *piece = NULL;
    void *none = NULL;
    sl_batch batch = {.struct_bytes = sizeof(batch),
                      .schema = &host->schema,
                      .columns = rows,
                      .rows = rows->length,
                      .stream = &host->streams[0],
                      .next_offset = 5000};
    sl_error *error = node_ops(host)->open(&context, &host->node);
    if (error != NULL) {
        return error;
    }
    node_ops(host)->start(host->node, &requests[0]);
    error = requests[0].error;
    error = error != NULL ? error : task_ops(host)->open(host->node, &task_context, &task);
    if (error == NULL) {
        node_ops(host)->recover(host->node, &position, 1, &requests[1]);
        error = requests[1].error;
    }
    if (error == NULL) {
        node_ops(host)->resume(host->node, &host->own[0], 0, SL_OFFSET_NONE, &none, &requests[2]);
        error = requests[2].error;
    }
    if (error == NULL) {
        node_ops(host)->resume(host->node, &host->streams[0], 0, SL_OFFSET_NONE, &how.handle,
                               &requests[3]);
        error = requests[3].error;
    }
    error = error != NULL ? error : task_ops(host)->attach(task, &host->streams[0], &how);
    error = error != NULL ? error : task_ops(host)->process(task, 0, &batch);
    if (error == NULL) {
        task_ops(host)->flush(task, &piece, &requests[4]);
        error = requests[4].error;
    }
    if (error == NULL) {
        sl_request committed = {0};
        position.from = SL_OFFSET_NONE;
        position.to = 5000;
        sl_commit commit = {.struct_bytes = sizeof(commit),
                            .positions = &position,
                            .n_positions = 1,
                            .pieces = &piece,
                            .n_pieces = 1};
        node_ops(host)->commit(host->node, &commit, &committed);
        error = committed.error;
        if (error != NULL) {
            node_ops(host)->drop_piece(host->node, piece);
        }
    }
    if (task != NULL) {
        task_ops(host)->close(task);
    }
    node_ops(host)->close(host->node);
    return error;
}

START_TEST(each_allocation_fails) {
    random_state = 9;
    make_events();
    struct ArrowArray rows;
    struct ArrowSchema schema = event_schema();
    sl_builder b;
    ok(sl_builder_init(&b, &schema));
    for (int i = 0; i < 400; i++) {
        append_event(&b, &events[i]);
    }
    ok(sl_builder_finish(&b, &rows));
    sl_builder_free(&b);
    bool all = false;
    long failures = 0;
    for (long n = 0; !all; n++) {
        long live_before = live;
        struct host *host = new_host(&tumbling);
        allowed = n;
        sl_error *error = short_life(host, &rows);
        all = allowed != 0; /* some were not even needed */
        allowed = -1;
        ck_assert_msg(error == NULL || (!all && sl_error_is(error, SL_ERROR_NO_MEMORY)), "%ld: %s",
                      n, error == NULL ? "" : sl_error_message(error));
        failures += error != NULL ? 1 : 0;
        sl_error_free(error);
        host->node = NULL;
        free_host(host);
        ck_assert_msg(n == 0 || live == live_before, "%ld: %ld blocks left", n, live - live_before);
    }
#ifndef __SANITIZE_THREAD__
    ck_assert_int_gt(failures, 100);
#endif
    rows.release(&rows);
    schema.release(&schema);
}
END_TEST

START_TEST(bad_windows_are_refused) {
    static const struct window_options none = {0, NULL, 0};
    static const struct window_options two = {SECOND, NULL, SECOND};
    const struct window_options *bad[] = {&none, &two};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(bad); i++) {
        struct host *host = new_host(bad[i]);
        sl_error *error = start(host);
        ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
        ck_assert_ptr_nonnull(strstr(sl_error_message(error), "exactly one of"));
        sl_error_free(error);
        free_host(host);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("gold-agg");
    TCase *cases = tcase_create("gold-agg");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, tumbling_survives_everything);
    tcase_add_test(cases, sessions_survive_everything);
    tcase_add_test(cases, lateness_may_be_changed);
    tcase_add_test(cases, nothing_is_sent_twice_when_a_resume_is_tried_again);
    tcase_add_test(cases, idle_streams_hold_nothing_open);
    tcase_add_test(cases, streams_whose_end_is_not_seen_are_not_idle);
    tcase_add_test(cases, all_streams_idle);
    tcase_add_test(cases, runs_to_the_end_wait_for_no_time);
    tcase_add_test(cases, streams_too_far_ahead_wait);
    tcase_add_test(cases, a_second_writer_is_fenced);
    tcase_add_test(cases, lost_or_foreign_state_is_refused);
    tcase_add_loop_test(cases, other_versions_are_read_or_refused, 1, 3);
    tcase_add_test(cases, snapshots_bound_the_chain);
    tcase_add_test(cases, a_reader_that_is_away_finds_what_it_needs_for_as_long_as_keep);
    tcase_add_test(cases, each_allocation_fails);
    tcase_add_test(cases, bad_windows_are_refused);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
