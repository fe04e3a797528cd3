/*
 * lib/window's tables against a plain re-computation: random rows over several streams, spread over
 * tables, flushed and merged in random ways; windows, lateness, sessions and results.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "window/window.h"

#define SECOND INT64_C(1000000)

static uint64_t random_state;

static uint64_t random_u64(void) { /* splitmix64 */
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static void ok(sl_error *error) {
    if (error != NULL) {
        ck_abort_msg("%s", sl_error_message(error));
    }
}

/* ---- rows ---- */

typedef struct event {
    int64_t time_us;
    int stream;
    int64_t offset;
    int kind; /* -1: null */
    int country;
    int64_t cents; /* INT64_MIN: null */
    double weight;
    int64_t duration; /* -1: null session */
} event;

static const char *const kinds[] = {"view", "cart", "purchase", ""};
static const char *const countries[] = {"DE", "FR", "US"};

static struct ArrowSchema event_schema(void) {
    struct ArrowSchema schema;
    ok(sl_schema_new_struct(7, &schema));
    ok(sl_schema_set_field(&schema, 0, "ts", "tsu:UTC", true, 0));
    ok(sl_schema_set_field(&schema, 1, "kind", "u", true, 0));
    ok(sl_schema_set_field(&schema, 2, "country", "u", false, 0));
    ok(sl_schema_set_field(&schema, 3, "amount", "d:12,2", true, 0));
    ok(sl_schema_set_field(&schema, 4, "weight", "g", true, 0));
    ok(sl_schema_set_field(&schema, 5, "session", "+s", true, 1));
    ok(sl_schema_set_field(schema.children[5], 0, "duration_ms", "i", true, 0));
    ok(sl_schema_set_field(&schema, 6, "arrived", "tsu:UTC", true, 0));
    return schema;
}

static struct ArrowArray batch_of(const struct ArrowSchema *schema, const event *events, size_t n) {
    sl_builder b;
    ok(sl_builder_init(&b, schema));
    for (size_t i = 0; i < n; i++) {
        const event *e = &events[i];
        sl_builder *c = b.children;
        bool good = e->time_us == SL_TIME_NONE ? sl_builder_append_null(&c[0])
                                               : sl_builder_append_i64(&c[0], e->time_us);
        good = good && (e->kind < 0 ? sl_builder_append_null(&c[1])
                                    : sl_builder_append_bytes(&c[1], kinds[e->kind],
                                                              strlen(kinds[e->kind])));
        good = good && sl_builder_append_bytes(&c[2], countries[e->country], 2);
        sl_i128 cents = e->cents;
        good = good && (e->cents == INT64_MIN ? sl_builder_append_null(&c[3])
                                              : sl_builder_append_bytes(&c[3], &cents, 16));
        good = good && sl_builder_append_double(&c[4], e->weight);
        if (e->duration < 0) {
            good = good && sl_builder_append_null(&c[5]);
        } else {
            good = good && sl_builder_append_i64(&c[5].children[0], e->duration) &&
                   sl_builder_append_struct(&c[5]);
        }
        good = good && sl_builder_append_i64(&c[6], 100 * SECOND);
        ck_assert(good && sl_builder_append_struct(&b));
    }
    struct ArrowArray array;
    ok(sl_builder_finish(&b, &array));
    sl_builder_free(&b);
    return array;
}

enum { STREAMS = 3, MAX_EVENTS = 4000 };

static size_t make_events(event *events, size_t n) {
    int64_t offsets[STREAMS] = {0};
    for (size_t i = 0; i < n; i++) {
        event *e = &events[i];
        int64_t now = (int64_t)i * SECOND / 20;
        e->stream = (int)(random_u64() % STREAMS);
        e->offset = offsets[e->stream];
        offsets[e->stream] += 1 + (int64_t)(random_u64() % 3);
        e->time_us =
            now - (int64_t)(random_u64() % 3 == 0 ? random_u64() % (40 * SECOND) : 0) - 20 * SECOND;
        e->kind = (int)(random_u64() % 5) - 1;
        e->country = (int)(random_u64() % 3);
        e->cents = random_u64() % 10 == 0 ? INT64_MIN : (int64_t)(random_u64() % 100000) - 30000;
        e->weight = (double)(int64_t)random_u64() * pow(2, (double)(random_u64() % 80) - 100);
        e->duration = random_u64() % 8 == 0 ? -1 : (int64_t)(random_u64() % 60000);
    }
    return n;
}

