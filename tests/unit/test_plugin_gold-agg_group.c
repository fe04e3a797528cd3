/*
 * gold-agg with scope group: several hosts (gold_agg_host.h) on one store and with one reader.
 * Partitions move while their old owners go on or not, hosts die, are paused and go on, the store
 * fails, results are read or lost on the way: the reader ends with the same rows, each once.
 * SLUICE_SEEDS=n: so many histories.
 */
#include "gold_agg_host.h"

enum { HOSTS = 3, SEEDS = 40 };

static struct host *hosts[HOSTS];
static int owner[STREAMS]; /* to whom the group has given each */
static bool mixed;         /* each start is with another lateness */

/* ---- one host of several ---- */

static void lose_queue(struct host *host) {
    for (size_t i = 0; i < host->n_queue; i++) {
        free(host->queue[i].text);
    }
    host->n_queue = 0;
}

static void detach_own(struct host *host) {
    for (int o = 0; o < OUTPUTS; o++) {
        if (host->attached[o]) {
            node_ops(host)->suspend(host->node, &host->own[o]);
            host->attached[o] = false;
        }
    }
    lose_queue(host);
}

/* What the host does meanwhile: gives up own streams, takes them in. */
static void serve(struct host *host) {
    if (host->revoked != NULL) {
        detach_own(host);
        void (*revoked)(void *arg) = host->revoked;
        host->revoked = NULL;
        revoked(host->revoked_arg);
    }
    for (int o = 0; o < OUTPUTS && host->owns && !host->paused; o++) {
        sl_request resumed = {0};
        void *handle = NULL;
        if (host->attached[o]) {
            continue;
        }
        node_ops(host)->resume(host->node, &host->own[o], host->reader->position[o], SL_OFFSET_NONE,
                               &handle, &resumed);
        sl_error *error = ended(&resumed);
        host->attached[o] = error == NULL;
        if (error != NULL) { /* the host tries again */
            ck_assert_msg(sl_error_is(error, SL_ERROR_RETRIABLE), "%s", sl_error_message(error));
            sl_error_free(error);
        }
    }
    ck_assert_str_eq(host->failure, "");
}

/* The stream comes to the host, from what is stored. */
static void take(struct host *host, int s) {
    if (host->paused) {
        return;
    }
    sl_position position = {
        .stream = &host->streams[s], .key = host->keys[s], .from = -7, .to = -7};
    sl_error *error;
    do {
        sl_request recovered = {0};
        node_ops(host)->recover(host->node, &position, 1, &recovered);
        error = ended(&recovered);
        ck_assert_msg(error == NULL || sl_error_is(error, SL_ERROR_RETRIABLE), "%s",
                      error == NULL ? "" : sl_error_message(error));
        sl_error_free(error);
    } while (error != NULL);
    sl_request resumed = {0};
    sl_attach how = {.struct_bytes = sizeof(how), .position = position.from};
    host->has[s] = true;
    host->stored[s] = host->flushed_to[s] = position.from;
    host->fed_to[s] = how.offset = position.from == SL_OFFSET_NONE ? 0 : position.from;
    host->fed[s] = 0;
    node_ops(host)->resume(host->node, &host->streams[s], how.offset, position.from, &how.handle,
                           &resumed);
    ok(ended(&resumed));
    ok(task_ops(host)->attach(host->tasks[s % LANES], &host->streams[s], &how));
    serve(host);
}

static void give_up(struct host *host, int s) {
    task_ops(host)->detach(host->tasks[s % LANES], &host->streams[s]);
    node_ops(host)->suspend(host->node, &host->streams[s]);
    host->has[s] = false;
}

/* What is in hand is void. */
static void give_up_all(struct host *host) {
    for (size_t i = 0; i < host->n_pieces; i++) {
        node_ops(host)->drop_piece(host->node, host->pieces[i]);
    }
    host->n_pieces = 0;
    for (int s = 0; s < STREAMS; s++) {
        if (host->has[s]) {
            give_up(host, s);
        }
    }
}

/* A lost race: what the group has given to others is gone. */
static void begin_again(struct host *host, int h) {
    give_up_all(host);
    for (int s = 0; s < STREAMS; s++) {
        if (owner[s] == h) {
            take(host, s);
        }
    }
}

