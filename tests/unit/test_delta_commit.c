/* lib/delta: commits by compare and set, races, lost answers, checkpoints, clean-up. */
#include "delta_support.h"

static sl_store *store;

static void set_up(void) {
    GOOD(sl_store_open_memory(&store));
}

static void tear_down(void) {
    store->ops->close(store);
}

START_TEST(positions_are_compared_and_set) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    sl_delta_commit_info info = {0};
    int64_t large = INT64_C(9007199254740993); /* no double has it */
    ck_assert_int_eq(sl_delta_position(table, "a"), SL_DELTA_NO_POSITION);
    GOOD(append_row(table, store, 1, "a", SL_DELTA_NO_POSITION, large, &info));
    ck_assert_int_eq(info.version, 1);
    ck_assert_int_eq(sl_delta_position(table, "a"), large);
    info = (sl_delta_commit_info){0};
    expect_error(append_row(table, store, 2, "a", large - 1, large + 5, &info), SL_ERROR_CONFLICT,
                 "9007199254740993");
    ck_assert_int_eq(info.conflict, SL_DELTA_CONFLICT_POSITION);
    info = (sl_delta_commit_info){0};
    expect_error(append_row(table, store, 2, "a", SL_DELTA_NO_POSITION, 5, &info),
                 SL_ERROR_CONFLICT, NULL);
    GOOD(sl_delta_refresh(table));
    ck_assert_int_eq(sl_delta_version(table), 1);
    sl_delta_close(table);
    GOOD(sl_delta_open(store, &table));
    ck_assert_int_eq(sl_delta_position(table, "a"), large);
    char *entry = entry_text(store, 1);
    ck_assert_ptr_nonnull(strstr(entry, "\"version\":9007199254740993"));
    ck_assert_ptr_null(strstr(entry, "lastUpdated"));
    ck_assert_ptr_nonnull(strstr(entry, "sluice/"));
    free(entry);
    sl_delta_close(table);
    expect_rows(store, "{\"id\":1,\"name\":\"x\",\"part\":\"p\"}\n");
}
END_TEST

START_TEST(blind_appends_are_rebased) {
    sl_delta_table *a = make_table(store, NULL, NULL, NULL);
    sl_delta_table *b = NULL;
    GOOD(sl_delta_open(store, &b));
    sl_delta_commit_info info = {0};
    GOOD(append_row(a, store, 1, "a", -1, 10, &info));
    info = (sl_delta_commit_info){0};
    GOOD(append_row(b, store, 2, "b", -1, 20, &info));
    ck_assert_int_eq(info.version, 2);
    ck_assert_int_eq(sl_delta_position(b, "a"), 10);
    info = (sl_delta_commit_info){0};
    expect_error(append_row(a, store, 3, "b", -1, 30, &info), SL_ERROR_CONFLICT, "is 20");
    ck_assert_int_eq(info.conflict, SL_DELTA_CONFLICT_POSITION);
    info = (sl_delta_commit_info){0};
    GOOD(append_row(a, store, 3, "b", 20, 30, &info));
    ck_assert_int_eq(info.version, 3);
    sl_delta_close(a);
    sl_delta_close(b);
}
END_TEST

static int64_t log_entries(void) {
    int64_t n = 0;
    sl_store_entry entry;
    for (;; n++) {
        char path[DELTA_PATH_BYTES];
        delta_log_path(n, path);
        sl_error *error = store->ops->stat(store, path, &entry);
        if (error != NULL) {
            sl_error_free(error);
            return n;
        }
    }
}

START_TEST(a_lost_answer_is_found_in_the_log) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    sl_delta_commit_info info = {0};
    sl_store_memory_fail(store, SL_STORE_OP_PUT, "00001.json", 1, SL_STORE_FAULT_AFTER,
                         SL_ERROR_RETRIABLE);
    GOOD(append_row(table, store, 1, "a", -1, 5, &info));
    ck_assert_int_eq(info.version, 1);
    ck_assert_int_eq(log_entries(), 2);
    ck_assert_int_eq(sl_delta_position(table, "a"), 5);
    sl_delta_close(table);
}
END_TEST