/* ---- plans ---- */

static const char *const group_by[] = {"kind", "country"};
static const sl_window_aggregate aggregates[] = {
    {"events", "count()"},
    {"amounts", "count(amount)"},
    {"revenue", "sum(amount)"},
    {"mean", " avg ( amount ) "},
    {"spread", "stddev(amount)"},
    {"smallest", "min(amount)"},
    {"largest", "max(amount)"},
    {"weights", "sum(weight)"},
    {"weight_spread", "stddev_pop(weight)"},
    {"p50", "quantile(session.duration_ms, 0.5)"},
    {"p99", "quantile(session.duration_ms, 0.99)"},
    {"durations", "sum(session.duration_ms)"},
    {"different", "count_distinct(session.duration_ms)"},
    {"first_country", "first(country)"},
    {"last_amount", "last(amount)"},
    {"last_kind", "max(kind)"},
};

static sl_window_plan *plan_for(sl_window_kind kind, int64_t size, int64_t every) {
    struct ArrowSchema schema = event_schema();
    sl_window_config config = {.kind = kind,
                               .size_us = size,
                               .every_us = every,
                               .lateness_us = 15 * SECOND,
                               .time = "ts",
                               .group_by = group_by,
                               .n_group_by = SL_ARRAY_LENGTH(group_by),
                               .aggregates = aggregates,
                               .n_aggregates = SL_ARRAY_LENGTH(aggregates)};
    sl_window_plan *plan;
    ok(sl_window_plan_new(&schema, &config, &plan));
    schema.release(&schema);
    return plan;
}

/* ---- running ---- */

static char *rows_text(const sl_window_plan *plan, sl_builder *rows) {
    struct ArrowArray array;
    ok(sl_builder_finish(rows, &array));
    ok(sl_array_check(sl_window_plan_results(plan), &array));
    sl_buffer text = SL_BUFFER_INIT;
    for (int64_t i = 0; i < array.length; i++) {
        ck_assert(sl_array_append_json(sl_window_plan_results(plan), &array, i, &text));
        ck_assert(sl_buffer_append_byte(&text, '\n'));
    }
    array.release(&array);
    ck_assert_ptr_nonnull(sl_buffer_text(&text));
    size_t bytes;
    return (char *)sl_buffer_take(&text, &bytes);
}

static sl_window_table *new_table(const sl_window_plan *plan) {
    sl_window_table *table;
    ok(sl_window_table_new(plan, &table));
    return table;
}

/* Merges `part` into `state`, now as it is, now by way of bytes. */
static void hand_over(sl_window_table *state, sl_window_table *part) {
    if (random_u64() % 2 == 0) {
        ok(sl_window_table_merge(state, part));
    } else {
        sl_buffer bytes = SL_BUFFER_INIT;
        ok(sl_window_table_write(part, &bytes));
        ok(sl_window_table_read(state, bytes.data, bytes.bytes));
        sl_buffer_free(&bytes);
    }
}

/* A run: one table per stream, whose parts go to one state. */
struct run {
    const sl_window_plan *plan;
    struct ArrowSchema schema;
    sl_window_table *state;
    sl_window_table *parts[STREAMS];
    sl_window_clock clocks[STREAMS];
    sl_window_clock merged[STREAMS]; /* clocks as of the last hand-over */
    size_t next[STREAMS];            /* event to look at */
    sl_window_outcome outcome;
    size_t n_late;
};

static void begin_run(struct run *run, const sl_window_plan *plan) {
    *run = (struct run){.plan = plan, .schema = event_schema(), .state = new_table(plan)};
    for (int s = 0; s < STREAMS; s++) {
        run->parts[s] = new_table(plan);
        run->clocks[s] = run->merged[s] = (sl_window_clock){SL_TIME_NONE, SL_TIME_NONE};
    }
}

