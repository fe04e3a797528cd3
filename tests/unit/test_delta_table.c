/* lib/delta: schemas and names, protocol features, statistics, partition values, data files in
 * pieces, tails, upserts. */
#include "delta_support.h"

static sl_store *store;

static void set_up(void) {
    GOOD(sl_store_open_memory(&store));
}

static void tear_down(void) {
    store->ops->close(store);
}

/* ---- schemas ---- */

static const char all_types[] =
    "{\"type\":\"struct\",\"fields\":["
    "{\"name\":\"a\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"b\",\"type\":\"long\",\"nullable\":false,\"metadata\":{\"comment\":\"\\\"x\\\"\"}}"
    ","
    "{\"name\":\"c\",\"type\":\"integer\",\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"d\",\"type\":\"short\",\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"e\",\"type\":\"byte\",\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"f\",\"type\":\"float\",\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"g\",\"type\":\"double\",\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"h\",\"type\":\"boolean\",\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"i\",\"type\":\"binary\",\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"j\",\"type\":\"date\",\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"k\",\"type\":\"timestamp\",\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"l\",\"type\":\"timestamp_ntz\",\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"m\",\"type\":\"decimal(38,10)\",\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"n\",\"type\":{\"type\":\"struct\",\"fields\":["
    "{\"name\":\"x\",\"type\":{\"type\":\"array\",\"elementType\":\"long\",\"containsNull\":false},"
    "\"nullable\":true,\"metadata\":{}}]},\"nullable\":true,\"metadata\":{}},"
    "{\"name\":\"o\",\"type\":{\"type\":\"map\",\"keyType\":\"string\",\"valueType\":{\"type\":"
    "\"array\",\"elementType\":\"string\",\"containsNull\":true},\"valueContainsNull\":false},"
    "\"nullable\":true,\"metadata\":{}}]}";

START_TEST(schemas_survive_the_round_trip) {
    struct ArrowSchema schema;
    sl_buffer text = SL_BUFFER_INIT;
    GOOD(delta_schema_parse(all_types, &schema));
    GOOD(delta_schema_write(&schema, &text));
    ck_assert_str_eq(sl_buffer_text(&text), all_types);
    GOOD(sl_delta_check_schema(&schema));
    sl_buffer_free(&text);
    schema.release(&schema);
    expect_error(
        delta_schema_parse("{\"fields\":[{\"name\":\"v\",\"type\":\"variant\"}]}", &schema),
        SL_ERROR_UNSUPPORTED, "variant");
    expect_error(
        delta_schema_parse("{\"fields\":[{\"name\":\"v\",\"type\":\"decimal(39,0)\"}]}", &schema),
        SL_ERROR_UNSUPPORTED, "decimal(39,0)");
    expect_error(delta_schema_parse("{\"fields\":7}", &schema), SL_ERROR_CORRUPT, "fields");
    expect_error(delta_schema_parse("{", &schema), SL_ERROR_CORRUPT, "byte 1");
}
END_TEST

static sl_error *check_names(const char *first, const char *second, const char *format) {
    struct ArrowSchema schema;
    GOOD(sl_schema_new_struct(2, &schema));
    GOOD(sl_schema_set_field(&schema, 0, first, "l", true, 0));
    GOOD(sl_schema_set_field(&schema, 1, second, format, true, 0));
    sl_error *error = sl_delta_check_schema(&schema);
    schema.release(&schema);
    return error;
}

START_TEST(names_and_types_that_cannot_be_stored) {
    GOOD(check_names("a.b-c/d\xc3\xa9", "A.c", "u"));
    expect_error(check_names("unit price", "b", "u"), SL_ERROR_CONFIG, "\"unit_price\"");
    expect_error(check_names("a;b", "b", "u"), SL_ERROR_CONFIG, "\"a_b\"");
    expect_error(check_names("Id", "id", "u"), SL_ERROR_CONFIG, "differ only in case");
    expect_error(check_names("id", "id", "u"), SL_ERROR_CONFIG, "have one name");
    expect_error(check_names("", "id", "u"), SL_ERROR_CONFIG, "no name");
    expect_error(check_names("a", "b", "L"), SL_ERROR_CONFIG, "\"b\"");
    expect_error(check_names("a", "b", "+s"), SL_ERROR_CONFIG, "no fields");
}
END_TEST

/* A table whose schema has a struct, a list of structs and a map; returned as an open handle. */
static sl_delta_table *nested_table(void) {
    struct ArrowSchema schema;
    sl_delta_table *table = NULL;
    GOOD(delta_schema_parse(
        "{\"fields\":[{\"name\":\"id\",\"type\":\"long\",\"nullable\":false},"
        "{\"name\":\"s\",\"type\":{\"type\":\"struct\",\"fields\":[{\"name\":\"x\",\"type\":"
        "\"long\","
        "\"metadata\":{\"comment\":\"kept\"}}]}},"
        "{\"name\":\"l\",\"type\":{\"type\":\"array\",\"elementType\":{\"type\":\"struct\","
        "\"fields\":[{\"name\":\"p\",\"type\":\"string\"}]}}}]}",
        &schema));
    sl_delta_create_options options = {.schema = &schema};
    GOOD(sl_delta_create(store, &options, &table));
    schema.release(&schema);
    return table;
}