static void commit_one(struct host *host, int h) {
    sl_error *error;
    while ((error = commit(host)) != NULL) {
        bool lost = sl_error_is(error, SL_ERROR_CONFLICT);
        ck_assert_msg(lost || sl_error_is(error, SL_ERROR_RETRIABLE), "%s",
                      sl_error_message(error));
        sl_error_free(error);
        if (lost) {
            begin_again(host, h);
            break;
        }
    }
    serve(host);
}

static void flush_all(struct host *host) {
    for (int lane = 0; lane < LANES; lane++) {
        flush(host, lane);
    }
}

static void restart(struct host *host, int h) {
    memset(host->attached, 0, sizeof(host->attached));
    memset(host->has, 0, sizeof(host->has));
    host->owns = false;
    host->revoked = NULL;
    crash(host);
    host->options.lateness_us = mixed ? (int64_t)(random_u64() % 4) * 8 * SECOND : 8 * SECOND;
    ok(start(host));
    for (int s = 0; s < STREAMS; s++) {
        if (owner[s] == h) {
            take(host, s);
        }
    }
}

/* Left out of all streams, its own among them; what it has is committed, if that is quick enough.
 */
static void pause_host(struct host *host, int h) {
    if (chance(70)) {
        flush_all(host);
        commit_one(host, h);
    }
    give_up_all(host);
    detach_own(host);
    host->paused = true;
}

static void resume_host(struct host *host, int h) {
    host->paused = false;
    begin_again(host, h);
    serve(host);
}

/* The sink's commit holds only from where the table is; else it begins again from there. */
static void read_results(struct host *host, size_t n) {
    for (; n > 0 && host->n_queue > 0; n--) {
        const struct kept_batch *next = &host->queue[0];
        int64_t position = host->reader->position[next->output];
        if (next->next > position && next->first != position) {
            detach_own(host);
            serve(host);
            return;
        }
        read_some(host, 1);
    }
}

/* ---- random histories ---- */

static void move(int s, int to) {
    int from = owner[s];
    owner[s] = to;
    unsigned how = (unsigned)(random_u64() % 3);
    if (from == to) {
        return;
    }
    if (how == 0) { /* as a revocation goes */
        flush_all(hosts[from]);
        commit_one(hosts[from], from);
        if (hosts[from]->has[s]) {
            give_up(hosts[from], s);
        }
    } else if (how == 1) {
        restart(hosts[from], from);
    }                        /* else the old owner does not know it yet, and goes on */
    if (hosts[to]->has[s]) { /* it had lost it without knowing */
        begin_again(hosts[to], to);
    } else {
        take(hosts[to], s);
    }
}

static void maybe_fault(sl_store *store) {
    static const char *const where[] = {"log/", "delta/", NULL};
    sl_store_memory_fail(
        store, SL_STORE_OP_PUT, where[random_u64() % 3], 1 + (int64_t)(random_u64() % 2),
        chance(50) ? SL_STORE_FAULT_BEFORE : SL_STORE_FAULT_AFTER, SL_ERROR_RETRIABLE);
}

static void calm(sl_store *store) {
    sl_store_memory_fail(store, SL_STORE_OP_PUT, NULL, 0, SL_STORE_FAULT_BEFORE,
                         SL_ERROR_RETRIABLE);
}

static void something(void) {
    int h = (int)(random_u64() % HOSTS);
    int s = (int)(random_u64() % STREAMS);
    struct host *host = hosts[h];
    if (host->has[s]) {
        feed(host, s, 1 + random_u64() % 40, false);
    }
    if (chance(30)) {
        flush(host, (int)(random_u64() % LANES));
    }
    if (chance(10)) {
        maybe_fault(host->store);
    }
    if (chance(30)) {
        commit_one(host, h);
    }
    if (chance(30)) {
        host->now_us += SECOND;
        fire(host, 1000);
        serve(host);
    }
    calm(host->store);
    read_results(host, random_u64() % 4);
    if (chance(5)) {
        move(s, (int)(random_u64() % HOSTS));
    }
    if (chance(2)) {
        restart(host, h);
    }
    if (chance(2)) {
        (host->paused ? resume_host : pause_host)(host, h);
    }
}