/* The next events of the stream, at random how many. */
static void take_batch(struct run *run, int stream, const event *events, size_t n,
                       bool with_offsets) {
    event batch[64];
    int64_t offsets[64];
    size_t taken = 0;
    size_t want = 1 + random_u64() % SL_ARRAY_LENGTH(batch);
    for (size_t *at = &run->next[stream]; *at < n && taken < want; ++*at) {
        if (events[*at].stream == stream) {
            offsets[taken] = events[*at].offset;
            batch[taken++] = events[*at];
        }
    }
    if (taken == 0) {
        return;
    }
    struct ArrowArray array = batch_of(&run->schema, batch, taken);
    sl_window_origin origin = {"events", stream, batch[0].offset, with_offsets ? offsets : NULL};
    ok(sl_window_table_update(run->parts[stream], &run->clocks[stream], &origin, &array,
                              &run->outcome));
    run->n_late += run->outcome.n_late;
    array.release(&array);
}

static void hand_over_part(struct run *run, int stream) {
    hand_over(run->state, run->parts[stream]);
    run->merged[stream] = run->clocks[stream];
    sl_window_table_free(run->parts[stream]);
    run->parts[stream] = NULL;
}

static int64_t smallest_watermark(const struct run *run) {
    int64_t watermark = INT64_MAX;
    for (int i = 0; i < STREAMS; i++) {
        int64_t own = sl_window_clock_watermark(run->plan, &run->merged[i]);
        watermark = own < watermark ? own : watermark;
    }
    return watermark;
}

static bool has_more(const struct run *run, size_t n) {
    bool more = false;
    for (int i = 0; i < STREAMS; i++) {
        more = more || run->next[i] < n;
    }
    return more;
}

/*
 * Runs the events through one table per stream in random batches, flushing into a state at random;
 * closes windows by the smallest watermark at random moments when `closing`. Returns all results as
 * text; *n_late the number of late rows, *bytes the state before its end.
 */
static char *run(const sl_window_plan *plan, const event *events, size_t n, bool closing,
                 size_t *n_late, sl_buffer *bytes) {
    struct run run;
    sl_builder rows;
    sl_window_result_counts counts;
    ok(sl_builder_init(&rows, sl_window_plan_results(plan)));
    begin_run(&run, plan);
    while (has_more(&run, n)) {
        int stream = (int)(random_u64() % STREAMS);
        take_batch(&run, stream, events, n, bytes != NULL);
        if (random_u64() % 4 == 0) {
            hand_over_part(&run, stream);
            run.parts[stream] = new_table(plan);
        }
        if (closing && random_u64() % 3 == 0) {
            ok(sl_window_table_close(run.state, smallest_watermark(&run), &rows, &counts));
        }
    }
    for (int s = 0; s < STREAMS; s++) {
        hand_over_part(&run, s);
    }
    if (bytes != NULL) {
        ok(sl_window_table_write(run.state, bytes));
    }
    ok(sl_window_table_close(run.state, INT64_MAX / 4, &rows, &counts));
    ck_assert_uint_eq(sl_window_table_groups(run.state), 0);
    *n_late = run.n_late;
    sl_window_table_free(run.state);
    sl_window_outcome_free(&run.outcome);
    char *text = rows_text(plan, &rows);
    sl_builder_free(&rows);
    run.schema.release(&run.schema);
    return text;
}

static int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts the lines of `text`, so that results can be compared whatever was closed when. */
static void sort_lines(char *text) {
    size_t n = 0;
    char *lines[20000];
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        lines[n++] = strdup(line);
    }
    qsort(lines, n, sizeof(lines[0]), compare_lines);
    char *to = text;
    for (size_t i = 0; i < n; i++) {
        to = stpcpy(to, lines[i]);
        *to++ = '\n';
        free(lines[i]);
    }
    *to = 0;
}