static sl_error *fit(sl_delta_table *table, const char *fields, sl_delta_evolution evolution,
                     char **merged) {
    struct ArrowSchema input;
    struct ArrowSchema grown;
    bool changed = false;
    sl_buffer text = SL_BUFFER_INIT;
    sl_buffer_printf(&text, "{\"fields\":[%s]}", fields);
    GOOD(delta_schema_parse(sl_buffer_text(&text), &input));
    sl_buffer_free(&text);
    sl_error *error = sl_delta_fit_schema(table, &input, evolution, &changed, &grown);
    *merged = NULL;
    if (error == NULL && changed) {
        GOOD(delta_schema_write(&grown, &text));
        *merged = strdup(sl_buffer_text(&text));
        sl_buffer_free(&text);
        grown.release(&grown);
    }
    input.release(&input);
    return error;
}

#define ID "{\"name\":\"id\",\"type\":\"long\",\"nullable\":false}"

START_TEST(inputs_are_fitted_to_the_table) {
    sl_delta_table *table = nested_table();
    char *merged = NULL;
    GOOD(fit(table, ID, SL_DELTA_STRICT, &merged));
    ck_assert_ptr_null(merged);
    expect_error(fit(table, "{\"name\":\"s\",\"type\":\"string\"}", SL_DELTA_ADDITIVE, &merged),
                 SL_ERROR_CONFIG, "\"s\" is struct<");
    expect_error(fit(table, "{\"name\":\"id\",\"type\":\"long\"}", SL_DELTA_ADDITIVE, &merged),
                 SL_ERROR_CONFIG, "NOT NULL");
    expect_error(fit(table,
                     "{\"name\":\"l\",\"type\":{\"type\":\"array\",\"elementType\":{"
                     "\"type\":\"struct\",\"fields\":[{\"name\":\"p\",\"type\":\"string\"}]"
                     "}}}",
                     SL_DELTA_ADDITIVE, &merged),
                 SL_ERROR_CONFIG, "\"id\" is NOT NULL");
    expect_error(fit(table, ID ",{\"name\":\"S\",\"type\":\"long\"}", SL_DELTA_ADDITIVE, &merged),
                 SL_ERROR_CONFIG, "only in case");
    expect_error(fit(table, ID ",{\"name\":\"new\",\"type\":\"long\"}", SL_DELTA_STRICT, &merged),
                 SL_ERROR_CONFIG, "evolution");
    GOOD(fit(table,
             "{\"name\":\"new\",\"type\":\"date\",\"nullable\":false}," ID
             ",{\"name\":\"s\",\"type\":{\"type\":\"struct\",\"fields\":[{\"name\":\"y\",\"type\":"
             "\"double\"}]}},"
             "{\"name\":\"l\",\"type\":{\"type\":\"array\",\"elementType\":{\"type\":\"struct\","
             "\"fields\":[{\"name\":\"q\",\"type\":\"string\"}]}}}",
             SL_DELTA_ADDITIVE, &merged));
    ck_assert_str_eq(
        merged,
        "{\"type\":\"struct\",\"fields\":["
        "{\"name\":\"id\",\"type\":\"long\",\"nullable\":false,\"metadata\":{}},"
        "{\"name\":\"s\",\"type\":{\"type\":\"struct\",\"fields\":["
        "{\"name\":\"x\",\"type\":\"long\",\"nullable\":true,\"metadata\":{\"comment\":\"kept\"}},"
        "{\"name\":\"y\",\"type\":\"double\",\"nullable\":true,\"metadata\":{}}]},"
        "\"nullable\":true,\"metadata\":{}},"
        "{\"name\":\"l\",\"type\":{\"type\":\"array\",\"elementType\":{\"type\":\"struct\","
        "\"fields\":[{\"name\":\"p\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}},"
        "{\"name\":\"q\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}}]},"
        "\"containsNull\":true},\"nullable\":true,\"metadata\":{}},"
        "{\"name\":\"new\",\"type\":\"date\",\"nullable\":true,\"metadata\":{}}]}");
    free(merged);
    sl_delta_close(table);
}
END_TEST

/* ---- foreign tables ---- */

static void write_table(const char *protocol, const char *configuration, const char *field) {
    sl_buffer text = SL_BUFFER_INIT;
    tear_down();
    set_up();
    sl_buffer_printf(
        &text,
        "{\"protocol\":%s}\n{\"metaData\":{\"id\":\"1\",\"format\":{\"provider\":"
        "\"parquet\",\"options\":{}},\"schemaString\":\"{\\\"fields\\\":[{\\\"name\\\":"
        "\\\"id\\\",\\\"type\\\":\\\"long\\\",\\\"metadata\\\":{%s}}]}\","
        "\"partitionColumns\":[],\"configuration\":{%s}}}\n",
        protocol, field, configuration);
    GOOD(store->ops->put(store, "_delta_log/00000000000000000000.json", text.data, text.bytes, 0));
    sl_buffer_free(&text);
}

static void expect_no_writing(const char *protocol, const char *configuration, const char *field,
                              const char *feature) {
    sl_delta_table *table = NULL;
    write_table(protocol, configuration, field);
    GOOD(sl_delta_open(store, &table));
    expect_error(sl_delta_check_writable(table, false), SL_ERROR_UNSUPPORTED, feature);
    sl_delta_commit_info info = {0};
    expect_error(sl_delta_commit(table, &info), SL_ERROR_UNSUPPORTED, feature);
    sl_delta_close(table);
}

