/* lib/store: the contract of sluice/store.h, on the folder store and, where it is the same, on the
 * store in memory that other tests use. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include "store/store.h"

static char root[128];
static sl_store *store;

static void set_up(void) {
    snprintf(root, sizeof(root), "/tmp/sluice-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    char url[160];
    snprintf(url, sizeof(url), "file://%s/deep/er", root);
    ck_assert_ptr_null(sl_store_open(url, NULL, &store));
}

static void tear_down(void) {
    char command[256];
    store->ops->close(store);
    snprintf(command, sizeof(command), "rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
}

static void set_up_memory(void) {
    ck_assert_ptr_null(sl_store_open_memory(&store));
}

static void tear_down_memory(void) {
    store->ops->close(store);
}

static void expect(sl_error *error, sl_error_class wanted, const char *part) {
    ck_assert_msg(error != NULL, "no error, expected %s", sl_error_class_name(wanted));
    ck_assert_msg(sl_error_is(error, wanted), "%s: %s",
                  sl_error_class_name(sl_error_get_class(error)), sl_error_message(error));
    ck_assert_msg(part == NULL || strstr(sl_error_message(error), part) != NULL, "%s",
                  sl_error_message(error));
    sl_error_free(error);
}

static void good(sl_error *error) {
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
}

static void put(const char *path, const char *text) {
    good(store->ops->put(store, path, text, strlen(text), 0));
}

static void expect_content(const char *path, int64_t offset, int64_t length, const char *text) {
    sl_store_bytes bytes = {0};
    good(store->ops->get(store, path, offset, length, &bytes));
    ck_assert_uint_eq(bytes.bytes, strlen(text));
    ck_assert_int_eq(memcmp(bytes.data == NULL ? (uint8_t *)"" : bytes.data, text, strlen(text)),
                     0);
    bytes.release(&bytes);
}

START_TEST(put_and_get_ranges) {
    put("a/b/c.txt", "0123456789");
    expect_content("a/b/c.txt", 0, -1, "0123456789");
    expect_content("a/b/c.txt", 3, 4, "3456");
    expect_content("a/b/c.txt", 8, 40, "89");
    expect_content("a/b/c.txt", -3, -1, "789");
    expect_content("a/b/c.txt", -30, 2, "01");
    expect_content("a/b/c.txt", 10, -1, "");
    expect_content("a/b/c.txt", 99, 5, "");
    put("a/b/c.txt", "new");
    expect_content("a/b/c.txt", 0, -1, "new");
    put("empty", "");
    expect_content("empty", 0, -1, "");
    sl_store_entry entry = {0};
    good(store->ops->stat(store, "a/b/c.txt", &entry));
    ck_assert_int_eq(entry.bytes, 3);
    ck_assert_int_gt(entry.modified_ms, INT64_C(1500000000000));
    sl_store_bytes bytes;
    expect(store->ops->get(store, "a/b/none", 0, -1, &bytes), SL_ERROR_NOT_FOUND, "a/b/none");
    expect(store->ops->stat(store, "none", &entry), SL_ERROR_NOT_FOUND, NULL);
}
END_TEST

START_TEST(put_if_absent_never_overwrites) {
    good(store->ops->put(store, "x/0.json", "first", 5, SL_STORE_IF_ABSENT));
    expect(store->ops->put(store, "x/0.json", "second", 6, SL_STORE_IF_ABSENT), SL_ERROR_EXISTS,
           "x/0.json");
    expect_content("x/0.json", 0, -1, "first");
    sl_store_writer *writer = NULL;
    good(store->ops->writer_open(store, "x/0.json", SL_STORE_IF_ABSENT, &writer));
    good(store->ops->writer_write(writer, "third", 5));
    expect(store->ops->writer_commit(writer), SL_ERROR_EXISTS, NULL);
    expect_content("x/0.json", 0, -1, "first");
}
END_TEST

START_TEST(writers_show_nothing_before_commit) {
    sl_store_writer *writer = NULL;
    sl_store_bytes bytes;
    good(store->ops->writer_open(store, "d/file", 0, &writer));
    good(store->ops->writer_write(writer, "abc", 3));
    expect(store->ops->get(store, "d/file", 0, -1, &bytes), SL_ERROR_NOT_FOUND, NULL);
    good(store->ops->writer_write(writer, "def", 3));
    good(store->ops->writer_commit(writer));
    expect_content("d/file", 0, -1, "abcdef");
    good(store->ops->writer_open(store, "d/other", SL_STORE_VOLATILE, &writer));
    good(store->ops->writer_write(writer, "abc", 3));
    store->ops->writer_abort(writer);
    expect(store->ops->get(store, "d/other", 0, -1, &bytes), SL_ERROR_NOT_FOUND, NULL);
    good(store->ops->remove(store, "d/file"));
    good(store->ops->remove(store, "d/file"));
    good(store->ops->remove(store, "none/at/all"));
}
END_TEST

/* Large runs of blocks may take another way to the disk than what is around them. */
START_TEST(large_pieces_in_any_order) {
    static const size_t pieces[] = {1 << 20, 5, 1 << 19, 4091, 1 << 20, 300 << 10, 77};
    size_t total = 0;
    uint8_t *from = aligned_alloc(4096, 4 << 20);
    ck_assert_ptr_nonnull(from);
    for (size_t i = 0; i < 4 << 20; i++) {
        from[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    sl_store_writer *writer = NULL;
    good(store->ops->writer_open(store, "large", 0, &writer));
    for (size_t i = 0; i < SL_ARRAY_LENGTH(pieces); i++) {
        good(store->ops->writer_write(writer, from + total, pieces[i]));
        total += pieces[i];
    }
    good(store->ops->writer_commit(writer));
    sl_store_bytes bytes = {0};
    good(store->ops->get(store, "large", 0, -1, &bytes));
    ck_assert_uint_eq(bytes.bytes, total);
    ck_assert_int_eq(memcmp(bytes.data, from, total), 0);
    bytes.release(&bytes);
    good(store->ops->put(store, "larger", from, total, 0));
    good(store->ops->get(store, "larger", 0, -1, &bytes));
    ck_assert_uint_eq(bytes.bytes, total);
    ck_assert_int_eq(memcmp(bytes.data, from, total), 0);
    bytes.release(&bytes);
    free(from);
}
END_TEST

struct listing {
    char text[2000];
    int left;
};

static int note(const sl_store_entry *entry, void *arg) {
    struct listing *listing = arg;
    strcat(listing->text, entry->path);
    strcat(listing->text, " ");
    return --listing->left == 0;
}

static void expect_list(const char *prefix, const char *after, int recursive, int limit,
                        const char *wanted) {
    struct listing listing = {.text = "", .left = limit};
    good(store->ops->list(store, prefix, after, recursive, note, &listing));
    ck_assert_str_eq(listing.text, wanted);
}

START_TEST(lists_in_byte_order_of_whole_paths) {
    expect_list("", NULL, 1, 0, "");
    expect_list("none/", NULL, 1, 0, "");
    const char *const paths[] = {"a/b", "a-b", "a.b", "a/b-c/d", "a/b/c", "b", "a0", "\xc3\xa9/x"};
    /* "a/b" is a folder and cannot be a file as well */
    for (size_t i = 1; i < SL_ARRAY_LENGTH(paths); i++) {
        put(paths[i], "x");
    }
    expect_list("", NULL, 1, 0, "a-b a.b a/b-c/d a/b/c a0 b \xc3\xa9/x ");
    expect_list("", NULL, 0, 0, "a-b a.b a0 b ");
    expect_list("a/", NULL, 1, 0, "a/b-c/d a/b/c ");
    expect_list("a/b/", NULL, 1, 0, "a/b/c ");
    expect_list("", "a.b", 1, 0, "a/b-c/d a/b/c a0 b \xc3\xa9/x ");
    expect_list("", "a/b-c/d", 1, 0, "a/b/c a0 b \xc3\xa9/x ");
    expect_list("", "a/b/", 1, 0, "a/b/c a0 b \xc3\xa9/x ");
    expect_list("", "a/b/c", 1, 2, "a0 b ");
    expect_list("a/", "a/b-c/d", 1, 0, "a/b/c ");
    expect_list("a/", "b", 1, 0, "");
    expect_list("a/b/", "a/b/a", 0, 0, "a/b/c ");
}
END_TEST

START_TEST(bad_paths_are_refused) {
    static const char *const bad[] = {"",
                                      "/a",
                                      "a//b",
                                      "a/",
                                      "./a",
                                      "a/..",
                                      "a/./b",
                                      "..",
                                      "a\nb",
                                      "a\xff"
                                      "b",
                                      "\xc0\xaf",
                                      "\xed\xa0\x80"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(bad); i++) {
        expect(store->ops->put(store, bad[i], "x", 1, 0), SL_ERROR_CONFIG, NULL);
        sl_store_bytes bytes;
        expect(store->ops->get(store, bad[i], 0, -1, &bytes), SL_ERROR_CONFIG, NULL);
    }
    expect(store->ops->list(store, "a", NULL, 1, note, NULL), SL_ERROR_CONFIG, "does not end");
    expect(store->ops->list(store, "../", NULL, 1, note, NULL), SL_ERROR_CONFIG, NULL);
    char longer[400];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    expect(store->ops->put(store, longer, "x", 1, 0), SL_ERROR_CONFIG, "255");
    put("fine/\xf0\x9f\x98\x80 name%20=", "x");
}
END_TEST

START_TEST(faults_have_classes_and_full_paths) {
    put("file", "x");
    expect(store->ops->put(store, "file/below", "x", 1, 0), SL_ERROR_CONFIG, "/file/below");
    put("folder/x", "x");
    sl_store_bytes bytes;
    expect(store->ops->get(store, "folder", 0, -1, &bytes), SL_ERROR_CONFIG, "folder");
    struct rlimit old;
    struct rlimit tight;
    getrlimit(RLIMIT_FSIZE, &old);
    tight = old;
    tight.rlim_cur = 10;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &tight);
    expect(store->ops->put(store, "large", "0123456789abcdef", 16, 0), SL_ERROR_RETRIABLE, "large");
    setrlimit(RLIMIT_FSIZE, &old);
    expect(store->ops->get(store, "large", 0, -1, &bytes), SL_ERROR_NOT_FOUND, NULL);
    expect_list("", NULL, 1, 0, "file folder/x ");
}
END_TEST

START_TEST(leftovers_are_not_listed_and_go_after_a_day) {
    char path[300];
    put("log/1", "x");
    snprintf(path, sizeof(path), "%s/deep/er/log/.sluice-tmp-1-2-3", root);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fclose(file);
    expect_list("", NULL, 1, 0, "log/1 ");
    ck_assert_int_eq(access(path, F_OK), 0);
    struct utimbuf old = {time(NULL) - 90000, time(NULL) - 90000};
    ck_assert_int_eq(utime(path, &old), 0);
    expect_list("", NULL, 1, 0, "log/1 ");
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(read_only_changes_nothing) {
    sl_store *other = NULL;
    sl_store_writer *writer;
    sl_store_options options = {.read_only = true};
    put("x", "1");
    good(sl_store_open(store->ops->url(store), &options, &other));
    expect(other->ops->put(other, "y", "1", 1, 0), SL_ERROR_FATAL, "reading only");
    expect(other->ops->remove(other, "x"), SL_ERROR_FATAL, "reading only");
    expect(other->ops->writer_open(other, "x", 0, &writer), SL_ERROR_FATAL, "reading only");
    other->ops->close(other);
    expect_content("x", 0, -1, "1");
}
END_TEST

static void expect_url(const char *given, const char *wanted) {
    sl_store *opened = NULL;
    good(sl_store_open(given, NULL, &opened));
    ck_assert_str_eq(opened->ops->url(opened), wanted);
    opened->ops->close(opened);
}

START_TEST(urls_of_folders) {
    expect_url("/a/b/", "file:///a/b");
    expect_url("file:///a/b", "file:///a/b");
    expect_url("file:/a%20b/c%25", "file:///a%20b/c%25");
    expect_url("file://localhost/a", "file:///a");
    expect_url("/a b/%41", "file:///a%20b/%2541");
    expect_url("/", "file:///");
    sl_store *opened = NULL;
    expect(sl_store_open("", NULL, &opened), SL_ERROR_CONFIG, "empty");
    expect(sl_store_open("file://host/x", NULL, &opened), SL_ERROR_CONFIG, "file:///absolute");
    expect(sl_store_open("s3://bucket/x", NULL, &opened), SL_ERROR_CONFIG, "s3:");
    expect(sl_store_open("file:///a%2", NULL, &opened), SL_ERROR_CONFIG, "hex");
    expect(sl_store_open("file:///a%00", NULL, &opened), SL_ERROR_CONFIG, "hex");
}
END_TEST

START_TEST(injected_faults) {
    sl_store_bytes bytes;
    sl_store_memory_fail(store, SL_STORE_OP_PUT, "b", 2, SL_STORE_FAULT_BEFORE, SL_ERROR_RETRIABLE);
    put("a", "1");
    put("b", "1");
    put("a", "2");
    expect(store->ops->put(store, "b", "2", 1, 0), SL_ERROR_RETRIABLE, "injected");
    expect_content("b", 0, -1, "1");
    put("b", "3");
    sl_store_memory_fail(store, SL_STORE_OP_PUT, NULL, 1, SL_STORE_FAULT_AFTER, SL_ERROR_RETRIABLE);
    expect(store->ops->put(store, "b", "4", 1, 0), SL_ERROR_RETRIABLE, "injected");
    expect_content("b", 0, -1, "4");
    sl_store_memory_fail(store, SL_STORE_OP_GET, NULL, 1, SL_STORE_FAULT_BEFORE, SL_ERROR_FATAL);
    expect(store->ops->get(store, "b", 0, -1, &bytes), SL_ERROR_FATAL, NULL);
    ck_assert_int_eq(sl_store_memory_calls(store, SL_STORE_OP_PUT), 6);
}
END_TEST

static void shared_tests(TCase *tests) {
    tcase_add_test(tests, put_and_get_ranges);
    tcase_add_test(tests, put_if_absent_never_overwrites);
    tcase_add_test(tests, writers_show_nothing_before_commit);
    tcase_add_test(tests, large_pieces_in_any_order);
    tcase_add_test(tests, lists_in_byte_order_of_whole_paths);
    tcase_add_test(tests, bad_paths_are_refused);
}

int main(void) {
    Suite *suite = suite_create("store");
    TCase *folder = tcase_create("folder");
    TCase *memory = tcase_create("memory");
    tcase_add_checked_fixture(folder, set_up, tear_down);
    tcase_add_checked_fixture(memory, set_up_memory, tear_down_memory);
    shared_tests(folder);
    shared_tests(memory);
    tcase_add_test(folder, faults_have_classes_and_full_paths);
    tcase_add_test(folder, leftovers_are_not_listed_and_go_after_a_day);
    tcase_add_test(folder, read_only_changes_nothing);
    tcase_add_test(folder, urls_of_folders);
    tcase_add_test(memory, injected_faults);
    suite_add_tcase(suite, folder);
    suite_add_tcase(suite, memory);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