/* The same commit again, as its caller does after RETRIABLE. */
static sl_error *retry(sl_delta_table *table, const sl_delta_files *files, int64_t from, int64_t to,
                       sl_delta_commit_info *info) {
    sl_delta_advance advance = {"a", from, to};
    info->adds = files->items;
    info->n_adds = files->n;
    info->advances = &advance;
    info->n_advances = 1;
    info->data_change = true;
    return sl_delta_commit(table, info);
}

START_TEST(a_retry_recognises_its_own_entry) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    sl_delta_table *other = NULL;
    sl_delta_commit_info info = {0};
    sl_delta_files files = {0};
    row one = {1, "x", "p"};
    store_rows(table, store, &one, 1, NULL, &files);
    GOOD(sl_delta_open(store, &other));
    /* written, but neither the answer nor the look at the log comes through */
    sl_store_memory_fail(store, SL_STORE_OP_PUT, "00001.json", 1, SL_STORE_FAULT_AFTER,
                         SL_ERROR_RETRIABLE);
    sl_store_memory_fail(store, SL_STORE_OP_GET, "00001.json", 1, SL_STORE_FAULT_BEFORE,
                         SL_ERROR_RETRIABLE);
    expect_error(retry(table, &files, -1, 5, &info), SL_ERROR_RETRIABLE, NULL);
    append_good(other, store, 2); /* others go on meanwhile */
    GOOD(retry(table, &files, -1, 5, &info));
    ck_assert_int_eq(info.version, 1);
    ck_assert_int_eq(log_entries(), 3);
    sl_delta_files_free(&files);
    sl_delta_close(table);
    sl_delta_close(other);
    expect_rows(store, "{\"id\":1,\"name\":\"x\",\"part\":\"p\"}\n"
                       "{\"id\":2,\"name\":\"x\",\"part\":\"p\"}\n");
}
END_TEST

static void put_entry(int64_t version, const char *text) {
    char path[DELTA_PATH_BYTES];
    delta_log_path(version, path);
    GOOD(store->ops->put(store, path, text, strlen(text), SL_STORE_IF_ABSENT));
}

static void demand_too_much(void *arg) {
    (void)arg;
    put_entry(2, "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,"
                 "\"readerFeatures\":[\"deletionVectors\"],"
                 "\"writerFeatures\":[\"deletionVectors\"]}}\n");
}

/* What is committed is committed, also where another writer makes the table unreadable behind it:
 * who heard an error would throw its files away. */
START_TEST(an_own_entry_counts_whatever_follows_it) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    sl_delta_commit_info info = {0};
    /* a store that tries again by itself finds what it had written */
    sl_store_memory_fail(store, SL_STORE_OP_PUT, "00001.json", 1, SL_STORE_FAULT_AFTER,
                         SL_ERROR_EXISTS);
    sl_store_memory_hook(store, SL_STORE_OP_GET, "00002.json", demand_too_much, NULL);
    GOOD(append_row(table, store, 1, "a", -1, 5, &info));
    ck_assert_int_eq(info.version, 1);
    info = (sl_delta_commit_info){0};
    expect_error(append_row(table, store, 2, "a", 5, 6, &info), SL_ERROR_UNSUPPORTED,
                 "deletionVectors");
    sl_delta_close(table);
}
END_TEST

START_TEST(a_retry_that_did_not_arrive_writes_the_same_bytes) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    sl_delta_commit_info info = {0};
    sl_delta_files files = {0};
    row one = {1, "x", "p"};
    char token[40];
    store_rows(table, store, &one, 1, NULL, &files);
    sl_store_memory_fail(store, SL_STORE_OP_PUT, "00001.json", 1, SL_STORE_FAULT_BEFORE,
                         SL_ERROR_RETRIABLE);
    expect_error(retry(table, &files, -1, 5, &info), SL_ERROR_RETRIABLE, NULL);
    memcpy(token, info.token, sizeof(token));
    ck_assert_int_eq(log_entries(), 1);
    GOOD(retry(table, &files, -1, 5, &info));
    ck_assert_str_eq(token, info.token);
    ck_assert_int_eq(log_entries(), 2);
    char *entry = entry_text(store, 1);
    ck_assert_ptr_nonnull(strstr(entry, token));
    free(entry);
    sl_delta_files_free(&files);
    sl_delta_close(table);
}
END_TEST

static void commit_other(void *arg) {
    sl_delta_table *table = NULL;
    GOOD(sl_delta_open(store, &table));
    append_good(table, store, *(int64_t *)arg);
    sl_delta_close(table);
}

