/* Compaction: which files it takes, that rows stay as they are, and that it gives way. */
#include "delta_support.h"

#include "delta/compact.h"

enum { FILES = 20 };

static sl_delta_encoder_options how = {.file_bytes = (size_t)64 << 20};
static atomic_bool stopped;

static sl_delta_compact_info wanted(void) {
    return (sl_delta_compact_info){
        .encoder = &how, .small_bytes = 1 << 20, .least_files = 8, .stop = &stopped};
}

/* A table with FILES files of two partitions, a tail file, and few files of a third partition. */
static sl_delta_table *small_files(sl_store *store) {
    static const char *const parts[] = {"a", "b"};
    sl_delta_table *table = make_table(store, "part", NULL, NULL);
    for (int64_t i = 0; i < FILES + 3; i++) {
        sl_delta_files files = {0};
        row one = {i, "x", i < FILES ? parts[i % 2] : "c"};
        store_rows(table, store, &one, 1, i == FILES ? "owner" : NULL, &files);
        sl_delta_commit_info info = {.adds = files.items, .n_adds = files.n, .data_change = true};
        GOOD(sl_delta_commit(table, &info));
        sl_delta_files_free(&files);
    }
    return table;
}

START_TEST(test_small_files_of_a_partition_become_one) {
    sl_store *store = NULL;
    GOOD(sl_store_open_memory(&store));
    sl_delta_table *table = small_files(store);
    char *before = table_text(store);
    sl_delta_compact_info info = wanted();
    GOOD(sl_delta_compact(table, &info));
    ck_assert_int_eq(info.commits, 2);
    ck_assert_int_eq(info.files_before, FILES);
    ck_assert_int_eq(info.files_after, 2);
    ck_assert_int_eq(info.rows, FILES);
    ck_assert_int_eq(count_files(table), 2 + 3);
    expect_rows(store, before);
    sl_delta_files tail = {0};
    GOOD(sl_delta_tail_files(table, "owner", &tail));
    ck_assert_int_eq(tail.n, 1);
    sl_delta_files_free(&tail);
    info = wanted();
    GOOD(sl_delta_compact(table, &info));
    ck_assert_int_eq(info.commits, 0);
    free(before);
    sl_delta_close(table);
    store->ops->close(store);
}
END_TEST

START_TEST(test_what_one_pass_leaves_the_next_ones_take) {
    enum { LONELY = 100 };
    sl_store *store = NULL;
    GOOD(sl_store_open_memory(&store));
    sl_delta_table *table = small_files(store);
    sl_delta_files files = {0};
    for (int64_t i = 0; i < LONELY; i++) { /* of partitions that are not worth it */
        char part[8];
        snprintf(part, sizeof(part), "p%d", (int)i);
        row one = {1000 + i, "x", part};
        store_rows(table, store, &one, 1, NULL, &files);
    }
    sl_delta_commit_info adds = {.adds = files.items, .n_adds = files.n, .data_change = true};
    GOOD(sl_delta_commit(table, &adds));
    sl_delta_files_free(&files);
    char *before = table_text(store);
    for (int pass = 0; pass < 3; pass++) {
        sl_delta_compact_info info = wanted();
        info.most_files = FILES / 2 + 2; /* one partition and no more */
        GOOD(sl_delta_compact(table, &info));
        ck_assert_int_eq(info.commits, pass < 2 ? 1 : 0);
        ck_assert_int_eq(info.files_before, pass < 2 ? FILES / 2 : 0);
    }
    ck_assert_int_eq(count_files(table), 2 + 3 + LONELY);
    expect_rows(store, before);
    free(before);
    sl_delta_close(table);
    store->ops->close(store);
}
END_TEST

START_TEST(test_a_partition_may_be_larger_than_a_pass) {
    sl_store *store = NULL;
    GOOD(sl_store_open_memory(&store));
    sl_delta_table *table = small_files(store);
    char *before = table_text(store);
    sl_delta_compact_info info = wanted();
    info.most_files = 9; /* of ten */
    GOOD(sl_delta_compact(table, &info));
    ck_assert_int_eq(info.commits, 1);
    ck_assert_int_eq(info.files_before, 9);
    expect_rows(store, before);
    free(before);
    sl_delta_close(table);
    store->ops->close(store);
}
END_TEST

/* ---- somebody is faster ---- */

