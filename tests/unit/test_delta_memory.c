/*
 * lib/delta when memory runs out: each allocation of a table's life fails once. The answer is an
 * error or success, nothing is left behind, and the table opens afterwards with whole commits only.
 * This program's own malloc does it (failing_malloc.h).
 */
#include "delta_support.h"
#include "failing_malloc.h"

static const char *const key_id[] = {"id"};

/* What the life works with: made before memory runs short. */
typedef struct props {
    struct ArrowSchema schema;
    struct ArrowArray rows;
    struct ArrowArray more;
} props;

static sl_error *store_batch(sl_store *store, sl_delta_table *table, const props *p,
                             const char *owner, sl_delta_files *files) {
    sl_delta_encoder *encoder = NULL;
    sl_delta_encoder_options options = {.schema = &p->schema, .tail_owner = owner};
    options.partition_columns = sl_delta_partition_columns(table, &options.n_partition_columns);
    sl_error *error = sl_delta_encoder_new(&options, &encoder);
    error = error ? error : sl_delta_encoder_append(encoder, &p->rows, 0, p->rows.length);
    error = error ? error : sl_delta_encoder_store(encoder, store, files);
    sl_delta_encoder_free(encoder);
    return error;
}

static sl_error *append_batch(sl_store *store, sl_delta_table *table, const props *p, int64_t from,
                              int64_t to) {
    sl_delta_files files = {0};
    sl_delta_advance advance = {"app", from, to};
    sl_error *error = store_batch(store, table, p, NULL, &files);
    sl_delta_commit_info info = {.adds = files.items,
                                 .n_adds = files.n,
                                 .advances = &advance,
                                 .n_advances = 1,
                                 .data_change = true};
    error = error ? error : sl_delta_commit(table, &info);
    sl_delta_files_free(&files);
    return error;
}

static sl_error *turn_tail(sl_store *store, sl_delta_table *table, const props *p) {
    sl_delta_tail *tail = NULL;
    sl_delta_encoder *encoder = NULL;
    sl_delta_files live_files = {0};
    sl_delta_files files = {0};
    sl_delta_encoder_options options = {.schema = &p->schema, .tail_owner = "me"};
    options.partition_columns = sl_delta_partition_columns(table, &options.n_partition_columns);
    sl_error *error = sl_delta_tail_new(&p->schema, key_id, 1, &tail);
    error = error ? error : sl_delta_tail_load(tail, table, "me", &live_files);
    error = error ? error : sl_delta_tail_put(tail, &p->rows);
    error = error ? error : sl_delta_tail_drop(tail, &p->more);
    error = error ? error : sl_delta_encoder_new(&options, &encoder);
    error = error ? error : sl_delta_tail_write(tail, encoder);
    error = error ? error : sl_delta_encoder_store(encoder, store, &files);
    sl_delta_commit_info info = {.adds = files.items,
                                 .n_adds = files.n,
                                 .removes = live_files.items,
                                 .n_removes = live_files.n,
                                 .reads_only_removes = true,
                                 .data_change = true};
    error = error ? error : sl_delta_commit(table, &info);
    sl_delta_encoder_free(encoder);
    sl_delta_tail_free(tail);
    sl_delta_files_free(&files);
    sl_delta_files_free(&live_files);
    return error;
}

static sl_error *upsert_batch(sl_delta_table *table, const props *p) {
    const struct ArrowArray *batches[1] = {&p->more};
    sl_delta_upsert_info info = {.schema = &p->schema,
                                 .batches = batches,
                                 .n_batches = 1,
                                 .key = key_id,
                                 .n_key = 1,
                                 .delete_column = 1};
    return sl_delta_upsert(table, &info);
}

static sl_error *make(sl_store *store, const props *p, sl_delta_table **out) {
    const char *partition = "part";
    sl_delta_create_options options = {
        .schema = &p->schema, .partition_columns = &partition, .n_partition_columns = 1};
    return sl_delta_open_or_create(store, &options, out);
}

/* A table's life. Stops at the first error. */
static sl_error *live_once(sl_store *store, const props *p) {
    sl_delta_table *table = NULL;
    sl_delta_cleaned cleaned;
    struct ArrowSchema grown = {0};
    bool changed;
    sl_error *error = make(store, p, &table);
    error = error ? error : append_batch(store, table, p, -1, 1);
    error =
        error ? error : sl_delta_fit_schema(table, &p->schema, SL_DELTA_ADDITIVE, &changed, &grown);
    error = error ? error : turn_tail(store, table, p);
    error = error ? error : sl_delta_checkpoint(table);
    error = error ? error : turn_tail(store, table, p);
    sl_delta_close(table);
    table = NULL;
    error = error ? error : sl_delta_open(store, &table);
    error = error ? error : append_batch(store, table, p, 1, 2);
    error = error ? error : upsert_batch(table, p);
    error = error ? error : sl_delta_checkpoint(table);
    error = error ? error : sl_delta_clean(table, INT64_C(4102444800000), NULL, &cleaned);
    sl_delta_close(table);
    return error;
}

/* Only whole commits: three rows for each position. */
static void check_table(sl_store *store) {
    sl_delta_table *table = NULL;
    sl_error *error = sl_delta_open(store, &table);
    if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        sl_error_free(error);
        return;
    }
    GOOD(error);
    int64_t position = sl_delta_position(table, "app");
    int64_t version = sl_delta_version(table);
    ck_assert_int_le(position, 2);
    ck_assert(version < 1 || position >= 1);
    ck_assert(version < 4 || position == 2);
    int64_t files = count_files(table);
    ck_assert(version != 1 || files == 2);
    sl_delta_close(table);
}

START_TEST(every_allocation_fails_once) {
    only_one = true;
    props p;
    make_schema(&p.schema);
    make_batch((row[]){{1, "a", "x"}, {2, NULL, "y"}, {3, "c", "x"}}, 3, &p.rows);
    make_batch((row[]){{1, "a2", "x"}, {9, NULL, "y"}}, 2, &p.more);
    long failures = 0;
    for (long nth = 0;; nth++) {
        sl_store *store = NULL;
        long before = live;
        GOOD(sl_store_open_memory(&store));
        hit = false;
        allowed = nth;
        sl_error *error = live_once(store, &p);
        bool reached = hit;
        allowed = -1;
        failures += error != NULL;
        sl_error_free(error);
        check_table(store);
        store->ops->close(store);
        ck_assert_msg(live == before, "allocation %ld leaves %ld blocks", nth, live - before);
        if (!reached) {
            break;
        }
    }
    ck_assert_int_gt(failures, 1000);
    p.rows.release(&p.rows);
    p.more.release(&p.more);
    p.schema.release(&p.schema);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("delta_memory");
    TCase *tests = tcase_create("memory");
    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, every_allocation_fails_once);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