START_TEST(somebody_else_between_check_and_put) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    int64_t id = 77;
    sl_delta_commit_info info = {0};
    sl_store_memory_hook(store, SL_STORE_OP_PUT, "00001.json", commit_other, &id);
    GOOD(append_row(table, store, 1, "a", -1, 5, &info));
    ck_assert_int_eq(info.version, 2);
    ck_assert_int_eq(count_files(table), 2);
    sl_delta_close(table);
}
END_TEST

static sl_error *replace_file(sl_delta_table *table, const sl_delta_files *old, bool reads_only,
                              sl_delta_commit_info *info) {
    sl_delta_files files = {0};
    row one = {100, "new", "p"};
    store_rows(table, store, &one, 1, NULL, &files);
    *info = (sl_delta_commit_info){.adds = files.items,
                                   .n_adds = files.n,
                                   .removes = old->items,
                                   .n_removes = old->n,
                                   .reads_only_removes = reads_only,
                                   .data_change = true};
    sl_error *error = sl_delta_commit(table, info);
    sl_delta_files_free(&files);
    return error;
}

static sl_error *copy_file(const sl_delta_file *file, void *arg) {
    sl_delta_file copy;
    sl_error *error = sl_delta_file_copy(file, &copy);
    return error ? error : sl_delta_files_add(arg, &copy);
}

START_TEST(removes_conflict_with_removes_and_with_rows_not_read) {
    sl_delta_table *a = make_table(store, NULL, NULL, NULL);
    sl_delta_table *b = NULL;
    sl_delta_files old = {0};
    sl_delta_commit_info info;
    append_good(a, store, 1);
    GOOD(sl_delta_visit_files(a, copy_file, &old));
    ck_assert_uint_eq(old.n, 1);
    GOOD(sl_delta_open(store, &b));
    append_good(b, store, 2);
    expect_error(replace_file(a, &old, false, &info), SL_ERROR_CONFLICT, "did not read");
    ck_assert_int_eq(info.conflict, SL_DELTA_CONFLICT_ADDED);
    append_good(b, store, 3);
    GOOD(replace_file(a, &old, true, &info)); /* it only depends on what it removes */
    expect_error(replace_file(b, &old, true, &info), SL_ERROR_CONFLICT, "removed by");
    ck_assert_int_eq(info.conflict, SL_DELTA_CONFLICT_REMOVED);
    /* also when the tombstone has gone into a checkpoint */
    GOOD(sl_delta_checkpoint(b));
    expect_error(replace_file(b, &old, true, &info), SL_ERROR_CONFLICT, "removed by");
    ck_assert_int_eq(info.conflict, SL_DELTA_CONFLICT_REMOVED);
    sl_delta_files_free(&old);
    GOOD(sl_delta_visit_files(b, copy_file, &old));
    ck_assert_uint_eq(old.n, 3);
    GOOD(replace_file(b, &old, false, &info)); /* live ones that are only in the checkpoint */
    sl_delta_files_free(&old);
    sl_delta_close(a);
    sl_delta_close(b);
    expect_rows(store, "{\"id\":100,\"name\":\"new\",\"part\":\"p\"}\n");
}
END_TEST

static sl_error *expect_spelling(const sl_delta_file *file, void *arg) {
    ck_assert_str_eq(file->uri == NULL ? "" : file->uri, arg);
    return NULL;
}

/* Spark leaves letters beyond ASCII as they are, and other readers compare what is written. */
START_TEST(files_of_others_keep_their_spelling) {
    static char uri[] = "part=Z\xc3\xbcrich/theirs.parquet";
    sl_delta_table *table = make_table(store, "part", NULL, NULL);
    sl_delta_files old = {0};
    sl_delta_commit_info info;
    sl_buffer entry = SL_BUFFER_INIT;
    sl_buffer_printf(&entry,
                     "{\"add\":{\"path\":\"%s\",\"partitionValues\":{\"part\":"
                     "\"Z\xc3\xbcrich\"},\"size\":9,\"modificationTime\":1,"
                     "\"dataChange\":true}}\n",
                     uri);
    put_entry(1, sl_buffer_text(&entry));
    sl_buffer_free(&entry);
    GOOD(sl_delta_refresh(table));
    GOOD(sl_delta_checkpoint(table));
    sl_delta_close(table);
    GOOD(sl_delta_open(store, &table));
    GOOD(sl_delta_visit_files(table, expect_spelling, uri)); /* of the checkpoint */
    GOOD(sl_delta_visit_files(table, copy_file, &old));
    ck_assert_str_eq(old.items[0].path, uri);
    GOOD(replace_file(table, &old, true, &info));
    char *text = entry_text(store, 2);
    ck_assert_ptr_nonnull(strstr(text, uri));
    free(text);
    sl_delta_files_free(&old);
    sl_delta_close(table);
}
END_TEST

