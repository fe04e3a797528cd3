/*
 * Decodes lines of JSON by a JSON Schema and prints what becomes of each: one JSON object a line,
 * {"row": {...}} or {"reason": ..., "path": ..., "detail": ...}. For tests that compare with other
 * implementations.
 *
 * usage: json_columns SCHEMA_FILE [--last-wins] [--rescue] [--formats] [--coerce COLUMN=NAME]...
 *                     [--max-depth N] [--max-bytes N] < lines
 */
#include <stdio.h>
#include <stdlib.h>

#include "json/json.h"

#define MAX_COERCIONS 32

static char *read_all(FILE *file, size_t *bytes) {
    sl_buffer buffer = SL_BUFFER_INIT;
    while (sl_buffer_reserve(&buffer, 65536)) {
        size_t n = fread(buffer.data + buffer.bytes, 1, 65536, file);
        if (n == 0) {
            break;
        }
        buffer.bytes += n;
    }
    sl_buffer_text(&buffer);
    return (char *)sl_buffer_take(&buffer, bytes);
}

static int fail(sl_error *error) {
    printf("{\"error\":\"%s\"}\n", sl_error_class_name(sl_error_get_class(error)));
    fprintf(stderr, "%s\n", sl_error_message(error));
    sl_error_free(error);
    return 1;
}

static void parse_options(int argc, char **argv, sl_json_options *options,
                          sl_json_coercion *coercions) {
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--last-wins") == 0) {
            options->duplicates = SL_JSON_DUPLICATES_LAST_WINS;
        } else if (strcmp(argv[i], "--rescue") == 0) {
            options->rescue = true;
        } else if (strcmp(argv[i], "--formats") == 0) {
            options->assert_formats = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--max-depth") == 0) {
            options->max_depth = (uint32_t)atoi(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--max-bytes") == 0) {
            options->max_value_bytes = (size_t)atoll(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--coerce") == 0) {
            char *equals = strchr(argv[++i], '=');
            if (equals != NULL && options->n_coercions < MAX_COERCIONS) {
                *equals = 0;
                coercions[options->n_coercions++] = (sl_json_coercion){argv[i], equals + 1};
            }
        } else {
            fprintf(stderr, "unknown option %s\n", argv[i]);
            exit(2);
        }
    }
    options->coercions = coercions;
}

static sl_error *print_row(sl_builder *builder, const struct ArrowSchema *columns,
                           sl_buffer *line) {
    struct ArrowArray array;
    sl_error *error = sl_builder_finish(builder, &array);
    if (error == NULL) {
        sl_buffer_append_text(line, "{\"row\":");
        sl_array_append_json(columns, &array, 0, line);
        sl_buffer_append_text(line, "}\n");
        array.release(&array);
    }
    return error;
}

static void print_reject(const sl_json_rejects *rejects, sl_buffer *line) {
    const sl_json_reject *reject = &rejects->items[0];
    const char *text = (const char *)rejects->text.data;
    sl_buffer_printf(line, "{\"reason\":\"%s\",\"path\":", sl_json_reason_name(reject->reason));
    sl_buffer_append_json_string(line, text + reject->path_at, reject->path_bytes);
    sl_buffer_append_text(line, ",\"detail\":");
    sl_buffer_append_json_string(line, text + reject->detail_at, reject->detail_bytes);
    sl_buffer_append_text(line, "}\n");
}

static sl_error *decode_lines(sl_json_decoder *decoder, const struct ArrowSchema *columns,
                              const char *input, size_t bytes) {
    sl_builder builder;
    sl_json_rejects rejects = {0};
    sl_buffer line = SL_BUFFER_INIT;
    int64_t row = 0;
    sl_error *error = sl_builder_init(&builder, columns);
    if (error != NULL) {
        return error;
    }
    for (const char *p = input; p < input + bytes && error == NULL; row++) {
        const char *end = memchr(p, '\n', (size_t)(input + bytes - p));
        end = end == NULL ? input + bytes : end;
        bool accepted = false;
        sl_json_rejects_clear(&rejects);
        sl_buffer_clear(&line);
        error =
            sl_json_decode_text(decoder, p, (size_t)(end - p), row, &builder, &rejects, &accepted);
        if (error == NULL && accepted) {
            error = print_row(&builder, columns, &line);
        } else if (error == NULL) {
            print_reject(&rejects, &line);
        }
        fwrite(line.data, 1, line.bytes, stdout);
        p = end + 1;
    }
    sl_json_rejects_free(&rejects);
    sl_buffer_free(&line);
    sl_builder_free(&builder);
    return error;
}

int main(int argc, char **argv) {
    sl_json_options options = {0};
    sl_json_coercion coercions[MAX_COERCIONS];
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: json_columns SCHEMA_FILE [options] < lines\n");
        return 2;
    }
    parse_options(argc, argv, &options, coercions);
    size_t schema_bytes = 0, bytes = 0;
    char *schema_text = read_all(file, &schema_bytes);
    fclose(file);
    char *input = read_all(stdin, &bytes);
    sl_json_schema *schema = NULL;
    sl_json_decoder *decoder = NULL;
    sl_error *error = sl_json_schema_compile(schema_text, schema_bytes, &options, &schema);
    if (error == NULL) {
        error = sl_json_decoder_new(schema, &decoder);
    }
    if (error == NULL) {
        error = decode_lines(decoder, sl_json_schema_columns(schema), input, bytes);
    }
    sl_json_decoder_free(decoder);
    sl_json_schema_free(schema);
    free(schema_text);
    free(input);
    return error == NULL ? 0 : fail(error);
}