static void expect_writing(const char *protocol, const char *configuration, const char *field) {
    sl_delta_table *table = NULL;
    write_table(protocol, configuration, field);
    GOOD(sl_delta_open(store, &table));
    GOOD(sl_delta_check_writable(table, false));
    sl_delta_close(table);
}

#define P(reader, writer) "{\"minReaderVersion\":" reader ",\"minWriterVersion\":" writer "}"
#define F(reader_list, writer_list)                                                                \
    "{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":[" reader_list              \
    "],\"writerFeatures\":[" writer_list "]}"

START_TEST(unknown_features_are_refused_by_name) {
    expect_writing(P("1", "2"), "", "");
    expect_writing(P("2", "6"), "", "");
    expect_writing(F("\"timestampNtz\"", "\"timestampNtz\",\"appendOnly\",\"domainMetadata\""), "",
                   "");
    expect_writing(P("1", "7"), "", "");
    expect_no_writing(P("1", "8"), "", "", "version 8");
    expect_no_writing(P("1", "3"), "\"delta.constraints.c\":\"id > 0\"", "", "checkConstraints");
    expect_no_writing(P("1", "4"), "\"delta.enableChangeDataFeed\":\"true\"", "", "changeDataFeed");
    expect_no_writing(P("2", "5"), "\"delta.columnMapping.mode\":\"name\"", "", "columnMapping");
    expect_no_writing(P("1", "2"), "", "\\\"delta.invariants\\\":\\\"x\\\"", "invariants");
    expect_no_writing(P("1", "4"), "", "\\\"delta.generationExpression\\\":\\\"x\\\"",
                      "generatedColumns");
    expect_no_writing(P("1", "6"), "", "\\\"delta.identity.start\\\":1", "identityColumns");
    expect_no_writing(F("", "\"rowTracking\""), "\"delta.enableRowTracking\":\"true\"", "",
                      "rowTracking");
    expect_no_writing(F("", "\"clustering\""), "", "", "clustering");
    sl_delta_table *table = NULL;
    write_table(F("\"deletionVectors\"", "\"deletionVectors\""), "", "");
    expect_error(sl_delta_open(store, &table), SL_ERROR_UNSUPPORTED, "deletionVectors");
    write_table(F("\"v2Checkpoint\"", "\"v2Checkpoint\""), "", "");
    expect_error(sl_delta_open(store, &table), SL_ERROR_UNSUPPORTED, "v2Checkpoint");
    write_table(P("4", "7"), "", "");
    expect_error(sl_delta_open(store, &table), SL_ERROR_UNSUPPORTED, "version 4");
}
END_TEST

START_TEST(broken_logs_are_named) {
    sl_delta_table *table = NULL;
    expect_error(sl_delta_open(store, &table), SL_ERROR_NOT_FOUND, "no Delta table");
    write_table(P("1", "2"), "", "");
    GOOD(store->ops->put(store, "_delta_log/00000000000000000002.json", "{}", 2, 0));
    expect_error(sl_delta_open(store, &table), SL_ERROR_CORRUPT, "version 1");
    GOOD(store->ops->put(store, "_delta_log/00000000000000000001.json", "\n\n{\"add\":7", 10, 0));
    expect_error(sl_delta_open(store, &table), SL_ERROR_CORRUPT, "0001.json: line 3");
    const char *bad = "{\"add\":{\"path\":\"x\",\"dataChange\":true}}";
    GOOD(store->ops->put(store, "_delta_log/00000000000000000001.json", bad, strlen(bad), 0));
    expect_error(sl_delta_open(store, &table), SL_ERROR_CORRUPT, "\"size\"");
    GOOD(store->ops->put(store, "_delta_log/00000000000000000000.json", "{}", 2, 0));
    GOOD(store->ops->put(store, "_delta_log/00000000000000000001.json", "{}", 2, 0));
    expect_error(sl_delta_open(store, &table), SL_ERROR_CORRUPT, "no protocol");
}
END_TEST

/* ---- values ---- */

START_TEST(values_as_text) {
    char text[64];
    ck_assert(delta_date_text(0, text));
    ck_assert_str_eq(text, "1970-01-01");
    ck_assert(delta_date_text(19782, text));
    ck_assert_str_eq(text, "2024-02-29");
    ck_assert(delta_date_text(-719162, text));
    ck_assert_str_eq(text, "0001-01-01");
    ck_assert(!delta_date_text(-719163, text));
    ck_assert(delta_date_text(2932896, text));
    ck_assert_str_eq(text, "9999-12-31");
    ck_assert(!delta_date_text(2932897, text));
    ck_assert(delta_timestamp_text(-1, true, "Z", text));
    ck_assert_str_eq(text, "1969-12-31T23:59:59.999999Z");
    ck_assert(delta_timestamp_text(INT64_C(1709210096123456), false, "", text));
    ck_assert_str_eq(text, "2024-02-29T12:34:56.123");
    uint8_t decimal[16] = {0};
    delta_decimal_text(decimal, 2, text);
    ck_assert_str_eq(text, "0.00");
    memset(decimal, 0xff, sizeof(decimal));
    delta_decimal_text(decimal, 3, text);
    ck_assert_str_eq(text, "-0.001");
    delta_decimal_text(decimal, 0, text);
    ck_assert_str_eq(text, "-1");
    delta_double_text(0.1, false, text);
    ck_assert_str_eq(text, "0.1");
    delta_double_text(1.0 / 3, false, text);
    ck_assert_double_eq(strtod(text, NULL), 1.0 / 3);
    sl_buffer out = SL_BUFFER_INIT;
    ck_assert(delta_hive_folder(&out, "a b", "x/y=z%\xc3\xa9"));
    ck_assert_str_eq(sl_buffer_text(&out), "a b=x%2Fy%3Dz%25\xc3\xa9/");
    sl_buffer_clear(&out);
    const sl_delta_file ours = {.path = (char *)"p=a b%2F/f#1?.parquet"};
    ck_assert(delta_uri_append(&out, &ours));
    ck_assert_str_eq(sl_buffer_text(&out), "p=a%20b%252F/f%231%3F.parquet");
    sl_delta_file taken = {0};
    GOOD(delta_uri_take((const char *)out.data, &taken));
    ck_assert_str_eq(taken.path, ours.path);
    ck_assert_ptr_null(taken.uri);
    sl_delta_file_clear(&taken);
    sl_buffer_free(&out);
}
END_TEST