/* Takes one file of the partition "a" out of the table. */
static sl_error *pick(const sl_delta_file *file, void *arg) {
    sl_delta_file *picked = arg;
    return picked->path == NULL && strcmp(file->partition_values[0], "a") == 0
               ? sl_delta_file_copy(file, picked)
               : NULL;
}

static void remove_one(void *store) {
    sl_delta_table *table = NULL;
    sl_delta_file picked = {0};
    GOOD(sl_delta_open(store, &table));
    GOOD(sl_delta_visit_files(table, pick, &picked));
    sl_delta_commit_info info = {.removes = &picked, .n_removes = 1, .data_change = true};
    GOOD(sl_delta_commit(table, &info));
    sl_delta_file_clear(&picked);
    sl_delta_close(table);
}

static int count_object(const sl_store_entry *entry, void *arg) {
    *(int *)arg += strncmp(entry->path, DELTA_LOG, sizeof(DELTA_LOG) - 1) != 0;
    return 0;
}

static int count_data_objects(sl_store *store) {
    int n = 0;
    GOOD(store->ops->list(store, "", NULL, 1, count_object, &n));
    return n;
}

START_TEST(test_a_commit_that_lost_is_thrown_away_and_the_next_partition_goes_on) {
    sl_store *store = NULL;
    GOOD(sl_store_open_memory(&store));
    sl_delta_table *table = small_files(store);
    int objects = count_data_objects(store);
    sl_store_memory_hook(store, SL_STORE_OP_PUT, DELTA_LOG, remove_one, store);
    sl_delta_compact_info info = wanted();
    GOOD(sl_delta_compact(table, &info));
    ck_assert_int_eq(info.lost, 1);
    ck_assert_int_eq(info.commits, 1);
    ck_assert_int_eq(count_data_objects(store), objects + 1);
    ck_assert_int_eq(count_files(table), (FILES / 2 - 1) + 1 + 3);
    sl_delta_close(table);
    store->ops->close(store);
}
END_TEST

START_TEST(test_a_stop_leaves_nothing) {
    sl_store *store = NULL;
    GOOD(sl_store_open_memory(&store));
    sl_delta_table *table = small_files(store);
    int objects = count_data_objects(store);
    int64_t version = sl_delta_version(table);
    sl_delta_compact_info info = wanted();
    atomic_store(&stopped, true);
    GOOD(sl_delta_compact(table, &info));
    atomic_store(&stopped, false);
    ck_assert_int_eq(sl_delta_version(table), version);
    ck_assert_int_eq(count_data_objects(store), objects);
    sl_delta_close(table);
    store->ops->close(store);
}
END_TEST

START_TEST(test_failures_of_the_store_leave_the_rows_as_they_were) {
    sl_store *store = NULL;
    GOOD(sl_store_open_memory(&store));
    sl_delta_table *table = small_files(store);
    char *before = table_text(store);
    for (int op = 0; op < SL_STORE_OPS; op++) {
        for (int nth = 1; nth < 16; nth++) {
            sl_store_memory_fail(store, (sl_store_op)op, NULL, 1 + nth / 2,
                                 nth % 2 ? SL_STORE_FAULT_AFTER : SL_STORE_FAULT_BEFORE,
                                 nth % 4 < 2 ? SL_ERROR_RETRIABLE : SL_ERROR_FATAL);
            sl_delta_compact_info info = wanted();
            sl_error_free(sl_delta_compact(table, &info));
            sl_store_memory_fail(store, (sl_store_op)op, NULL, 0, SL_STORE_FAULT_BEFORE,
                                 SL_ERROR_RETRIABLE);
            expect_rows(store, before);
        }
    }
    free(before);
    sl_delta_close(table);
    store->ops->close(store);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("delta_compact");
    TCase *tcase = tcase_create("compact");
    tcase_add_test(tcase, test_small_files_of_a_partition_become_one);
    tcase_add_test(tcase, test_what_one_pass_leaves_the_next_ones_take);
    tcase_add_test(tcase, test_a_partition_may_be_larger_than_a_pass);
    tcase_add_test(tcase, test_a_commit_that_lost_is_thrown_away_and_the_next_partition_goes_on);
    tcase_add_test(tcase, test_a_stop_leaves_nothing);
    tcase_add_test(tcase, test_failures_of_the_store_leave_the_rows_as_they_were);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