static bool all_is_stored(void) {
    for (int s = 0; s < STREAMS; s++) {
        const struct host *host = hosts[owner[s]];
        if (!host->has[s] || host->fed[s] < EVENTS || host->stored[s] != host->fed_to[s]) {
            return false;
        }
    }
    return true;
}

static void come_to_the_end(void) {
    for (int h = 0; h < HOSTS; h++) {
        resume_host(hosts[h], h);
    }
    while (!all_is_stored()) {
        for (int s = 0; s < STREAMS; s++) {
            feed(hosts[owner[s]], s, 500, false);
            flush_all(hosts[owner[s]]);
            commit_one(hosts[owner[s]], owner[s]);
        }
    }
    for (int round = 0; round < 5; round++) {
        for (int h = 0; h < HOSTS; h++) {
            fire(hosts[h], 1000);
            serve(hosts[h]);
            read_results(hosts[h], SIZE_MAX);
        }
    }
}

static void new_group(const struct window_options *window) {
    for (int h = 0; h < HOSTS; h++) {
        hosts[h] = new_host(window);
        hosts[h]->options.scope = 1;
        if (h > 0) {
            hosts[h]->store->ops->close(hosts[h]->store);
            free(hosts[h]->reader);
            hosts[h]->store = hosts[0]->store;
            hosts[h]->reader = hosts[0]->reader;
            hosts[h]->shares = true;
        }
        memset(hosts[h]->has, 0, sizeof(hosts[h]->has));
    }
    hosts[0]->shares = true; /* until the end */
    for (int h = 0; h < HOSTS; h++) {
        ok(start(hosts[h]));
    }
}

static void free_group(void) {
    hosts[0]->shares = false;
    for (int h = HOSTS - 1; h >= 0; h--) {
        free_host(hosts[h]);
    }
}

/* Nothing of it is left in memory; what loading the plugin left counts once. */
static void run_history(const struct window_options *window, uint64_t seed) {
    dlclose(dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE));
    long live_before = live;
    random_state = seed;
    make_events();
    new_group(window);
    for (int s = 0; s < STREAMS; s++) {
        owner[s] = (int)(random_u64() % HOSTS);
        take(hosts[owner[s]], s);
    }
    for (int i = 0; i < 600; i++) {
        something();
    }
    come_to_the_end();
    if (mixed) {
        check_all_counted(hosts[0]);
    } else {
        check_reader(hosts[0], window->session_us > 0);
    }
    free_group();
    ck_assert_int_eq(live, live_before);
}

static uint64_t seeds(void) {
    const char *text = getenv("SLUICE_SEEDS");
    return text == NULL ? SEEDS : strtoull(text, NULL, 10);
}

START_TEST(tumbling_survives_everything) {
    for (uint64_t seed = 0; seed < seeds(); seed++) {
        run_history(&tumbling, 100000 + seed);
    }
}
END_TEST

START_TEST(sessions_survive_everything) {
    for (uint64_t seed = 0; seed < seeds() / 2; seed++) {
        run_history(&session, 200000 + seed);
    }
}
END_TEST

/* Hosts are told one after the other, and what some have aggregated waits meanwhile. */
START_TEST(lateness_may_be_changed_host_by_host) {
    mixed = true;
    for (uint64_t seed = 0; seed < seeds(); seed++) {
        run_history(&tumbling, 300000 + seed);
    }
    mixed = false;
}
END_TEST

/* ---- idle streams of other hosts ---- */

static void second_passes(void) {
    for (int h = 0; h < HOSTS; h++) {
        hosts[h]->now_us += SECOND;
        fire(hosts[h], 1000);
        serve(hosts[h]);
        read_results(hosts[h], SIZE_MAX);
    }
}