/* Readers compare paths as they are written, so they are written again as they came. */
START_TEST(paths_keep_the_spelling_of_their_writer) {
    static const char *const spellings[] = {
        "p=Z\xc3\xbcrich/f", "p=Z%c3%bcrich/f", "p=%41/f", "p=a b/f",
        "p=100%/f",          "p=[x]/f",         "p=%2/f"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(spellings); i++) {
        sl_delta_file taken = {0};
        sl_delta_file copy = {0};
        sl_buffer out = SL_BUFFER_INIT;
        GOOD(delta_uri_take(spellings[i], &taken));
        GOOD(sl_delta_file_copy(&taken, &copy));
        ck_assert(delta_uri_append(&out, &copy));
        ck_assert_str_eq(sl_buffer_text(&out), spellings[i]);
        sl_buffer_free(&out);
        sl_delta_file_clear(&taken);
        sl_delta_file_clear(&copy);
    }
}
END_TEST

/* The statistics of one file with these names. */
static char *stats_of(const char *const *names, size_t n) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    sl_delta_files files = {0};
    row rows[8];
    for (size_t i = 0; i < n; i++) {
        rows[i] = (row){(int64_t)i, names[i], NULL};
    }
    store_rows(table, store, rows, n, NULL, &files);
    char *stats = strdup(files.items[0].stats);
    sl_delta_files_free(&files);
    sl_delta_close(table);
    tear_down();
    set_up();
    return stats;
}

#define THIRTY "abcdefghijabcdefghijabcdefghij"

START_TEST(text_bounds_are_cut_at_32_characters) {
    char *stats = stats_of((const char *[]){"b", NULL, "a\"\\"}, 3);
    ck_assert_str_eq(stats, "{\"numRecords\":3,\"minValues\":{\"id\":0,\"name\":\"a\\\"\\\\\"},"
                            "\"maxValues\":{\"id\":2,\"name\":\"b\"},"
                            "\"nullCount\":{\"id\":0,\"name\":1,\"part\":3}}");
    free(stats);
    stats = stats_of((const char *[]){THIRTY "xyz", THIRTY "xyz"}, 2);
    ck_assert_ptr_nonnull(strstr(stats, "\"minValues\":{\"id\":0,\"name\":\"" THIRTY "xy\""));
    ck_assert_ptr_nonnull(strstr(stats, "\"maxValues\":{\"id\":1,\"name\":\"" THIRTY "xz\""));
    free(stats);
    /* exactly 32 characters, also of several bytes, stay */
    stats = stats_of((const char *[]){THIRTY "\xc3\xa9\xc3\xa9"}, 1);
    ck_assert_ptr_nonnull(
        strstr(stats, "\"maxValues\":{\"id\":0,\"name\":\"" THIRTY "\xc3\xa9\xc3\xa9\""));
    free(stats);
    /* a last character that cannot be raised: the one before is */
    stats = stats_of((const char *[]){THIRTY "\x7f\xf4\x8f\xbf\xbf"
                                             "z"},
                     1);
    ck_assert_ptr_nonnull(strstr(stats, "\"maxValues\":{\"id\":0,\"name\":\"" THIRTY "\xc2\x80\""));
    free(stats);
    /* past the surrogates */
    stats = stats_of((const char *[]){THIRTY "a\xed\x9f\xbf"
                                             "z"},
                     1);
    ck_assert_ptr_nonnull(
        strstr(stats, "\"maxValues\":{\"id\":0,\"name\":\"" THIRTY "a\xee\x80\x80\""));
    free(stats);
}
END_TEST

/* ---- data files ---- */

START_TEST(rows_go_to_the_files_of_their_partitions) {
    sl_delta_table *table = make_table(store, "part", NULL, NULL);
    sl_delta_files files = {0};
    row rows[] = {{1, "a", "x"}, {2, "b", "y"}, {3, "c", "x"}, {4, "d", NULL}, {5, "e", "y"}};
    store_rows(table, store, rows, 5, NULL, &files);
    ck_assert_uint_eq(files.n, 3);
    sl_delta_commit_info info = {.adds = files.items, .n_adds = files.n, .data_change = true};
    GOOD(sl_delta_commit(table, &info));
    sl_delta_files_free(&files);
    sl_delta_close(table);
    expect_rows(store, "{\"id\":1,\"name\":\"a\",\"part\":\"x\"}\n"
                       "{\"id\":2,\"name\":\"b\",\"part\":\"y\"}\n"
                       "{\"id\":3,\"name\":\"c\",\"part\":\"x\"}\n"
                       "{\"id\":4,\"name\":\"d\",\"part\":null}\n"
                       "{\"id\":5,\"name\":\"e\",\"part\":\"y\"}\n");
}
END_TEST

