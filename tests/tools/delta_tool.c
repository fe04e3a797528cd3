/*
 * lib/delta for tests in other languages: each command does one thing to a table, rows come from
 * Parquet files. Prints one JSON object. Exit codes: 0, 1 error ("class: message" on stderr), 3
 * conflict, 2 usage.
 *
 *   create   TABLE FILE.parquet [-p COLUMN]… [-c KEY=VALUE]…   (the schema is the file's)
 *   append   TABLE FILE.parquet… [-x APP:FROM:TO]… [-e] [-n COMMITS] [-r ROW_GROUP_BYTES]
 *   upsert   TABLE FILE.parquet… -k COLUMN… [-d COLUMN] [-x APP:FROM:TO]…
 *   tail     TABLE FILE.parquet… -k COLUMN… -o OWNER [-x APP:FROM:TO]…   (rows replace by key)
 *   final    TABLE FILE.parquet… -k COLUMN… -o OWNER            (rows leave the tail for good)
 *   read     TABLE OUT.parquet
 *   info | checkpoint | clean [-t NOW_MS]   TABLE
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "delta/upsert.h"
#include "parquet/parquet.h"
#include "store/store.h"

#define MAX_LIST 64

typedef struct arguments {
    const char *table;
    const char *partitions[MAX_LIST];
    size_t n_partitions;
    const char *keys[MAX_LIST];
    const char *values[MAX_LIST];
    size_t n_configuration;
    const char *key[MAX_LIST];
    size_t n_key;
    sl_delta_advance advances[MAX_LIST];
    size_t n_advances;
    const char *delete_column;
    const char *owner;
    bool evolve;
    int64_t commits;
    int64_t now_ms;
    size_t row_group_bytes;
    char **files;
    int n_files;
} arguments;

/* All rows of the files. */
typedef struct input {
    struct ArrowSchema schema;
    struct ArrowArray *batches;
    const struct ArrowArray **pointers;
    size_t n;
} input;

static int usage(void) {
    fprintf(stderr, "usage: see the head of tests/tools/delta_tool.c\n");
    return 2;
}

static int finish(sl_error *error) {
    if (error == NULL) {
        return 0;
    }
    fprintf(stderr, "%s: %s\n", sl_error_class_name(sl_error_get_class(error)),
            sl_error_message(error));
    int code = sl_error_is(error, SL_ERROR_CONFLICT) ? 3 : 1;
    sl_error_free(error);
    return code;
}

static sl_error *read_input_file(const char *path, input *in) {
    char folder[4096];
    sl_store *store = NULL;
    sl_parquet_reader *reader = NULL;
    sl_parquet_scan *scan = NULL;
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof(folder), "%.*s", slash == NULL ? 1 : (int)(slash - path),
             slash == NULL ? "." : path);
    sl_error *error = sl_store_open(folder, NULL, &store);
    error = error ? error
                  : sl_parquet_reader_open_store(store, slash == NULL ? path : slash + 1, -1, NULL,
                                                 &reader);
    error = error ? error : sl_parquet_scan_open(reader, NULL, &scan);
    if (error == NULL && in->schema.release == NULL) {
        error = sl_schema_copy(sl_parquet_scan_schema(scan), &in->schema);
    }
    while (error == NULL) {
        struct ArrowArray batch = {0};
        error = sl_parquet_scan_next(scan, &batch);
        if (error != NULL || batch.release == NULL) {
            break;
        }
        in->batches = realloc(in->batches, (in->n + 1) * sizeof(*in->batches));
        in->batches[in->n++] = batch;
    }
    sl_parquet_scan_close(scan);
    sl_parquet_reader_close(reader);
    if (store != NULL) {
        store->ops->close(store);
    }
    return error;
}

static sl_error *read_input(const arguments *a, input *in) {
    sl_error *error = NULL;
    for (int i = 0; i < a->n_files && error == NULL; i++) {
        error = read_input_file(a->files[i], in);
    }
    in->pointers = calloc(in->n + 1, sizeof(*in->pointers));
    for (size_t i = 0; i < in->n; i++) {
        in->pointers[i] = &in->batches[i];
    }
    return error;
}

static void free_input(input *in) {
    for (size_t i = 0; i < in->n; i++) {
        in->batches[i].release(&in->batches[i]);
    }
    if (in->schema.release != NULL) {
        in->schema.release(&in->schema);
    }
    free(in->batches);
    free(in->pointers);
}