START_TEST(idle_streams_follow_the_others) {
    random_state = 3;
    make_events();
    new_group(&tumbling);
    for (int s = 0; s < STREAMS; s++) {
        hosts[s]->options.idle_us = 30 * SECOND;
        owner[s] = s;
        take(hosts[s], s);
    }
    for (int s = 0; s < 2; s++) {
        while (feed(hosts[s], s, 100, false)) {
        }
        flush_all(hosts[s]);
        commit_one(hosts[s], s);
    }
    hosts[2]->fed[2] = EVENTS;
    ck_assert(!feed(hosts[2], 2, 1, true)); /* it is at its end, empty */
    for (int i = 0; i < 28; i++) {
        second_passes();
    }
    struct reader *reader = hosts[0]->reader;
    ck_assert_uint_eq(reader->n_finals, 0);
    for (int i = 0; i < 5; i++) {
        second_passes();
    }
    size_t finals = reader->n_finals;
    ck_assert_uint_gt(finals, 20);
    /* what it has after all is judged by what is closed, by whoever reads it now */
    owner[2] = 1;
    give_up(hosts[2], 2);
    take(hosts[1], 2);
    while (feed(hosts[1], 2, 100, false)) {
    }
    flush_all(hosts[1]);
    commit_one(hosts[1], 1);
    for (int i = 0; i < 3; i++) {
        second_passes();
    }
    ck_assert_uint_gt(reader->n_late, EVENTS / STREAMS / 2);
    ck_assert_uint_ge(reader->n_finals, finals);
    free_group();
}
END_TEST

/* While nobody merged much has come together, and the run may end with the first commit. */
START_TEST(what_has_come_together_is_merged_at_once) {
    random_state = 4;
    make_events();
    new_group(&tumbling);
    for (int s = 0; s < STREAMS; s++) {
        owner[s] = s;
        take(hosts[s], s);
    }
    for (int s = STREAMS - 1; s >= 0; s--) {
        while (feed(hosts[s], s, s == 0 ? EVENTS : 1, false)) {
            flush_all(hosts[s]);
            commit_one(hosts[s], s);
        }
    }
    struct reader *reader = hosts[0]->reader;
    serve(hosts[0]); /* it merges from now on */
    fire(hosts[0], 1000);
    serve(hosts[0]);
    fire(hosts[0], 1000);
    read_results(hosts[0], SIZE_MAX);
    size_t finals = reader->n_finals;
    ck_assert_uint_gt(finals, 0);
    for (int i = 0; i < 10; i++) {
        second_passes();
    }
    ck_assert_uint_eq(reader->n_finals, finals);
    free_group();
}
END_TEST

/* It ended between the deltas and their merging; the next may read nothing new, and end. */
START_TEST(what_a_run_before_has_left_is_merged_at_once) {
    random_state = 11;
    make_events();
    new_group(&tumbling);
    for (int s = 0; s < STREAMS; s++) {
        owner[s] = 0;
        take(hosts[0], s);
        feed(hosts[0], s, 50, false);
    }
    flush_all(hosts[0]);
    sl_store_memory_fail(hosts[0]->store, SL_STORE_OP_PUT, "log/", 1, SL_STORE_FAULT_BEFORE,
                         SL_ERROR_RETRIABLE);
    ok(commit(hosts[0]));
    ck_assert_uint_eq(hosts[0]->n_queue, 0);
    restart(hosts[0], 0);
    ck_assert_uint_gt(hosts[0]->n_queue, 0);
    free_group();
}
END_TEST

/* A host that stood still for long writes nothing under numbers that may have been used. */
START_TEST(a_host_that_stood_still_recovers_first) {
    random_state = 5;
    make_events();
    new_group(&tumbling);
    owner[0] = 0;
    take(hosts[0], 0);
    feed(hosts[0], 0, 50, false);
    flush_all(hosts[0]);
    hosts[0]->now_us += hosts[0]->options.keep_us;
    sl_error *error = commit(hosts[0]);
    ck_assert(sl_error_is(error, SL_ERROR_CONFLICT));
    sl_error_free(error);
    begin_again(hosts[0], 0);
    feed(hosts[0], 0, 50, false);
    flush_all(hosts[0]);
    ok(commit(hosts[0]));
    free_group();
}
END_TEST

/* The state of one scope is not the other's. */
START_TEST(another_scope_is_refused) {
    random_state = 6;
    make_events();
    new_group(&tumbling);
    take(hosts[0], 0);
    hosts[0]->revoked = NULL;
    crash(hosts[0]);
    hosts[0]->options.scope = 0;
    sl_error *error = start(hosts[0]);
    ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
    ck_assert_ptr_nonnull(strstr(sl_error_message(error), "\"scope\": \"group\""));
    sl_error_free(error);
    free_group();
}
END_TEST

