/*
 * Rows that cannot be written: each kind of fault, where it is said to be, and that what nobody
 * sees (values under a null, lists that nobody has) is none.
 */
#include "delta_support.h"

#include "delta/key_range.h"
#include "delta/row_fault.h"

static struct ArrowSchema schema;
static sl_builder builder;
static struct ArrowArray rows;
static const char *partitions[2];
static sl_delta_row_rules rules;

static void begin(size_t n_fields) {
    GOOD(sl_schema_new_struct(n_fields, &schema));
    rules = (sl_delta_row_rules){.schema = &schema, .partition_columns = partitions};
}

static void field(size_t at, const char *name, const char *format, bool nullable) {
    GOOD(sl_schema_set_field(&schema, at, name, format, nullable, 0));
}

static void partition_by(const char *column) {
    partitions[rules.n_partition_columns++] = column;
}

static sl_builder *column(size_t at) {
    return &builder.children[at];
}

static void fill(void) {
    GOOD(sl_builder_init(&builder, &schema));
}

static void text(size_t at, const char *value, size_t bytes) {
    ck_assert(sl_builder_append_bytes(column(at), value, bytes));
}

static void end_row(void) {
    ck_assert(sl_builder_append_struct(&builder));
}

static void done(void) {
    GOOD(sl_builder_finish(&builder, &rows));
    sl_builder_free(&builder);
}

static void forget(void) {
    rows.release(&rows);
    schema.release(&schema);
    rules.n_partition_columns = 0;
}

/* Only `at` is at fault, if it is not negative, for this reason and there. */
static void check_only(int64_t at, const char *reason, const char *path) {
    ck_assert_int_eq(sl_delta_rows_suspect(&rules, &rows), at >= 0);
    for (int64_t i = 0; i < rows.length; i++) {
        sl_delta_row_fault fault;
        bool found = sl_delta_row_is_at_fault(&rules, &rows, i, &fault);
        ck_assert_msg(found == (i == at), "row %d", (int)i);
        if (found) {
            ck_assert_str_eq(fault.reason, reason);
            ck_assert_str_eq(fault.path, path);
            ck_assert_ptr_nonnull(strstr(fault.detail, "found"));
        }
    }
    forget();
}

START_TEST(decimals_have_their_digits) {
    static const int64_t values[] = {9999, -9999, 10000, 0};
    begin(1);
    field(0, "price", "d:4,2", true);
    fill();
    for (size_t i = 0; i < SL_ARRAY_LENGTH(values); i++) {
        sl_i128 value = values[i];
        ck_assert(sl_builder_append_bytes(column(0), &value, sizeof(value)));
        end_row();
    }
    ck_assert(sl_builder_append_null(column(0)));
    end_row();
    done();
    sl_delta_row_fault fault;
    ck_assert(sl_delta_row_is_at_fault(&rules, &rows, 2, &fault));
    ck_assert_str_eq(fault.detail, "found 100.00, allowed is decimal(4,2)");
    check_only(2, "decimal", "$.price");
}
END_TEST

START_TEST(columns_that_must_have_a_value) {
    begin(1);
    field(0, "id", "l", false);
    fill();
    for (int i = 0; i < 100; i++) {
        ck_assert(i == 77 ? sl_builder_append_null(column(0))
                          : sl_builder_append_i64(column(0), i));
        end_row();
    }
    done();
    check_only(77, "null", "$.id");
}
END_TEST

/* order struct<id: int64 not null>: without an order there is no id, which is no fault. */
static void make_orders(int64_t without_id) {
    begin(1);
    GOOD(sl_schema_set_field(&schema, 0, "order", "+s", true, 1));
    GOOD(sl_schema_set_field(schema.children[0], 0, "id", "l", false, 0));
    fill();
    for (int i = 0; i < 40; i++) {
        sl_builder *id = &column(0)->children[0];
        if (i % 3 == 0) {
            ck_assert(sl_builder_append_null(column(0)));
        } else {
            ck_assert(i == without_id ? sl_builder_append_null(id) : sl_builder_append_i64(id, i));
            ck_assert(sl_builder_append_struct(column(0)));
        }
        end_row();
    }
    done();
}