static sl_error *create(sl_store *store, const arguments *a, const input *in) {
    sl_delta_create_options options = {
        .schema = &in->schema,
        .partition_columns = a->partitions,
        .n_partition_columns = a->n_partitions,
        .name = "made by delta_tool",
        .configuration_keys = a->keys,
        .configuration_values = a->values,
        .n_configuration = a->n_configuration,
    };
    sl_delta_table *table = NULL;
    sl_error *error = sl_delta_create(store, &options, &table);
    if (error == NULL) {
        printf("{\"version\": %" PRId64 "}\n", sl_delta_version(table));
    }
    sl_delta_close(table);
    return error;
}

static sl_error *new_encoder(const arguments *a, sl_delta_table *table,
                             const struct ArrowSchema *schema, const char *owner,
                             sl_delta_encoder **out) {
    sl_delta_encoder_options options = {
        .schema = schema, .tail_owner = owner, .row_group_bytes = a->row_group_bytes};
    options.partition_columns = sl_delta_partition_columns(table, &options.n_partition_columns);
    return sl_delta_encoder_new(&options, out);
}

static sl_error *encode(const arguments *a, sl_delta_table *table, sl_store *store, const input *in,
                        sl_delta_files *files) {
    sl_delta_encoder *encoder = NULL;
    sl_error *error = new_encoder(a, table, &in->schema, NULL, &encoder);
    for (size_t i = 0; i < in->n && error == NULL; i++) {
        error = sl_delta_encoder_append(encoder, &in->batches[i], 0, in->batches[i].length);
    }
    error = error ? error : sl_delta_encoder_store(encoder, store, files);
    sl_delta_encoder_free(encoder);
    return error;
}

/* Commits until it holds: after a changed schema the input is fitted again. */
static sl_error *append_once(const arguments *a, sl_delta_table *table, sl_store *store,
                             const input *in, const sl_delta_advance *advances) {
    sl_delta_files files = {0};
    sl_error *error = encode(a, table, store, in, &files);
    for (int again = 1; error == NULL && again != 0;) {
        struct ArrowSchema grown = {0};
        bool changed = false;
        error = sl_delta_fit_schema(
            table, &in->schema, a->evolve ? SL_DELTA_ADDITIVE : SL_DELTA_STRICT, &changed, &grown);
        sl_delta_commit_info info = {
            .adds = files.items,
            .n_adds = files.n,
            .advances = advances,
            .n_advances = a->n_advances,
            .schema = changed ? &grown : NULL,
            .data_change = true,
        };
        error = error ? error : sl_delta_commit(table, &info);
        again =
            sl_error_is(error, SL_ERROR_CONFLICT) && info.conflict == SL_DELTA_CONFLICT_METADATA;
        if (again) {
            sl_error_free(error);
            error = NULL;
        }
        if (changed) {
            grown.release(&grown);
        }
    }
    sl_delta_files_free(&files);
    return error;
}

static sl_error *append(sl_store *store, const arguments *a, const input *in) {
    sl_delta_table *table = NULL;
    sl_error *error = sl_delta_open(store, &table);
    error = error ? error : sl_delta_check_writable(table, false);
    sl_delta_advance advances[MAX_LIST];
    memcpy(advances, a->advances, sizeof(advances));
    for (int64_t i = 0; i < a->commits && error == NULL; i++) {
        error = append_once(a, table, store, in, advances);
        for (size_t j = 0; j < a->n_advances; j++) { /* the next goes on where this one ended */
            int64_t step = advances[j].to - advances[j].from;
            advances[j].from = advances[j].to;
            advances[j].to += step;
        }
        error = error ? error : sl_delta_maintain(table, sl_now_us() / 1000);
    }
    if (error == NULL) {
        printf("{\"version\": %" PRId64 "}\n", sl_delta_version(table));
    }
    sl_delta_close(table);
    return error;
}

static sl_error *upsert(sl_store *store, const arguments *a, const input *in) {
    sl_delta_table *table = NULL;
    sl_error *error = sl_delta_open(store, &table);
    sl_delta_encoder_options options = {.row_group_bytes = a->row_group_bytes};
    sl_delta_upsert_info info = {
        .schema = &in->schema,
        .batches = in->pointers,
        .n_batches = in->n,
        .key = a->key,
        .n_key = a->n_key,
        .delete_column =
            a->delete_column == NULL ? -1 : sl_schema_find(&in->schema, a->delete_column),
        .encoder = &options,
        .advances = a->advances,
        .n_advances = a->n_advances,
    };
    error = error ? error : sl_delta_upsert(table, &info);
    error = error ? error : sl_delta_maintain(table, sl_now_us() / 1000);
    if (error == NULL) {
        printf("{\"version\": %" PRId64 ", \"written\": %" PRId64 ", \"deleted\": %" PRId64
               ", \"rewritten\": %" PRId64 "}\n",
               info.version, info.rows_written, info.rows_deleted, info.files_rewritten);
    }
    sl_delta_close(table);
    return error;
}

