/*
 * CPU time of decoding a file of JSON lines into columns.
 *
 * usage: json_bench SCHEMA_FILE LINES_FILE [ROUNDS]
 * Prints rows, rejects and CPU-seconds per million rows of the fastest of ROUNDS (default 5).
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "json/json.h"

#define BATCH_BYTES ((size_t)1 << 20)

static char *read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*bytes + SL_COLUMNS_PADDING);
    if (text == NULL || fread(text, 1, *bytes, file) != *bytes) {
        exit(2);
    }
    fclose(file);
    return text;
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(sl_error *error) {
    if (error != NULL) {
        fprintf(stderr, "%s\n", sl_error_message(error));
        exit(1);
    }
}

/* One batch: lines from *at on, about BATCH_BYTES of them, as a binary column. */
static int64_t next_batch(const char *text, size_t bytes, size_t *at, int32_t *offsets) {
    int64_t n = 0;
    size_t start = *at;
    offsets[0] = 0;
    while (*at < bytes && *at - start < BATCH_BYTES) {
        const char *end = memchr(text + *at, '\n', bytes - *at);
        *at = end == NULL ? bytes : (size_t)(end - text) + 1;
        offsets[++n] = (int32_t)(*at - start);
    }
    return n;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: json_bench SCHEMA_FILE LINES_FILE [ROUNDS]\n");
        return 2;
    }
    size_t schema_bytes, bytes;
    char *schema_text = read_file(argv[1], &schema_bytes);
    char *text = read_file(argv[2], &bytes);
    int rounds = argc > 3 ? atoi(argv[3]) : 5;
    int32_t *offsets = malloc((BATCH_BYTES + 2) * sizeof *offsets);
    sl_json_schema *schema;
    sl_json_decoder *decoder;
    sl_builder builder;
    sl_json_rejects rejects = {0};
    check(sl_json_schema_compile(schema_text, schema_bytes, NULL, &schema));
    check(sl_json_decoder_new(schema, &decoder));
    check(sl_builder_init(&builder, sl_json_schema_columns(schema)));
    double best = 1e9;
    int64_t rows = 0, rejected = 0;
    for (int round = 0; round < rounds; round++) {
        double before = cpu_seconds();
        rows = rejected = 0;
        for (size_t at = 0; at < bytes;) {
            size_t start = at;
            int64_t n = next_batch(text, bytes, &at, offsets);
            const void *buffers[] = {NULL, offsets, text + start};
            struct ArrowArray values = {.length = n, .n_buffers = 3, .buffers = buffers};
            struct ArrowArray out;
            sl_json_rejects_clear(&rejects);
            check(sl_json_decode(decoder, &values, 0, n, &builder, &rejects));
            check(sl_builder_finish(&builder, &out));
            rows += n;
            rejected += (int64_t)rejects.n;
            out.release(&out);
        }
        double seconds = cpu_seconds() - before;
        best = seconds < best ? seconds : best;
    }
    printf("%lld rows, %lld rejected, %.3f CPU-s per million\n", (long long)rows,
           (long long)rejected, best * 1e6 / (double)rows);
    sl_json_rejects_free(&rejects);
    sl_builder_free(&builder);
    sl_json_decoder_free(decoder);
    sl_json_schema_free(schema);
    free(offsets);
    free(text);
    free(schema_text);
    return 0;
}