START_TEST(a_changed_schema_is_told) {
    sl_delta_table *a = make_table(store, NULL, NULL, NULL);
    sl_delta_table *b = NULL;
    struct ArrowSchema grown;
    GOOD(sl_delta_open(store, &b));
    GOOD(sl_schema_new_struct(4, &grown));
    for (size_t i = 0; i < 3; i++) {
        GOOD(sl_schema_copy(sl_delta_schema(a)->children[i], grown.children[i]));
    }
    GOOD(sl_schema_set_field(&grown, 3, "more", "g", true, 0));
    sl_delta_commit_info info = {.schema = &grown, .data_change = true};
    GOOD(sl_delta_commit(a, &info));
    ck_assert_int_eq(sl_delta_schema(a)->n_children, 4);
    info = (sl_delta_commit_info){0};
    expect_error(append_row(b, store, 1, "a", -1, 1, &info), SL_ERROR_CONFLICT, "schema");
    ck_assert_int_eq(info.conflict, SL_DELTA_CONFLICT_METADATA);
    ck_assert_int_eq(sl_delta_schema(b)->n_children, 4);
    info = (sl_delta_commit_info){0};
    GOOD(append_row(b, store, 1, "a", -1, 1, &info));
    grown.release(&grown);
    sl_delta_close(a);
    sl_delta_close(b);
    expect_rows(store, "{\"id\":1,\"name\":\"x\",\"part\":\"p\",\"more\":null}\n");
}
END_TEST

/* The snapshot has followed, but the new schema was made before. */
START_TEST(a_new_schema_takes_no_column_away) {
    sl_delta_table *a = make_table(store, NULL, NULL, NULL);
    sl_delta_table *b = NULL;
    struct ArrowSchema grown[2];
    static const char *const names[] = {"more", "other"};
    GOOD(sl_delta_open(store, &b));
    for (size_t g = 0; g < 2; g++) {
        GOOD(sl_schema_new_struct(4, &grown[g]));
        for (size_t i = 0; i < 3; i++) {
            GOOD(sl_schema_copy(sl_delta_schema(a)->children[i], grown[g].children[i]));
        }
        GOOD(sl_schema_set_field(&grown[g], 3, names[g], "g", true, 0));
    }
    sl_delta_commit_info info = {.schema = &grown[0], .data_change = true};
    GOOD(sl_delta_commit(a, &info));
    GOOD(sl_delta_refresh(b));
    info = (sl_delta_commit_info){.schema = &grown[1], .data_change = true};
    expect_error(sl_delta_commit(b, &info), SL_ERROR_CONFLICT, "\"more\"");
    ck_assert_int_eq(info.conflict, SL_DELTA_CONFLICT_METADATA);
    grown[0].release(&grown[0]);
    grown[1].release(&grown[1]);
    sl_delta_close(a);
    sl_delta_close(b);
}
END_TEST

START_TEST(append_only_tables_keep_their_rows) {
    sl_delta_table *table = make_table(store, NULL, "delta.appendOnly", "true");
    sl_delta_files old = {0};
    sl_delta_commit_info info;
    append_good(table, store, 1);
    GOOD(sl_delta_visit_files(table, copy_file, &old));
    expect_error(replace_file(table, &old, true, &info), SL_ERROR_CONFIG, "delta.appendOnly");
    expect_error(sl_delta_check_writable(table, true), SL_ERROR_CONFIG, "delta.appendOnly");
    GOOD(sl_delta_check_writable(table, false));
    sl_delta_files_free(&old);
    sl_delta_close(table);
}
END_TEST

static void remove_entries(int64_t below) {
    for (int64_t i = 0; i < below; i++) {
        char path[DELTA_PATH_BYTES];
        delta_log_path(i, path);
        GOOD(store->ops->remove(store, path));
    }
}