static void check_plan(sl_window_kind kind, int64_t size, int64_t every) {
    static event events[MAX_EVENTS];
    random_state = 100 + (uint64_t)kind;
    size_t n = make_events(events, MAX_EVENTS);
    sl_window_plan *plan = plan_for(kind, size, every);
    sl_buffer first = SL_BUFFER_INIT;
    size_t late;
    char *expected = run(plan, events, n, false, &late, &first);
    sort_lines(expected);
    ck_assert_uint_gt(late, 10);
    ck_assert_uint_gt(strlen(expected), 1000);
    for (int round = 0; round < 8; round++) {
        sl_buffer bytes = SL_BUFFER_INIT;
        size_t this_late;
        bool closing = round % 2 == 1;
        char *text = run(plan, events, n, closing, &this_late, closing ? NULL : &bytes);
        sort_lines(text);
        ck_assert_uint_eq(this_late, late);
        ck_assert_str_eq(text, expected);
        ck_assert(closing ||
                  (bytes.bytes == first.bytes && memcmp(bytes.data, first.data, first.bytes) == 0));
        sl_buffer_free(&bytes);
        free(text);
    }
    sl_buffer_free(&first);
    free(expected);
    sl_window_plan_free(plan);
}

START_TEST(tumbling_is_independent_of_order) {
    check_plan(SL_WINDOW_TUMBLING, 10 * SECOND, 0);
}
END_TEST
START_TEST(hopping_is_independent_of_order) {
    check_plan(SL_WINDOW_HOPPING, 25 * SECOND, 10 * SECOND);
}
END_TEST
START_TEST(sessions_are_independent_of_order) {
    check_plan(SL_WINDOW_SESSION, 3 * SECOND, 0);
}
END_TEST

/* ---- against a plain re-computation ---- */

typedef struct cell { /* one window and group */
    int64_t start_us;
    int kind;
    int country;
    int64_t events;
    int64_t amounts;
    int64_t cents;
    int64_t smallest;
    int64_t largest;
    double durations[MAX_EVENTS];
    size_t n_durations;
    double mean;
    double squares; /* of cents, exact below 2^53 */
} cell;

static int64_t floor_to(int64_t time, int64_t step) {
    return time - ((time % step) + step) % step;
}

