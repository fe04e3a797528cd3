/*
 * Fuzzing stored aggregates: any bytes behind a right header either give a table, which writes
 * itself as bytes that read back to the same bytes and whose results can be built, or an error. The
 * first byte chooses the kind of window.
 */
#include <stdlib.h>
#include <string.h>

#include "window/window.h"

#define HEADER_BYTES 13

static sl_window_plan *make_plan(sl_window_kind kind) {
    static const char *const fields[][2] = {{"ts", "tsu:UTC"}, {"kind", "u"}, {"amount", "d:12,2"},
                                            {"weight", "g"},   {"n", "l"},    {"flag", "b"}};
    static const char *const groups[] = {"kind", "n"};
    static const sl_window_aggregate aggregates[] = {
        {"a", "count()"},           {"b", "sum(amount)"},
        {"c", "stddev(amount)"},    {"d", "stddev(weight)"},
        {"e", "min(kind)"},         {"f", "max(weight)"},
        {"g", "count_distinct(n)"}, {"h", "quantile(weight, 0.5)"},
        {"i", "first(kind)"},       {"j", "last(amount)"},
        {"k", "max(flag)"}};
    struct ArrowSchema schema;
    sl_window_plan *plan = NULL;
    sl_error *error = sl_schema_new_struct(SL_ARRAY_LENGTH(fields), &schema);
    for (size_t i = 0; i < SL_ARRAY_LENGTH(fields) && error == NULL; i++) {
        error = sl_schema_set_field(&schema, i, fields[i][0], fields[i][1], true, 0);
    }
    sl_window_config config = {.kind = kind,
                               .size_us = 1000000,
                               .time = "ts",
                               .group_by = groups,
                               .n_group_by = 2,
                               .aggregates = aggregates,
                               .n_aggregates = SL_ARRAY_LENGTH(aggregates)};
    error = error != NULL ? error : sl_window_plan_new(&schema, &config, &plan);
    if (error != NULL) {
        abort();
    }
    schema.release(&schema);
    return plan;
}

static sl_window_table *read_table(const sl_window_plan *plan, const uint8_t *data, size_t bytes) {
    sl_window_table *table;
    sl_error *error = sl_window_table_new(plan, &table);
    error = error != NULL ? error : sl_window_table_read(table, data, bytes);
    if (error != NULL) {
        sl_error_free(error);
        sl_window_table_free(table);
        return NULL;
    }
    return table;
}

static void must(sl_error *error) {
    if (error != NULL) {
        abort();
    }
}

static void check_table(const sl_window_plan *plan, sl_window_table *table) {
    sl_buffer once = SL_BUFFER_INIT;
    sl_buffer twice = SL_BUFFER_INIT;
    must(sl_window_table_write(table, &once));
    sl_window_table *again = read_table(plan, once.data, once.bytes);
    if (again == NULL) {
        abort(); /* what write writes, read reads */
    }
    must(sl_window_table_write(again, &twice));
    if (once.bytes != twice.bytes || memcmp(once.data, twice.data, once.bytes) != 0) {
        abort();
    }
    sl_builder rows;
    sl_window_result_counts counts;
    struct ArrowArray array;
    must(sl_builder_init(&rows, sl_window_plan_results(plan)));
    must(sl_window_table_merge(table, again));
    must(sl_window_table_changes(table, true, &rows, &counts));
    must(sl_window_table_close(table, INT64_MAX / 2, &rows, &counts));
    must(sl_builder_finish(&rows, &array));
    must(sl_array_check(sl_window_plan_results(plan), &array));
    array.release(&array);
    sl_builder_free(&rows);
    sl_window_table_free(again);
    sl_buffer_free(&once);
    sl_buffer_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static sl_window_plan *plans[2];
    if (plans[0] == NULL) {
        plans[0] = make_plan(SL_WINDOW_TUMBLING);
        plans[1] = make_plan(SL_WINDOW_SESSION);
    }
    if (bytes == 0) {
        return 0;
    }
    const sl_window_plan *plan = plans[data[0] & 1];
    uint64_t fingerprint = sl_window_plan_fingerprint(plan);
    uint8_t *stored = malloc(HEADER_BYTES + bytes - 1);
    if (stored == NULL) {
        return 0;
    }
    memcpy(stored, "SLWT\1", 5);
    memcpy(stored + 5, &fingerprint, sizeof(fingerprint));
    memcpy(stored + HEADER_BYTES, data + 1, bytes - 1);
    sl_window_table *table = read_table(plan, stored, HEADER_BYTES + bytes - 1);
    if (table != NULL) {
        check_table(plan, table);
        sl_window_table_free(table);
    }
    free(stored);
    return 0;
}