static sl_delta_encoder *small_group_encoder(sl_delta_table *table) {
    struct ArrowSchema schema;
    sl_delta_encoder *encoder = NULL;
    make_schema(&schema);
    sl_delta_encoder_options options = {.schema = &schema, .row_group_bytes = 1 << 20};
    (void)table;
    GOOD(sl_delta_encoder_new(&options, &encoder));
    schema.release(&schema);
    return encoder;
}

START_TEST(large_files_go_up_in_pieces) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    sl_delta_encoder *encoder = small_group_encoder(table);
    sl_delta_files files = {0};
    sl_delta_upload *upload = NULL;
    int uploads = 0;
    for (int64_t i = 0; i < 10; i++) {
        struct ArrowArray batch;
        noisy_batch(i * 20000, 20000, &batch);
        GOOD(sl_delta_encoder_append(encoder, &batch, 0, batch.length));
        batch.release(&batch);
        GOOD(sl_delta_encoder_take(encoder, &upload));
        if (upload != NULL) {
            GOOD(sl_delta_upload_run(upload, store));
            GOOD(sl_delta_upload_end(upload, encoder, &files));
            uploads++;
        }
    }
    ck_assert_int_gt(uploads, 2);
    ck_assert_uint_eq(files.n, 0);
    GOOD(sl_delta_encoder_store(encoder, store, &files));
    ck_assert_uint_eq(files.n, 1);
    ck_assert_int_eq(files.items[0].rows, 200000);
    sl_store_entry entry;
    GOOD(store->ops->stat(store, files.items[0].path, &entry));
    ck_assert_int_eq(entry.bytes, files.items[0].size_bytes);
    sl_delta_files_free(&files);
    sl_delta_encoder_free(encoder);
    sl_delta_close(table);
}
END_TEST

START_TEST(a_flush_takes_its_own_files) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    sl_delta_encoder *encoder = make_encoder(table, NULL);
    sl_delta_files files = {0};
    sl_delta_upload *upload = NULL;
    struct ArrowArray batch;
    row one = {1, "x", NULL};
    make_batch(&one, 1, &batch);
    GOOD(sl_delta_encoder_append(encoder, &batch, 0, 1));
    GOOD(sl_delta_encoder_end_files(encoder));
    GOOD(sl_delta_encoder_append(encoder, &batch, 0, 1));
    ck_assert(sl_delta_encoder_has_ended(encoder));
    GOOD(sl_delta_encoder_take(encoder, &upload));
    ck_assert(!sl_delta_encoder_has_ended(encoder));
    ck_assert_int_eq(sl_delta_encoder_rows(encoder), 1);
    GOOD(sl_delta_encoder_append(encoder, &batch, 0, 1));
    /* a put that fails is repeated; one whose answer was lost finds its file */
    sl_store_memory_fail(store, SL_STORE_OP_PUT, NULL, 1, SL_STORE_FAULT_BEFORE,
                         SL_ERROR_RETRIABLE);
    expect_error(sl_delta_upload_run(upload, store), SL_ERROR_RETRIABLE, NULL);
    sl_store_memory_fail(store, SL_STORE_OP_PUT, NULL, 1, SL_STORE_FAULT_AFTER, SL_ERROR_RETRIABLE);
    expect_error(sl_delta_upload_run(upload, store), SL_ERROR_RETRIABLE, NULL);
    GOOD(sl_delta_upload_run(upload, store));
    GOOD(sl_delta_upload_end(upload, encoder, &files));
    ck_assert_uint_eq(files.n, 1);
    ck_assert_int_eq(files.items[0].rows, 1);
    sl_delta_files_free(&files);
    GOOD(sl_delta_encoder_store(encoder, store, &files));
    ck_assert_int_eq(files.items[0].rows, 2);
    sl_delta_files_free(&files);
    sl_delta_encoder_free(encoder);
    batch.release(&batch);
    sl_delta_close(table);
}
END_TEST

START_TEST(discarding_while_an_upload_runs) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    sl_delta_files files = {0};
    sl_delta_upload *upload = NULL;
    for (int way = 0; way < 4; way++) {
        sl_delta_encoder *encoder = small_group_encoder(table);
        struct ArrowArray batch;
        noisy_batch(0, 60000, &batch);
        GOOD(sl_delta_encoder_append(encoder, &batch, 0, batch.length));
        if (way & 1) {
            GOOD(sl_delta_encoder_end_files(encoder));
        }
        GOOD(sl_delta_encoder_take(encoder, &upload));
        ck_assert_ptr_nonnull(upload);
        GOOD(sl_delta_encoder_append(encoder, &batch, 0, 1000));
        if (way & 2) { /* the file of a piece that is under way has ended */
            GOOD(sl_delta_encoder_end_files(encoder));
        }
        sl_delta_encoder_discard(encoder);
        ck_assert_int_eq(sl_delta_encoder_rows(encoder), 0);
        GOOD(sl_delta_encoder_append(encoder, &batch, 0, 7));
        GOOD(sl_delta_upload_run(upload, store));
        GOOD(sl_delta_upload_end(upload, encoder, &files));
        ck_assert_uint_eq(files.n, 0);
        GOOD(sl_delta_encoder_store(encoder, store, &files));
        ck_assert_uint_eq(files.n, 1);
        ck_assert_int_eq(files.items[0].rows, 7);
        sl_delta_files_free(&files);
        GOOD(sl_delta_encoder_append(encoder, &batch, 0, batch.length));
        GOOD(sl_delta_encoder_take(encoder, &upload));
        sl_delta_encoder_free(encoder); /* before its upload ends */
        GOOD(sl_delta_upload_end(upload, NULL, &files));
        ck_assert_uint_eq(files.n, 0);
        batch.release(&batch);
    }
    sl_delta_close(table);
}
END_TEST