/* Rows into the tail, or final: out of it and appended. */
static sl_error *tail(sl_store *store, const arguments *a, const input *in, bool final) {
    sl_delta_table *table = NULL;
    sl_delta_tail *rows = NULL;
    sl_delta_encoder *encoder = NULL;
    sl_delta_files removes = {0};
    sl_delta_files adds = {0};
    sl_error *error = sl_delta_open(store, &table);
    error = error ? error : sl_delta_tail_new(&in->schema, a->key, a->n_key, &rows);
    error = error ? error : sl_delta_tail_load(rows, table, a->owner, &removes);
    for (size_t i = 0; i < in->n && error == NULL; i++) {
        error = final ? sl_delta_tail_drop(rows, &in->batches[i])
                      : sl_delta_tail_put(rows, &in->batches[i]);
    }
    error = error ? error : new_encoder(a, table, &in->schema, a->owner, &encoder);
    error = error ? error : sl_delta_tail_write(rows, encoder);
    error = error ? error : sl_delta_encoder_store(encoder, store, &adds);
    error = error || !final ? error : encode(a, table, store, in, &adds);
    sl_delta_commit_info info = {
        .adds = adds.items,
        .n_adds = adds.n,
        .removes = removes.items,
        .n_removes = removes.n,
        .advances = a->advances,
        .n_advances = a->n_advances,
        .reads_only_removes = true,
        .data_change = true,
    };
    error = error ? error : sl_delta_commit(table, &info);
    if (error == NULL) {
        printf("{\"version\": %" PRId64 ", \"tail\": %" PRId64 "}\n", info.version,
               sl_delta_tail_rows(rows));
    }
    sl_delta_encoder_free(encoder);
    sl_delta_tail_free(rows);
    sl_delta_files_free(&removes);
    sl_delta_files_free(&adds);
    sl_delta_close(table);
    return error;
}

/* ---- reading ---- */

typedef struct reading {
    sl_delta_table *table;
    sl_parquet_writer *writer;
} reading;

static sl_error *write_rows(struct ArrowArray *rows, void *arg) {
    return sl_parquet_writer_append(((reading *)arg)->writer, rows, 0, rows->length);
}

static sl_error *read_file(const sl_delta_file *file, void *arg) {
    return sl_delta_read_file(((reading *)arg)->table, file, write_rows, arg);
}

static sl_error *write_bytes(void *arg, const void *data, size_t bytes) {
    return fwrite(data, 1, bytes, arg) == bytes
               ? NULL
               : sl_error_new(SL_ERROR_RETRIABLE, "cannot write the output");
}

static sl_error *read_table(sl_store *store, const arguments *a) {
    reading r = {0};
    FILE *out = fopen(a->files[0], "wb");
    if (out == NULL) {
        return sl_error_new(SL_ERROR_CONFIG, "cannot open %s", a->files[0]);
    }
    sl_error *error = sl_delta_open(store, &r.table);
    error =
        error ? error
              : sl_parquet_writer_new(sl_delta_schema(r.table), NULL, write_bytes, out, &r.writer);
    error = error ? error : sl_delta_visit_files(r.table, read_file, &r);
    error = error ? error : sl_parquet_writer_finish(r.writer, NULL);
    sl_parquet_writer_free(r.writer);
    sl_delta_close(r.table);
    fclose(out);
    return error;
}

typedef struct counting {
    int64_t files;
    int64_t rows;
    int64_t tails;
} counting;

static sl_error *count_file(const sl_delta_file *file, void *arg) {
    counting *c = arg;
    c->files++;
    c->rows += file->rows > 0 ? file->rows : 0;
    c->tails += file->tail_owner != NULL;
    return NULL;
}

static int print_position(const char *app_id, int64_t position, void *arg) {
    int *n = arg;
    sl_buffer text = SL_BUFFER_INIT;
    sl_buffer_append_json_string(&text, app_id, strlen(app_id));
    printf("%s%.*s: %" PRId64, (*n)++ > 0 ? ", " : "", (int)text.bytes, (char *)text.data,
           position);
    sl_buffer_free(&text);
    return 0;
}