START_TEST(a_null_struct_lacks_nothing) {
    make_orders(-1);
    check_only(-1, NULL, NULL);
    make_orders(20);
    check_only(20, "null", "$.order.id");
}
END_TEST

START_TEST(elements_of_lists) {
    begin(1);
    GOOD(sl_schema_set_field(&schema, 0, "tags", "+l", true, 1));
    GOOD(sl_schema_set_field(schema.children[0], 0, "element", "u", false, 0));
    fill();
    sl_builder *element = &column(0)->children[0];
    for (int i = 0; i < 5; i++) {
        ck_assert(sl_builder_append_bytes(element, "ab", 2));
        if (i == 3) {
            ck_assert(sl_builder_append_null(element));
        }
        ck_assert(sl_builder_append_list(column(0)));
        end_row();
    }
    done();
    check_only(3, "null", "$.tags[1]");
}
END_TEST

START_TEST(text_that_is_none) {
    begin(2);
    field(0, "id", "l", true);
    field(1, "name", "u", true);
    fill();
    static const char *const names[] = {"plain",   "Zo\xc3\xab", "\xe4\xb8\x96",
                                        "caf\xe9", "",           "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(names); i++) {
        ck_assert(sl_builder_append_i64(column(0), (int64_t)i));
        text(1, names[i], strlen(names[i]));
        end_row();
    }
    done();
    check_only(3, "bad_utf8", "$.name");
}
END_TEST

START_TEST(a_character_over_two_values_is_none) {
    begin(1);
    field(0, "name", "u", true);
    fill();
    text(0, "Zo\xc3", 3);
    end_row();
    text(0, "\xab", 1);
    end_row();
    done();
    ck_assert(sl_delta_rows_suspect(&rules, &rows));
    sl_delta_row_fault fault;
    ck_assert(sl_delta_row_is_at_fault(&rules, &rows, 0, &fault));
    ck_assert(sl_delta_row_is_at_fault(&rules, &rows, 1, &fault));
    forget();
}
END_TEST

static void make_times(const char *format, int64_t far) {
    begin(1);
    field(0, "at", format, true);
    fill();
    for (int64_t i = 0; i < 3; i++) {
        ck_assert(sl_builder_append_i64(column(0), i == 1 ? far : i));
        end_row();
    }
    done();
}

START_TEST(partitions_know_the_years_1_to_9999) {
    make_times("tdD", 2932897);
    partition_by("at");
    check_only(1, "date", "$.at");
    make_times("tsu:UTC", INT64_MIN);
    partition_by("at");
    check_only(1, "date", "$.at");
    make_times("tsu:UTC", INT64_C(253402300799999999)); /* the last of 9999 */
    partition_by("at");
    check_only(-1, NULL, NULL);
    make_times("tsu:UTC", INT64_MAX); /* of a column that is no partition's */
    check_only(-1, NULL, NULL);
}
END_TEST

static void make_names(bool nullable) {
    begin(1);
    field(0, "country", "u", nullable);
    fill();
    text(0, "FR", 2);
    end_row();
    text(0, "F\0R", 3);
    end_row();
    done();
}

START_TEST(texts_of_partitions) {
    make_names(true);
    partition_by("country");
    check_only(1, "zero_byte", "$.country");
    make_names(true);
    check_only(-1, NULL, NULL);
    begin(1);
    field(0, "country", "u", false);
    partition_by("country");
    fill();
    text(0, "FR", 2);
    end_row();
    text(0, "", 0);
    end_row();
    done();
    check_only(1, "null", "$.country");
}
END_TEST