/* ---- tail and upsert ---- */

static const char *const key_id[] = {"id"};

static void put_rows(sl_delta_tail *tail, const row *rows, size_t n, bool drop) {
    struct ArrowArray batch;
    make_batch(rows, n, &batch);
    GOOD(drop ? sl_delta_tail_drop(tail, &batch) : sl_delta_tail_put(tail, &batch));
    batch.release(&batch);
}

START_TEST(a_tail_keeps_one_row_for_each_key) {
    sl_delta_table *table = make_table(store, "part", NULL, NULL);
    struct ArrowSchema schema;
    sl_delta_tail *tail = NULL;
    sl_delta_files files = {0};
    make_schema(&schema);
    GOOD(sl_delta_tail_new(&schema, key_id, 1, &tail));
    put_rows(tail, (row[]){{1, "a", "x"}, {2, "b", "y"}, {1, "a2", "x"}}, 3, false);
    ck_assert_int_eq(sl_delta_tail_rows(tail), 2);
    put_rows(tail, (row[]){{3, "c", "x"}, {2, "b2", NULL}}, 2, false);
    put_rows(tail, (row[]){{3, NULL, NULL}, {9, NULL, NULL}}, 2, true);
    ck_assert_int_eq(sl_delta_tail_rows(tail), 2);
    sl_delta_encoder *encoder = make_encoder(table, "me");
    GOOD(sl_delta_tail_write(tail, encoder));
    GOOD(sl_delta_encoder_store(encoder, store, &files));
    sl_delta_encoder_free(encoder);
    sl_delta_commit_info info = {.adds = files.items, .n_adds = files.n, .data_change = true};
    GOOD(sl_delta_commit(table, &info));
    append_good(table, store, 100);
    sl_delta_files_free(&files);
    const char *wanted = "{\"id\":1,\"name\":\"a2\",\"part\":\"x\"}\n"
                         "{\"id\":100,\"name\":\"x\",\"part\":\"p\"}\n"
                         "{\"id\":2,\"name\":\"b2\",\"part\":null}\n";
    expect_rows(store, wanted);
    GOOD(sl_delta_tail_load(tail, table, "me", &files));
    ck_assert_int_eq(sl_delta_tail_rows(tail), 2);
    ck_assert_uint_eq(files.n, 2);
    sl_delta_files_free(&files);
    GOOD(sl_delta_tail_load(tail, table, "you", &files));
    ck_assert_int_eq(sl_delta_tail_rows(tail), 0);
    sl_delta_tail_free(tail);
    schema.release(&schema);
    sl_delta_close(table);
}
END_TEST

static const char *const key_part[] = {"id", "part"};

/* What comes back from the table is null then, and the same row. */
START_TEST(an_empty_text_in_a_partition_is_found_again_by_the_tail) {
    sl_delta_table *table = make_table(store, "part", NULL, NULL);
    struct ArrowSchema schema;
    sl_delta_tail *tail = NULL;
    sl_delta_files files = {0};
    row open = {1, "open", ""};
    store_rows(table, store, &open, 1, "me", &files);
    sl_delta_commit_info info = {.adds = files.items, .n_adds = files.n, .data_change = true};
    GOOD(sl_delta_commit(table, &info));
    sl_delta_files_free(&files);
    make_schema(&schema);
    GOOD(sl_delta_tail_new(&schema, key_part, 2, &tail));
    GOOD(sl_delta_tail_load(tail, table, "me", &files));
    ck_assert_int_eq(sl_delta_tail_rows(tail), 1);
    put_rows(tail, (row[]){{1, "later", ""}}, 1, false);
    ck_assert_int_eq(sl_delta_tail_rows(tail), 1);
    put_rows(tail, (row[]){{1, "final", ""}}, 1, true);
    ck_assert_int_eq(sl_delta_tail_rows(tail), 0);
    sl_delta_files_free(&files);
    sl_delta_tail_free(tail);
    schema.release(&schema);
    sl_delta_close(table);
}
END_TEST

START_TEST(an_empty_text_in_a_partition_is_replaced) {
    static const char *const parts[] = {"", NULL, "p", ""};
    sl_delta_table *table = make_table(store, "part", NULL, NULL);
    struct ArrowSchema schema;
    make_schema(&schema);
    for (size_t i = 0; i < SL_ARRAY_LENGTH(parts); i++) {
        struct ArrowArray batch;
        char name[] = {(char)('a' + i), 0};
        make_batch((row[]){{1, name, parts[i]}}, 1, &batch);
        const struct ArrowArray *batches[] = {&batch};
        sl_delta_upsert_info info = {.schema = &schema,
                                     .batches = batches,
                                     .n_batches = 1,
                                     .key = key_part,
                                     .n_key = 2,
                                     .delete_column = -1};
        GOOD(sl_delta_upsert(table, &info));
        batch.release(&batch);
    }
    schema.release(&schema);
    sl_delta_close(table);
    expect_rows(store, "{\"id\":1,\"name\":\"c\",\"part\":\"p\"}\n"
                       "{\"id\":1,\"name\":\"d\",\"part\":null}\n");
}
END_TEST