static sl_error *info(sl_store *store) {
    sl_delta_table *table = NULL;
    counting c = {0};
    sl_error *error = sl_delta_open(store, &table);
    error = error ? error : sl_delta_visit_files(table, count_file, &c);
    if (error == NULL) {
        sl_error *writable = sl_delta_check_writable(table, false);
        printf("{\"version\": %" PRId64 ", \"files\": %" PRId64 ", \"rows\": %" PRId64
               ", \"tails\": %" PRId64 ", \"writable\": %s, \"positions\": {",
               sl_delta_version(table), c.files, c.rows, c.tails,
               writable == NULL ? "true" : "false");
        int n = 0;
        sl_delta_visit_positions(table, print_position, &n);
        printf("}}\n");
        sl_error_free(writable);
    }
    sl_delta_close(table);
    return error;
}

static sl_error *upkeep(sl_store *store, const arguments *a, bool clean) {
    sl_delta_table *table = NULL;
    sl_delta_cleaned cleaned = {0};
    sl_error *error = sl_delta_open(store, &table);
    int64_t now_ms = a->now_ms > 0 ? a->now_ms : sl_now_us() / 1000;
    if (error == NULL) {
        error = clean ? sl_delta_clean(table, now_ms, NULL, &cleaned) : sl_delta_checkpoint(table);
    }
    if (error == NULL) {
        printf("{\"version\": %" PRId64 ", \"log_entries\": %" PRId64 ", \"data_files\": %" PRId64
               "}\n",
               sl_delta_version(table), cleaned.log_entries, cleaned.data_files);
    }
    sl_delta_close(table);
    return error;
}

/* ---- the command line ---- */

/* APP:FROM:TO, where APP may hold colons. */
static bool parse_advance(char *text, sl_delta_advance *out) {
    char *to = strrchr(text, ':');
    if (to == NULL) {
        return false;
    }
    *to++ = 0;
    char *from = strrchr(text, ':');
    if (from == NULL) {
        return false;
    }
    *from++ = 0;
    out->app_id = text;
    return sl_parse_i64(from, strlen(from), &out->from) && sl_parse_i64(to, strlen(to), &out->to);
}

static bool parse_option(int option, arguments *a) {
    char *equals;
    switch (option) {
    case 'p':
        a->partitions[a->n_partitions++] = optarg;
        return true;
    case 'c':
        equals = strchr(optarg, '=');
        if (equals == NULL) {
            return false;
        }
        *equals = 0;
        a->keys[a->n_configuration] = optarg;
        a->values[a->n_configuration++] = equals + 1;
        return true;
    case 'k':
        a->key[a->n_key++] = optarg;
        return true;
    case 'x':
        return parse_advance(optarg, &a->advances[a->n_advances++]);
    case 'd':
        a->delete_column = optarg;
        return true;
    case 'o':
        a->owner = optarg;
        return true;
    case 'e':
        a->evolve = true;
        return true;
    case 'n':
        a->commits = atoll(optarg);
        return true;
    case 't':
        a->now_ms = atoll(optarg);
        return true;
    case 'r':
        a->row_group_bytes = (size_t)atoll(optarg);
        return true;
    default:
        return false;
    }
}

static sl_error *run(const char *command, const arguments *a, bool *known) {
    sl_store *store = NULL;
    input in = {0};
    sl_error *error = sl_store_open(a->table, NULL, &store);
    bool reads_input = strcmp(command, "read") != 0;
    error = error || !reads_input ? error : read_input(a, &in);
    if (error != NULL) {
        *known = true;
    } else if (strcmp(command, "create") == 0) {
        error = create(store, a, &in);
    } else if (strcmp(command, "append") == 0) {
        error = append(store, a, &in);
    } else if (strcmp(command, "upsert") == 0) {
        error = upsert(store, a, &in);
    } else if (strcmp(command, "tail") == 0 || strcmp(command, "final") == 0) {
        error = tail(store, a, &in, command[0] == 'f');
    } else if (strcmp(command, "read") == 0 && a->n_files == 1) {
        error = read_table(store, a);
    } else if (strcmp(command, "info") == 0) {
        error = info(store);
    } else if (strcmp(command, "checkpoint") == 0 || strcmp(command, "clean") == 0) {
        error = upkeep(store, a, command[1] == 'l');
    } else {
        *known = false;
    }
    free_input(&in);
    if (store != NULL) {
        store->ops->close(store);
    }
    return error;
}

int main(int argc, char **argv) {
    arguments a = {.commits = 1};
    int option;
    bool known = true;
    while ((option = getopt(argc, argv, "p:c:k:x:d:o:en:t:r:")) >= 0) {
        if (!parse_option(option, &a)) {
            return usage();
        }
    }
    if (argc - optind < 2) {
        return usage();
    }
    const char *command = argv[optind];
    a.table = argv[optind + 1];
    a.files = argv + optind + 2;
    a.n_files = argc - optind - 2;
    sl_error *error = run(command, &a, &known);
    return known ? finish(error) : usage();
}