static size_t recompute(const event *events, size_t n, cell *cells, size_t *late) {
    size_t n_cells = 0;
    int64_t highest[STREAMS] = {INT64_MIN, INT64_MIN, INT64_MIN};
    *late = 0;
    for (size_t i = 0; i < n; i++) {
        const event *e = &events[i];
        int64_t *max = &highest[e->stream];
        int64_t start = floor_to(e->time_us, 10 * SECOND);
        bool is_late = *max != INT64_MIN && start + 10 * SECOND <= *max - 15 * SECOND;
        *max = e->time_us > *max ? e->time_us : *max;
        if (is_late) {
            ++*late;
            continue;
        }
        cell *c = cells;
        while (c < cells + n_cells &&
               (c->start_us != start || c->kind != e->kind || c->country != e->country)) {
            c++;
        }
        if (c == cells + n_cells) {
            memset(c, 0, sizeof(*c));
            *c = (cell){.start_us = start,
                        .kind = e->kind,
                        .country = e->country,
                        .smallest = INT64_MAX,
                        .largest = INT64_MIN};
            n_cells++;
        }
        c->events++;
        if (e->cents != INT64_MIN) {
            c->amounts++;
            c->cents += e->cents;
            c->squares += (double)e->cents * (double)e->cents;
            c->smallest = e->cents < c->smallest ? e->cents : c->smallest;
            c->largest = e->cents > c->largest ? e->cents : c->largest;
        }
        if (e->duration >= 0) {
            c->durations[c->n_durations++] = (double)e->duration;
        }
    }
    return n_cells;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double number_in(const char *line, const char *name) {
    char key[64];
    snprintf(key, sizeof(key), "\"%s\":", name);
    const char *at = strstr(line, key);
    ck_assert_ptr_nonnull(at);
    return strncmp(at + strlen(key), "null", 4) == 0 ? -12345 : strtod(at + strlen(key), NULL);
}

static void check_cell(cell *c, const char *text) {
    char head[200];
    char kind[20] = "null";
    if (c->kind >= 0) {
        snprintf(kind, sizeof(kind), "\"%s\"", kinds[c->kind]);
    }
    /* times here are below one hour around 1970 */
    int64_t seconds = c->start_us / SECOND;
    char start[40];
    snprintf(start, sizeof(start),
             seconds < 0 ? "1969-12-31T23:59:%02d" : "1970-01-01T00:%02d:%02d",
             seconds < 0 ? (int)(60 + seconds) : (int)(seconds / 60), (int)(seconds % 60));
    snprintf(head, sizeof(head), "{\"window_start\":\"%sZ\"", start);
    const char *line = text;
    char group[80];
    snprintf(group, sizeof(group), "\"kind\":%s,\"country\":\"%s\",", kind, countries[c->country]);
    for (;; line = strchr(line, '\n') + 1) {
        ck_assert_msg(line != NULL && *line != 0, "no row %s %s", head, group);
        const char *end = strchr(line, '\n');
        const char *found = strstr(line, group);
        if (strncmp(line, head, strlen(head)) == 0 && found != NULL && found < end) {
            break;
        }
    }
    ck_assert(number_in(line, "events") == (double)c->events);
    ck_assert(number_in(line, "amounts") == (double)c->amounts);
    if (c->amounts > 0) {
        double n = (double)c->amounts;
        ck_assert(fabs(number_in(line, "revenue") - (double)c->cents / 100) < 1e-6);
        ck_assert(fabs(number_in(line, "mean") - (double)c->cents / 100 / n) < 1e-9);
        ck_assert(number_in(line, "smallest") == (double)c->smallest / 100);
        ck_assert(number_in(line, "largest") == (double)c->largest / 100);
        if (c->amounts > 1) {
            double variance = (c->squares - (double)c->cents * (double)c->cents / n) / (n - 1);
            ck_assert(fabs(number_in(line, "spread") - sqrt(variance) / 100) <
                      1e-7 + sqrt(variance) * 1e-8);
        } else {
            ck_assert(number_in(line, "spread") == -12345);
        }
    }
    if (c->n_durations > 0) {
        qsort(c->durations, c->n_durations, sizeof(double), compare_doubles);
        double exact = c->durations[(size_t)(0.99 * (double)(c->n_durations - 1))];
        ck_assert(fabs(number_in(line, "p99") - exact) <= 0.0100001 * exact);
        size_t different = 1;
        for (size_t i = 1; i < c->n_durations; i++) {
            different += c->durations[i] > c->durations[i - 1] ? 1 : 0;
        }
        ck_assert(number_in(line, "different") == (double)different);
    }
}

START_TEST(tumbling_counts_right) {
    static event events[MAX_EVENTS];
    static cell cells[500];
    random_state = 5;
    size_t n = make_events(events, MAX_EVENTS);
    size_t expected_late;
    size_t n_cells = recompute(events, n, cells, &expected_late);
    sl_window_plan *plan = plan_for(SL_WINDOW_TUMBLING, 10 * SECOND, 0);
    size_t late;
    char *text = run(plan, events, n, true, &late, NULL);
    ck_assert_uint_eq(late, expected_late);
    size_t lines = 0;
    for (const char *at = text; *at != 0; at++) {
        lines += *at == '\n' ? 1 : 0;
    }
    ck_assert_uint_eq(lines, n_cells);
    for (size_t i = 0; i < n_cells; i++) {
        check_cell(&cells[i], text);
    }
    free(text);
    sl_window_plan_free(plan);
}
END_TEST

/* ---- details ---- */

static event at(double seconds, int64_t cents) {
    return (event){.time_us = (int64_t)(seconds * (double)SECOND), .cents = cents, .duration = -1};
}

static char *changes_text(sl_window_table *table, const sl_window_plan *plan, bool all) {
    sl_builder rows;
    sl_window_result_counts counts;
    ok(sl_builder_init(&rows, sl_window_plan_results(plan)));
    ok(sl_window_table_changes(table, all, &rows, &counts));
    char *text = rows_text(plan, &rows);
    sl_builder_free(&rows);
    return text;
}

static size_t count_lines(char *text) {
    size_t lines = 0;
    for (const char *c = text; *c != 0; c++) {
        lines += *c == '\n' ? 1 : 0;
    }
    free(text);
    return lines;
}

START_TEST(lateness_is_per_record) {
    sl_window_plan *plan = plan_for(SL_WINDOW_TUMBLING, 10 * SECOND, 0);
    struct ArrowSchema schema = event_schema();
    sl_window_table *table = new_table(plan);
    sl_window_clock clock = {SL_TIME_NONE, SL_TIME_NONE};
    sl_window_outcome outcome = {0};
    /* 34.9 - 15 = 19.9: the window [0, 10) has ended, [10, 20) has not; 35 - 15 = 20 ends it */
    event events[] = {at(5, 1),  at(34.9, 1), at(9, 1),  at(12, 1), at(35, 1),
                      at(12, 1), at(20, 1),   at(-5, 1), at(0, 1),  at(0, 1)};
    events[8].time_us = SL_TIME_NONE;
    events[9].time_us = INT64_MAX - 5;
    struct ArrowArray batch = batch_of(&schema, events, SL_ARRAY_LENGTH(events));
    sl_window_origin origin = {"events", 0, 0, NULL};
    ok(sl_window_table_update(table, &clock, &origin, &batch, &outcome));
    ck_assert_uint_eq(outcome.n_late, 3);
    ck_assert_int_eq(outcome.late[0], 2);
    ck_assert_int_eq(outcome.late[1], 5);
    ck_assert_int_eq(outcome.late[2], 7);
    ck_assert_int_eq(outcome.without_time, 2);
    ck_assert_int_eq(sl_window_clock_watermark(plan, &clock), 20 * SECOND);
    /* a floor above the own watermark counts */
    clock.floor_us = 30 * SECOND;
    ok(sl_window_table_update(table, &clock, &origin, &batch, &outcome));
    ck_assert_uint_eq(outcome.n_late, 6);
    ck_assert_uint_eq(count_lines(changes_text(table, plan, false)), 4);
    ck_assert_uint_eq(count_lines(changes_text(table, plan, false)), 0);
    ck_assert_uint_eq(count_lines(changes_text(table, plan, true)), 4);
    batch.release(&batch);
    sl_window_outcome_free(&outcome);
    sl_window_table_free(table);
    schema.release(&schema);
    sl_window_plan_free(plan);
}
END_TEST

START_TEST(rows_ahead_are_left_out) {
    struct ArrowSchema schema = event_schema();
    sl_window_config config = {.kind = SL_WINDOW_TUMBLING,
                               .size_us = 10 * SECOND,
                               .time = "ts",
                               .record_time = "arrived",
                               .max_ahead_us = 5 * SECOND,
                               .aggregates = aggregates,
                               .n_aggregates = 1};
    sl_window_plan *plan;
    ok(sl_window_plan_new(&schema, &config, &plan));
    sl_window_table *table = new_table(plan);
    sl_window_clock clock = {SL_TIME_NONE, SL_TIME_NONE};
    sl_window_outcome outcome = {0};
    event events[] = {at(105, 1), at(105.1, 1), at(3, 1)};
    struct ArrowArray batch = batch_of(&schema, events, SL_ARRAY_LENGTH(events));
    sl_window_origin origin = {"events", 0, 0, NULL};
    ok(sl_window_table_update(table, &clock, &origin, &batch, &outcome));
    ck_assert_int_eq(outcome.ahead, 1);
    ck_assert_uint_eq(outcome.n_late, 1);
    ck_assert_int_eq(clock.max_event_us, 105 * SECOND);
    batch.release(&batch);
    sl_window_outcome_free(&outcome);
    sl_window_table_free(table);
    sl_window_plan_free(plan);
    schema.release(&schema);
}
END_TEST

START_TEST(sessions_join_and_close) {
    struct ArrowSchema schema = event_schema();
    sl_window_plan *plan = plan_for(SL_WINDOW_SESSION, 10 * SECOND, 0);
    sl_window_table *table = new_table(plan);
    sl_window_clock clock = {SL_TIME_NONE, SL_TIME_NONE};
    sl_window_outcome outcome = {0};
    sl_window_origin origin = {"events", 0, 0, NULL};
    /* 0 and 10 are a gap apart: two sessions; 9.5 joins both; 30 is alone */
    event events[] = {at(0, 100), at(10, 100), at(30, 100), at(20, 1)};
    struct ArrowArray batch = batch_of(&schema, events, 3);
    ok(sl_window_table_update(table, &clock, &origin, &batch, &outcome));
    batch.release(&batch);
    ck_assert_uint_eq(sl_window_table_groups(table), 3);
    events[0] = at(9.5, 100);
    batch = batch_of(&schema, events, 1);
    ok(sl_window_table_update(table, &clock, &origin, &batch, &outcome));
    batch.release(&batch);
    ck_assert_uint_eq(sl_window_table_groups(table), 2);
    sl_builder rows;
    sl_window_result_counts counts;
    ok(sl_builder_init(&rows, sl_window_plan_results(plan)));
    ok(sl_window_table_close(table, 30 * SECOND - 1, &rows, &counts));
    ck_assert_int_eq(counts.rows, 0); /* a row at 19.9 could still join [0, 20) */
    ok(sl_window_table_close(table, 30 * SECOND, &rows, &counts));
    ck_assert_int_eq(counts.rows, 1);
    ck_assert_int_eq(counts.max_event_us, 20 * SECOND);
    char *text = rows_text(plan, &rows);
    ck_assert_ptr_nonnull(strstr(text, "{\"window_start\":\"1970-01-01T00:00:00Z\",\"window_end\":"
                                       "\"1970-01-01T00:00:20Z\",\"kind\":\"view\",\"country\":"
                                       "\"DE\",\"events\":3,\"amounts\":3,\"revenue\":3.00,"));
    free(text);
    ck_assert_uint_eq(sl_window_table_groups(table), 1);
    sl_builder_free(&rows);
    sl_window_outcome_free(&outcome);
    sl_window_table_free(table);
    sl_window_plan_free(plan);
    schema.release(&schema);
}
END_TEST

START_TEST(sums_that_do_not_fit_are_null) {
    struct ArrowSchema schema;
    ok(sl_schema_new_struct(3, &schema));
    ok(sl_schema_set_field(&schema, 0, "ts", "tsu:UTC", true, 0));
    ok(sl_schema_set_field(&schema, 1, "n", "l", true, 0));
    ok(sl_schema_set_field(&schema, 2, "d", "d:38,0", true, 0));
    static const sl_window_aggregate sums[] = {
        {"n", "sum(n)"}, {"d", "sum(d)"}, {"a", "avg(n)"}, {"s", "stddev(n)"}};
    sl_window_config config = {.kind = SL_WINDOW_TUMBLING,
                               .size_us = SECOND,
                               .time = "ts",
                               .aggregates = sums,
                               .n_aggregates = 4};
    sl_window_plan *plan;
    ok(sl_window_plan_new(&schema, &config, &plan));
    sl_builder b;
    ok(sl_builder_init(&b, &schema));
    sl_i128 big = 1;
    for (int i = 0; i < 37; i++) {
        big *= 10;
    }
    big *= 9;
    for (int i = 0; i < 4; i++) { /* the first window cancels on its way, the second overflows */
        ck_assert(sl_builder_append_i64(&b.children[0], i < 3 ? 0 : SECOND));
        sl_i128 d = i == 1 ? -big : big;
        ck_assert(sl_builder_append_i64(&b.children[1], i == 1 ? INT64_MIN : INT64_MAX));
        ck_assert(sl_builder_append_bytes(&b.children[2], &d, 16));
        ck_assert(sl_builder_append_struct(&b));
    }
    ck_assert(sl_builder_append_i64(&b.children[0], SECOND) &&
              sl_builder_append_i64(&b.children[1], INT64_MAX) &&
              sl_builder_append_bytes(&b.children[2], &big, 16) && sl_builder_append_struct(&b));
    struct ArrowArray batch;
    ok(sl_builder_finish(&b, &batch));
    sl_builder_free(&b);
    sl_window_table *table = new_table(plan);
    sl_window_clock clock = {SL_TIME_NONE, SL_TIME_NONE};
    sl_window_outcome outcome = {0};
    sl_window_origin origin = {"events", 0, 0, NULL};
    ok(sl_window_table_update(table, &clock, &origin, &batch, &outcome));
    sl_builder rows;
    sl_window_result_counts counts;
    ok(sl_builder_init(&rows, sl_window_plan_results(plan)));
    ok(sl_window_table_close(table, 10 * SECOND, &rows, &counts));
    ck_assert_int_eq(counts.overflows, 2);
    char *text = rows_text(plan, &rows);
    ck_assert_str_eq(text,
                     "{\"window_start\":\"1970-01-01T00:00:00Z\",\"window_end\":"
                     "\"1970-01-01T00:00:01Z\",\"n\":9223372036854775806,"
                     "\"d\":90000000000000000000000000000000000000,\"a\":3.0744573456182584e+18,"
                     "\"s\":1.0650232656628343e+19}\n"
                     "{\"window_start\":\"1970-01-01T00:00:01Z\",\"window_end\":"
                     "\"1970-01-01T00:00:02Z\",\"n\":null,\"d\":null,"
                     "\"a\":9.223372036854776e+18,\"s\":0}\n");
    free(text);
    batch.release(&batch);
    sl_builder_free(&rows);
    sl_window_outcome_free(&outcome);
    sl_window_table_free(table);
    sl_window_plan_free(plan);
    schema.release(&schema);
}
END_TEST

START_TEST(bad_bytes_are_refused) {
    static event events[600];
    random_state = 9;
    size_t n = make_events(events, SL_ARRAY_LENGTH(events));
    static const sl_window_kind window_kinds[] = {SL_WINDOW_TUMBLING, SL_WINDOW_SESSION};
    for (size_t k = 0; k < SL_ARRAY_LENGTH(window_kinds); k++) {
        sl_window_plan *plan = plan_for(window_kinds[k], 10 * SECOND, 0);
        sl_buffer bytes = SL_BUFFER_INIT;
        size_t late;
        free(run(plan, events, n, false, &late, &bytes));
        for (int round = 0; round < 3000; round++) {
            uint8_t *copy = malloc(bytes.bytes);
            memcpy(copy, bytes.data, bytes.bytes);
            size_t length = round % 2 == 0 ? random_u64() % bytes.bytes : bytes.bytes;
            for (uint64_t i = random_u64() % 4; round % 2 == 1 || i < 3; i++) {
                copy[random_u64() % bytes.bytes] = (uint8_t)random_u64();
                if (i >= 3) {
                    break;
                }
            }
            uint8_t *exact = malloc(length + 1); /* so that ASan sees reads past the end */
            memcpy(exact, copy, length);
            exact = realloc(exact, length == 0 ? 1 : length);
            sl_window_table *table = new_table(plan);
            sl_error *error = sl_window_table_read(table, exact, length);
            ck_assert(round % 2 == 1 || error != NULL);
            if (error == NULL) {
                sl_builder rows;
                sl_window_result_counts counts;
                ok(sl_builder_init(&rows, sl_window_plan_results(plan)));
                ok(sl_window_table_close(table, INT64_MAX / 4, &rows, &counts));
                sl_builder_free(&rows);
            }
            sl_error_free(error);
            sl_window_table_free(table);
            free(exact);
            free(copy);
        }
        sl_buffer_free(&bytes);
        sl_window_plan_free(plan);
    }
}
END_TEST

START_TEST(other_plans_do_not_mix) {
    sl_window_plan *a = plan_for(SL_WINDOW_TUMBLING, 10 * SECOND, 0);
    sl_window_plan *b = plan_for(SL_WINDOW_TUMBLING, 20 * SECOND, 0);
    ck_assert_uint_ne(sl_window_plan_fingerprint(a), sl_window_plan_fingerprint(b));
    sl_window_table *table = new_table(a);
    sl_buffer bytes = SL_BUFFER_INIT;
    ok(sl_window_table_write(table, &bytes));
    sl_window_table *other = new_table(b);
    sl_error *error = sl_window_table_read(other, bytes.data, bytes.bytes);
    ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
    sl_error_free(error);
    ok(sl_window_table_read(table, bytes.data, bytes.bytes));
    sl_buffer_free(&bytes);
    sl_window_table_free(table);
    sl_window_table_free(other);
    sl_window_plan_free(a);
    sl_window_plan_free(b);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("window tables");
    TCase *cases = tcase_create("tables");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, tumbling_is_independent_of_order);
    tcase_add_test(cases, hopping_is_independent_of_order);
    tcase_add_test(cases, sessions_are_independent_of_order);
    tcase_add_test(cases, tumbling_counts_right);
    tcase_add_test(cases, lateness_is_per_record);
    tcase_add_test(cases, rows_ahead_are_left_out);
    tcase_add_test(cases, sessions_join_and_close);
    tcase_add_test(cases, sums_that_do_not_fit_are_null);
    tcase_add_test(cases, bad_bytes_are_refused);
    tcase_add_test(cases, other_plans_do_not_mix);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