START_TEST(a_tail_stays_small_under_many_updates) {
    struct ArrowSchema schema;
    sl_delta_tail *tail = NULL;
    make_schema(&schema);
    GOOD(sl_delta_tail_new(&schema, key_id, 1, &tail));
    size_t most = 0;
    for (int64_t i = 0; i < 3000; i++) {
        row rows[50];
        for (int64_t j = 0; j < 50; j++) {
            rows[j] = (row){(i * 7 + j * 13) % 500 + i / 10, "some name", "p"};
        }
        put_rows(tail, rows, 50, i % 5 == 4);
        size_t bytes = sl_delta_tail_memory_bytes(tail);
        most = bytes > most ? bytes : most;
    }
    ck_assert_uint_lt(most, 3 << 20);
    sl_delta_tail_free(tail);
    schema.release(&schema);
}
END_TEST

static sl_error *upsert(sl_delta_table *table, const row *rows, size_t n, int64_t delete_column,
                        sl_delta_upsert_info *info) {
    struct ArrowSchema schema;
    struct ArrowArray batch;
    const struct ArrowArray *batches[1] = {&batch};
    make_schema(&schema);
    make_batch(rows, n, &batch);
    *info = (sl_delta_upsert_info){.schema = &schema,
                                   .batches = batches,
                                   .n_batches = 1,
                                   .key = key_id,
                                   .n_key = 1,
                                   .delete_column = delete_column};
    sl_error *error = sl_delta_upsert(table, info);
    batch.release(&batch);
    schema.release(&schema);
    return error;
}

START_TEST(upserts_replace_by_key) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    sl_delta_upsert_info info;
    GOOD(upsert(table, (row[]){{1, "a", "x"}, {2, "b", "x"}, {3, "c", "x"}}, 3, -1, &info));
    ck_assert_int_eq(info.rows_written, 3);
    ck_assert_int_eq(info.files_rewritten, 0);
    GOOD(upsert(table, (row[]){{10, "k", "x"}, {11, "l", "x"}}, 2, -1, &info));
    GOOD(upsert(table, (row[]){{2, "b2", "y"}, {4, "d", "y"}, {2, "b3", "y"}}, 3, -1, &info));
    ck_assert_int_eq(info.rows_deleted, 1);
    ck_assert_int_eq(info.files_rewritten, 1); /* statistics keep the second file out of it */
    expect_rows(store, "{\"id\":1,\"name\":\"a\",\"part\":\"x\"}\n"
                       "{\"id\":10,\"name\":\"k\",\"part\":\"x\"}\n"
                       "{\"id\":11,\"name\":\"l\",\"part\":\"x\"}\n"
                       "{\"id\":2,\"name\":\"b3\",\"part\":\"y\"}\n"
                       "{\"id\":3,\"name\":\"c\",\"part\":\"x\"}\n"
                       "{\"id\":4,\"name\":\"d\",\"part\":\"y\"}\n");
    GOOD(upsert(table, (row[]){{1, NULL, NULL}, {10, NULL, NULL}, {77, NULL, NULL}, {3, "z", "x"}},
                4, 1, &info));
    expect_rows(store, "{\"id\":11,\"name\":\"l\",\"part\":\"x\"}\n"
                       "{\"id\":2,\"name\":\"b3\",\"part\":\"y\"}\n"
                       "{\"id\":3,\"name\":\"z\",\"part\":\"x\"}\n"
                       "{\"id\":4,\"name\":\"d\",\"part\":\"y\"}\n");
    sl_delta_close(table);
}
END_TEST

static void upsert_other(void *arg) {
    sl_delta_table *table = NULL;
    sl_delta_upsert_info info;
    GOOD(sl_delta_open(store, &table));
    GOOD(upsert(table, arg, 1, -1, &info));
    sl_delta_close(table);
}

START_TEST(upserts_are_computed_anew_after_others) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    sl_delta_upsert_info info;
    row theirs = {2, "theirs", "x"};
    GOOD(upsert(table, (row[]){{1, "a", "x"}, {2, "b", "x"}}, 2, -1, &info));
    sl_store_memory_hook(store, SL_STORE_OP_PUT, "0002.json", upsert_other, &theirs);
    GOOD(upsert(table, (row[]){{2, "ours", "x"}}, 1, -1, &info));
    ck_assert_int_eq(info.version, 3);
    expect_rows(store, "{\"id\":1,\"name\":\"a\",\"part\":\"x\"}\n"
                       "{\"id\":2,\"name\":\"ours\",\"part\":\"x\"}\n");
    sl_delta_close(table);
}
END_TEST