START_TEST(a_table_may_say_how_often_it_has_checkpoints) {
    sl_delta_table *table = make_table(store, NULL, "delta.checkpointInterval", "2");
    append_good(table, store, 1);
    ck_assert(!sl_delta_checkpoint_due(table));
    append_good(table, store, 2);
    ck_assert(sl_delta_checkpoint_due(table));
    GOOD(sl_delta_checkpoint(table));
    ck_assert(!sl_delta_checkpoint_due(table));
    sl_delta_close(table);
}
END_TEST

START_TEST(checkpoints_hold_everything) {
    sl_delta_table *table = make_table(store, "part", NULL, NULL);
    row rows[] = {{1, "a", "x y/z%"}, {2, NULL, NULL}, {3, "c", ""}};
    sl_delta_files files = {0};
    store_rows(table, store, rows, 3, "owner \"1\"", &files);
    ck_assert_uint_eq(files.n, 2); /* "" is null to Delta */
    sl_delta_advance advance = {"a", -1, 12};
    sl_delta_commit_info info = {.adds = files.items,
                                 .n_adds = files.n,
                                 .advances = &advance,
                                 .n_advances = 1,
                                 .data_change = true};
    GOOD(sl_delta_commit(table, &info));
    for (int64_t i = 0; i < 9; i++) {
        ck_assert(!sl_delta_maintenance_due(table, 0));
        info = (sl_delta_commit_info){0};
        GOOD(append_row(table, store, 10 + i, "b", i - 1, i, &info));
    }
    char *before = table_text(store);
    ck_assert(sl_delta_maintenance_due(table, 0));
    GOOD(sl_delta_maintain(table, 0));
    ck_assert(!sl_delta_maintenance_due(table, 0));
    ck_assert_int_eq(count_files(table), 11);
    remove_entries(10);
    char *after = table_text(store);
    ck_assert_str_eq(before, after);
    sl_delta_close(table);
    GOOD(sl_delta_open(store, &table));
    ck_assert_int_eq(sl_delta_version(table), 10);
    ck_assert_int_eq(sl_delta_position(table, "a"), 12);
    ck_assert_int_eq(sl_delta_position(table, "b"), 8);
    sl_delta_files tails = {0};
    GOOD(sl_delta_tail_files(table, "owner \"1\"", &tails));
    ck_assert_uint_eq(tails.n, 2);
    ck_assert_ptr_nonnull(tails.items[0].stats);
    sl_delta_files_free(&tails);
    /* a second one is made from the first */
    append_good(table, store, 50);
    GOOD(sl_delta_checkpoint(table));
    remove_entries(12);
    sl_delta_close(table);
    GOOD(sl_delta_open(store, &table));
    ck_assert_int_eq(count_files(table), 12);
    free(before);
    free(after);
    sl_delta_files_free(&files);
    sl_delta_close(table);
}
END_TEST

START_TEST(a_bad_hint_is_only_a_hint) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    for (int64_t i = 0; i < 12; i++) {
        append_good(table, store, i);
        GOOD(sl_delta_maintain(table, 0));
    }
    sl_delta_close(table);
    static const char *const hints[] = {"{\"version\":99,\"size\":1}", "{]", "", "{\"size\":1}",
                                        "{\"version\":-4}"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(hints); i++) {
        GOOD(store->ops->put(store, DELTA_LAST_CHECKPOINT, hints[i], strlen(hints[i]), 0));
        GOOD(sl_delta_open(store, &table));
        ck_assert_int_eq(sl_delta_version(table), 12);
        ck_assert_int_eq(count_files(table), 12);
        sl_delta_close(table);
    }
}
END_TEST