/* Before anything of another plan is written where nobody could merge it. */
START_TEST(another_plan_is_refused_at_the_start) {
    random_state = 7;
    make_events();
    new_group(&tumbling);
    take(hosts[0], 0);
    hosts[1]->revoked = NULL;
    crash(hosts[1]);
    hosts[1]->options.aggregates.count = 2;
    sl_error *error = start(hosts[1]);
    ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
    ck_assert_ptr_nonnull(strstr(sl_error_message(error), "other windows, group columns"));
    sl_error_free(error);
    free_group();
}
END_TEST

/* Resumed before the node has found out that it was paused, and long after. */
START_TEST(who_is_paused_merges_on_when_it_goes_on) {
    for (int ticks = 0; ticks < 4; ticks++) {
        random_state = 8;
        make_events();
        new_group(&tumbling);
        for (int s = 0; s < STREAMS; s++) {
            owner[s] = s;
            take(hosts[s], s);
        }
        feed(hosts[0], 0, EVENTS, false);
        pause_host(hosts[0], 0);
        for (int s = 1; s < STREAMS; s++) {
            feed(hosts[s], s, EVENTS, false);
            flush_all(hosts[s]);
            commit_one(hosts[s], s);
        }
        for (int i = 0; i < ticks; i++) {
            second_passes();
        }
        ck_assert_uint_eq(hosts[0]->reader->n_finals, 0);
        resume_host(hosts[0], 0);
        come_to_the_end();
        check_reader(hosts[0], false);
        free_group();
    }
}
END_TEST

/* ---- old backups ---- */

enum { MAX_PATHS = 2000, PATH_BYTES = 80 };
static char paths[MAX_PATHS][PATH_BYTES];
static size_t n_paths;

static int keep_path(const sl_store_entry *entry, void *arg) {
    (void)arg;
    ck_assert_uint_lt(n_paths, MAX_PATHS);
    ck_assert_uint_lt(strlen(entry->path), PATH_BYTES);
    strcpy(paths[n_paths++], entry->path);
    return 0;
}

static void list_paths(sl_store *store, const char *folder) {
    n_paths = 0;
    ok(store->ops->list(store, folder, NULL, 1, keep_path, NULL));
}

static void remove_folder(sl_store *store, const char *folder) {
    list_paths(store, folder);
    for (size_t i = 0; i < n_paths; i++) {
        ok(store->ops->remove(store, paths[i]));
    }
}

static void copy_folder(sl_store *from, sl_store *to, const char *folder) {
    remove_folder(to, folder);
    list_paths(from, folder);
    for (size_t i = 0; i < n_paths; i++) {
        sl_store_bytes bytes;
        ok(from->ops->get(from, paths[i], 0, -1, &bytes));
        ok(to->ops->put(to, paths[i], bytes.data, bytes.bytes, 0));
        bytes.release(&bytes);
    }
}

static void work_on(struct host *host, size_t events_each, int commits) {
    for (int i = 0; i < commits; i++) {
        for (int s = 0; s < STREAMS; s++) {
            feed(host, s, events_each, false);
        }
        flush_all(host);
        commit_one(host, 0);
        read_results(host, SIZE_MAX);
    }
}

/* As a restart, but the readers of the results come later than the inputs do, as they may. */
static void restart_without_readers(struct host *host) {
    host->revoked = NULL;
    crash(host);
    memset(host->has, 0, sizeof(host->has));
    host->owns = false;
    ok(start(host));
    memset(host->attached, true, sizeof(host->attached));
}

/* Made behind which so many commits were read; the store as it was before those. */
static struct host *with_backup(sl_store **backup, int commits) {
    new_group(&tumbling);
    for (int s = 0; s < STREAMS; s++) {
        owner[s] = 0;
        take(hosts[0], s);
    }
    work_on(hosts[0], 20, 3);
    ok(sl_store_open_memory(backup));
    copy_folder(hosts[0]->store, *backup, "");
    work_on(hosts[0], 10, commits);
    return hosts[0];
}

/* Whatever is written meanwhile, in this run or one before: the numbers of results go on, but are
 * not those that the reader has. */