/* Without anything to remove an upsert has still looked for it. */
START_TEST(new_keys_are_looked_for_again_after_others) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    sl_delta_upsert_info info;
    row theirs = {2, "theirs", "x"};
    GOOD(upsert(table, (row[]){{1, "a", "x"}}, 1, -1, &info));
    sl_store_memory_hook(store, SL_STORE_OP_PUT, "0002.json", upsert_other, &theirs);
    GOOD(upsert(table, (row[]){{2, "ours", "x"}}, 1, -1, &info));
    ck_assert_int_eq(info.version, 3);
    expect_rows(store, "{\"id\":1,\"name\":\"a\",\"part\":\"x\"}\n"
                       "{\"id\":2,\"name\":\"ours\",\"part\":\"x\"}\n");
    char *entry = entry_text(store, 1);
    ck_assert_ptr_nonnull(strstr(entry, "\"isBlindAppend\":false"));
    free(entry);
    sl_delta_close(table);
}
END_TEST

static void grow_other(sl_delta_table *table, const char *name) {
    struct ArrowSchema grown;
    sl_delta_table *other = NULL;
    size_t n = (size_t)sl_delta_schema(table)->n_children;
    GOOD(sl_delta_open(store, &other));
    GOOD(sl_schema_new_struct(n + 1, &grown));
    for (size_t i = 0; i < n; i++) {
        GOOD(sl_schema_copy(sl_delta_schema(table)->children[i], grown.children[i]));
    }
    GOOD(sl_schema_set_field(&grown, n, name, "g", true, 0));
    sl_delta_commit_info info = {.schema = &grown, .data_change = true};
    GOOD(sl_delta_commit(other, &info));
    grown.release(&grown);
    sl_delta_close(other);
}

/* Rows and schema of an upsert belong to the table as it was when they were fitted to it. */
START_TEST(upserts_tell_of_a_changed_schema) {
    sl_delta_table *table = make_table(store, NULL, NULL, NULL);
    sl_delta_upsert_info info;
    GOOD(upsert(table, (row[]){{1, "a", "x"}}, 1, -1, &info));
    grow_other(table, "more");
    expect_error(upsert(table, (row[]){{1, "b", "x"}}, 1, -1, &info), SL_ERROR_CONFLICT, "schema");
    ck_assert_int_eq(info.conflict, SL_DELTA_CONFLICT_METADATA);
    GOOD(upsert(table, (row[]){{1, "b", "x"}}, 1, -1, &info));
    sl_delta_close(table);
    expect_rows(store, "{\"id\":1,\"name\":\"b\",\"part\":\"x\",\"more\":null}\n");
}
END_TEST

/* Bounds of texts in statistics go up to their last byte, also behind a zero byte. */
START_TEST(keys_with_zero_bytes_are_found) {
    const struct ArrowArray *batches[1];
    struct ArrowSchema schema;
    struct ArrowArray batch;
    sl_builder builder;
    sl_delta_table *table = NULL;
    GOOD(sl_schema_new_struct(2, &schema));
    GOOD(sl_schema_set_field(&schema, 0, "key", "u", true, 0));
    GOOD(sl_schema_set_field(&schema, 1, "n", "l", true, 0));
    sl_delta_create_options options = {.schema = &schema};
    GOOD(sl_delta_create(store, &options, &table));
    static const char *const key[] = {"key"};
    for (int64_t i = 0; i < 2; i++) {
        GOOD(sl_builder_init(&builder, &schema));
        ck_assert(sl_builder_append_bytes(&builder.children[0], "a\0b", 3));
        ck_assert(sl_builder_append_i64(&builder.children[1], i));
        ck_assert(sl_builder_append_struct(&builder));
        GOOD(sl_builder_finish(&builder, &batch));
        sl_builder_free(&builder);
        batches[0] = &batch;
        sl_delta_upsert_info info = {.schema = &schema,
                                     .batches = batches,
                                     .n_batches = 1,
                                     .key = key,
                                     .n_key = 1,
                                     .delete_column = -1};
        GOOD(sl_delta_upsert(table, &info));
        ck_assert_int_eq(info.rows_deleted, i);
        batch.release(&batch);
    }
    schema.release(&schema);
    sl_delta_close(table);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("delta_table");
    TCase *tests = tcase_create("table");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, schemas_survive_the_round_trip);
    tcase_add_test(tests, names_and_types_that_cannot_be_stored);
    tcase_add_test(tests, inputs_are_fitted_to_the_table);
    tcase_add_test(tests, unknown_features_are_refused_by_name);
    tcase_add_test(tests, broken_logs_are_named);
    tcase_add_test(tests, values_as_text);
    tcase_add_test(tests, paths_keep_the_spelling_of_their_writer);
    tcase_add_test(tests, text_bounds_are_cut_at_32_characters);
    tcase_add_test(tests, rows_go_to_the_files_of_their_partitions);
    tcase_add_test(tests, large_files_go_up_in_pieces);
    tcase_add_test(tests, a_flush_takes_its_own_files);
    tcase_add_test(tests, discarding_while_an_upload_runs);
    tcase_add_test(tests, a_tail_keeps_one_row_for_each_key);
    tcase_add_test(tests, an_empty_text_in_a_partition_is_found_again_by_the_tail);
    tcase_add_test(tests, an_empty_text_in_a_partition_is_replaced);
    tcase_add_test(tests, a_tail_stays_small_under_many_updates);
    tcase_add_test(tests, upserts_replace_by_key);
    tcase_add_test(tests, upserts_are_computed_anew_after_others);
    tcase_add_test(tests, new_keys_are_looked_for_again_after_others);
    tcase_add_test(tests, upserts_tell_of_a_changed_schema);
    tcase_add_test(tests, keys_with_zero_bytes_are_found);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