START_TEST(clean_up_removes_what_nobody_needs) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    int64_t day_ms = INT64_C(86400000);
    int64_t now_ms = sl_now_us() / 1000;
    sl_delta_files old = {0};
    sl_delta_files orphans = {0};
    sl_delta_commit_info info;
    sl_delta_cleaned cleaned;
    row one = {5, "orphan", "p"};
    append_good(table, store, 1);
    GOOD(sl_delta_visit_files(table, copy_file, &old));
    GOOD(replace_file(table, &old, true, &info));
    store_rows(table, store, &one, 1, NULL, &orphans);
    GOOD(store->ops->put(store, "theirs.parquet", "x", 1, 0));
    for (int64_t i = 0; i < 10; i++) {
        append_good(table, store, 10 + i);
    }
    GOOD(sl_delta_checkpoint(table));
    append_good(table, store, 30);
    GOOD(sl_delta_clean(table, now_ms, NULL, &cleaned));
    ck_assert_int_eq(cleaned.data_files, 0);
    ck_assert_int_eq(cleaned.log_entries, 0);
    char *before = table_text(store);
    GOOD(sl_delta_clean(table, now_ms + 2 * day_ms, NULL, &cleaned));
    ck_assert_int_eq(cleaned.data_files, 2); /* the replaced one and the orphan */
    ck_assert_int_eq(cleaned.log_entries, 12);
    char *after = table_text(store);
    ck_assert_str_eq(before, after);
    sl_store_entry entry;
    GOOD(store->ops->stat(store, "theirs.parquet", &entry));
    expect_error(store->ops->stat(store, orphans.items[0].path, &entry), SL_ERROR_NOT_FOUND, NULL);
    free(before);
    free(after);
    sl_delta_files_free(&old);
    sl_delta_files_free(&orphans);
    sl_delta_close(table);
}
END_TEST

START_TEST(every_fault_leaves_a_good_table) {
    /* whatever single operation fails, a later try succeeds and no row is there twice */
    for (int op = 0; op < SL_STORE_OPS; op++) {
        for (int64_t nth = 1; nth < 12; nth++) {
            tear_down();
            set_up();
            sl_delta_table *table = make_table(store, NULL, NULL, NULL);
            sl_delta_files files = {0};
            row one = {1, "x", "p"};
            store_rows(table, store, &one, 1, NULL, &files);
            for (int64_t i = 0; i < 11; i++) {
                sl_delta_commit_info info = {0};
                sl_error *error;
                if (i == 9) {
                    sl_store_memory_fail(store, (sl_store_op)op, NULL, nth,
                                         nth % 2 ? SL_STORE_FAULT_AFTER : SL_STORE_FAULT_BEFORE,
                                         SL_ERROR_RETRIABLE);
                }
                files.items[0].path[strlen(files.items[0].path) - 10] = (char)('a' + i);
                do {
                    error = retry(table, &files, i - 1, i, &info);
                    ck_assert(error == NULL || sl_error_is(error, SL_ERROR_RETRIABLE));
                    sl_error_free(error);
                } while (error != NULL);
                sl_error_free(sl_delta_maintain(table, 0));
                do {
                    error = sl_delta_refresh(table);
                    sl_error_free(error);
                } while (error != NULL);
                ck_assert_int_eq(sl_delta_position(table, "a"), i);
            }
            sl_store_memory_fail(store, (sl_store_op)op, NULL, 0, SL_STORE_FAULT_BEFORE,
                                 SL_ERROR_RETRIABLE);
            sl_delta_close(table);
            GOOD(sl_delta_open(store, &table));
            ck_assert_int_eq(count_files(table), 11);
            ck_assert_int_eq(sl_delta_version(table), 11);
            sl_delta_files_free(&files);
            sl_delta_close(table);
        }
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("delta_commit");
    TCase *tests = tcase_create("commit");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, positions_are_compared_and_set);
    tcase_add_test(tests, blind_appends_are_rebased);
    tcase_add_test(tests, a_lost_answer_is_found_in_the_log);
    tcase_add_test(tests, a_retry_recognises_its_own_entry);
    tcase_add_test(tests, an_own_entry_counts_whatever_follows_it);
    tcase_add_test(tests, files_of_others_keep_their_spelling);
    tcase_add_test(tests, a_retry_that_did_not_arrive_writes_the_same_bytes);
    tcase_add_test(tests, somebody_else_between_check_and_put);
    tcase_add_test(tests, removes_conflict_with_removes_and_with_rows_not_read);
    tcase_add_test(tests, a_changed_schema_is_told);
    tcase_add_test(tests, a_new_schema_takes_no_column_away);
    tcase_add_test(tests, append_only_tables_keep_their_rows);
    tcase_add_test(tests, a_table_may_say_how_often_it_has_checkpoints);
    tcase_add_test(tests, checkpoints_hold_everything);
    tcase_add_test(tests, a_bad_hint_is_only_a_hint);
    tcase_add_test(tests, clean_up_removes_what_nobody_needs);
    tcase_add_test(tests, every_fault_leaves_a_good_table);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