START_TEST(an_old_state_is_refused_with_both_numbers) {
    random_state = 9;
    make_events();
    sl_store *backup;
    struct host *host = with_backup(&backup, 3);
    int64_t has = host->reader->position[0];
    int64_t sent = -1;
    copy_folder(backup, host->store, _i == 0 ? "" : "log/"); /* the logs of deltas may be newer */
    for (int run = 0; run < 2; run++) {
        restart_without_readers(host);
        for (int s = 0; s < STREAMS; s++) {
            take(host, s);
        }
        work_on(host, 300, 4);
        ck_assert_uint_eq(host->n_queue, 0);
        sl_request resumed = {0};
        void *handle = NULL;
        /* another reader is behind */
        host->own[0].reached = has;
        node_ops(host)->resume(host->node, &host->own[0], 1, 1, &handle, &resumed);
        sl_error *error = ended(&resumed);
        ck_assert_msg(sl_error_is(error, SL_ERROR_FATAL), "%s",
                      error == NULL ? "accepted" : sl_error_message(error));
        long long reader = 0;
        long long state = 0;
        ck_assert_int_eq(sscanf(sl_error_message(error),
                                "a reader of gold has results below %lld, the state only below "
                                "%lld: ",
                                &reader, &state),
                         2);
        ck_assert_int_eq(reader, has);
        ck_assert_int_lt(state, reader);
        ck_assert(sent < 0 || sent == state);
        sent = state;
        sl_error_free(error);
    }
    memset(host->attached, 0, sizeof(host->attached));
    backup->ops->close(backup);
    free_group();
}
END_TEST

START_TEST(log_and_deltas_of_two_moments_are_refused) {
    static const char *const said[] = {
        "goes on with number 7 of the partial aggregates of key/0, of which those that are there "
        "end with number 3",
        "goes on with number 4 of the partial aggregates of key/0, of which only later ones are "
        "there, up to number 6",
        "goes on with number 1 of the partial aggregates of key/0, of which only later ones are "
        "there, up to number 6"};
    random_state = 10;
    make_events();
    sl_store *backup;
    struct host *host = with_backup(&backup, 3);
    copy_folder(backup, host->store, _i == 0 ? "delta/" : "log/");
    if (_i > 0) { /* these went after `keep` */
        list_paths(host->store, "delta/");
        for (size_t i = 0; i < n_paths; i++) {
            if (strtoll(strrchr(paths[i], '/') + 1, NULL, 10) < 4) {
                ok(host->store->ops->remove(host->store, paths[i]));
            }
        }
    }
    if (_i == 2) { /* and of the log the first is there, which knows the partition */
        list_paths(host->store, "log/");
        for (size_t i = 1; i < n_paths; i++) {
            ok(host->store->ops->remove(host->store, paths[i]));
        }
    }
    restart_without_readers(host);
    sl_position position = {
        .stream = &host->streams[0], .key = host->keys[0], .from = -7, .to = -7};
    sl_request recovered = {0};
    node_ops(host)->recover(host->node, &position, 1, &recovered);
    sl_error *error = ended(&recovered);
    ck_assert_msg(sl_error_is(error, SL_ERROR_FATAL), "%s",
                  error == NULL ? "accepted" : sl_error_message(error));
    ck_assert_msg(strstr(sl_error_message(error), said[_i]) != NULL, "%s", sl_error_message(error));
    sl_error_free(error);
    memset(host->attached, 0, sizeof(host->attached));
    backup->ops->close(backup);
    free_group();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("gold-agg in a group");
    TCase *cases = tcase_create("group");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, what_has_come_together_is_merged_at_once);
    tcase_add_test(cases, tumbling_survives_everything);
    tcase_add_test(cases, sessions_survive_everything);
    tcase_add_test(cases, idle_streams_follow_the_others);
    tcase_add_test(cases, what_a_run_before_has_left_is_merged_at_once);
    tcase_add_test(cases, a_host_that_stood_still_recovers_first);
    tcase_add_test(cases, another_scope_is_refused);
    tcase_add_test(cases, another_plan_is_refused_at_the_start);
    tcase_add_loop_test(cases, an_old_state_is_refused_with_both_numbers, 0, 2);
    tcase_add_loop_test(cases, log_and_deltas_of_two_moments_are_refused, 0, 3);
    tcase_add_test(cases, who_is_paused_merges_on_when_it_goes_on);
    tcase_add_test(cases, lateness_may_be_changed_host_by_host);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