START_TEST(rows_larger_than_a_page) {
    /* Offsets that claim two values of more than 1 GiB together; their bytes are never looked at.
     */
    static const int32_t offsets[] = {0, 10, 1200000000};
    static const uint8_t data[16];
    const void *buffers[] = {NULL, offsets, data};
    struct ArrowArray value = {.length = 2, .n_buffers = 3, .buffers = buffers};
    struct ArrowArray *children[] = {&value};
    const struct ArrowArray batch = {.length = 2, .n_children = 1, .children = children};
    begin(1);
    field(0, "value", "z", true);
    ck_assert(sl_delta_rows_suspect(&rules, &batch));
    sl_delta_row_fault fault;
    ck_assert(!sl_delta_row_is_at_fault(&rules, &batch, 0, &fault));
    ck_assert(sl_delta_row_is_at_fault(&rules, &batch, 1, &fault));
    ck_assert_str_eq(fault.reason, "too_large");
    schema.release(&schema);
}
END_TEST

START_TEST(what_a_table_demands) {
    struct ArrowSchema table;
    struct ArrowSchema demanded;
    bool changed = false;
    begin(2);
    field(0, "id", "l", true);
    GOOD(sl_schema_set_field(&schema, 1, "order", "+s", true, 1));
    GOOD(sl_schema_set_field(schema.children[1], 0, "line", "l", true, 0));
    GOOD(sl_schema_copy(&schema, &table));
    GOOD(sl_delta_demand(&table, &schema, &changed, &demanded));
    ck_assert(!changed);
    demanded.release(&demanded);
    table.children[1]->children[0]->flags = 0;
    GOOD(sl_delta_demand(&table, &schema, &changed, &demanded));
    ck_assert(changed);
    ck_assert_int_ne(demanded.children[0]->flags & ARROW_FLAG_NULLABLE, 0);
    ck_assert_int_ne(demanded.children[1]->flags & ARROW_FLAG_NULLABLE, 0);
    ck_assert_int_eq(demanded.children[1]->children[0]->flags & ARROW_FLAG_NULLABLE, 0);
    bool grows = true;
    GOOD(sl_delta_fit_schema_to("t", &table, &demanded, SL_DELTA_ADDITIVE, &grows, NULL));
    ck_assert(!grows);
    demanded.release(&demanded);
    table.release(&table);
    schema.release(&schema);
}
END_TEST

/* A key that has no text (JSON can say the year 0) is in every file, as far as the log tells. */
START_TEST(a_date_without_text_skips_no_file) {
    static const int64_t key[] = {0};
    const int32_t days = -719528;
    begin(1);
    field(0, "day", "tdD", false);
    fill();
    ck_assert(sl_builder_append_bytes(column(0), &days, sizeof(days)));
    end_row();
    done();
    const struct ArrowArray *const batches[] = {&rows};
    key_ranges *ranges = NULL;
    GOOD(delta_key_ranges_new(&schema, key, 1, batches, 1, &ranges));
    const sl_delta_file file = {0};
    const delta_texts no_partitions = {0};
    ck_assert(delta_key_ranges_may_hold(ranges, &file, &no_partitions));
    delta_key_ranges_free(ranges);
    forget();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("delta_faults");
    TCase *tests = tcase_create("faults");
    tcase_add_test(tests, decimals_have_their_digits);
    tcase_add_test(tests, columns_that_must_have_a_value);
    tcase_add_test(tests, a_null_struct_lacks_nothing);
    tcase_add_test(tests, elements_of_lists);
    tcase_add_test(tests, text_that_is_none);
    tcase_add_test(tests, a_character_over_two_values_is_none);
    tcase_add_test(tests, partitions_know_the_years_1_to_9999);
    tcase_add_test(tests, texts_of_partitions);
    tcase_add_test(tests, rows_larger_than_a_page);
    tcase_add_test(tests, what_a_table_demands);
    tcase_add_test(tests, a_date_without_text_skips_no_file);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
