/* sluice tap: rows of a running sluice as they flow, as lines of JSON. */
#include "cli/client.h"
#include "cli/common.h"

#include <stdio.h>
#include <stdlib.h>

struct tapping {
    bool whole;     /* prints looks, not their rows */
    int64_t left;   /* lines that are still wanted; -1: all that come */
    bool unwritten; /* the standard output is gone */
};

/* False when no further line is wanted. */
static bool print(struct tapping *tapping, const char *text, size_t bytes) {
    tapping->unwritten = fwrite(text, 1, bytes, stdout) != bytes || fputc('\n', stdout) == EOF ||
                         fflush(stdout) != 0;
    tapping->left -= tapping->left > 0 ? 1 : 0;
    return !tapping->unwritten && tapping->left != 0;
}

/* The length of the JSON object that begins here. */
static size_t object_bytes(const char *text) {
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; text[i] != 0; i++) {
        if (quoted && text[i] == '\\' && text[i + 1] != 0) {
            i++;
        } else if (text[i] == '"') {
            quoted = !quoted;
        } else if (quoted) {
            continue;
        } else if (text[i] == '{') {
            depth++;
        } else if (text[i] == '}' && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

/* Rows are printed as they stand in the look: what reads them sees their numbers exactly. */
static bool print_rows(struct tapping *tapping, const char *look) {
    static const char key[] = "\"rows\":[";
    const char *row = strstr(look, key);
    row = row != NULL ? row + sizeof(key) - 1 : "";
    size_t bytes;
    while (*row == '{' && (bytes = object_bytes(row)) > 0) {
        if (!print(tapping, row, bytes)) {
            return false;
        }
        row += bytes + (row[bytes] == ',');
    }
    return true;
}

static bool take_line(void *arg, const char *text) {
    static const char data[] = "data: ";
    struct tapping *tapping = arg;
    if (strncmp(text, data, sizeof(data) - 1) != 0) {
        return true;
    }
    const char *look = text + sizeof(data) - 1;
    return tapping->whole ? print(tapping, look, strlen(look)) : print_rows(tapping, look);
}

static void append_query(sl_buffer *path, char separator, const char *name, const char *value) {
    if (value != NULL) {
        sl_buffer_printf(path, "%c%s=", separator, name);
        client_append_part(path, value);
    }
}

static sl_error *follow(const struct cli_args *args, struct tapping *tapping) {
    const struct client client = client_of(args);
    const char *rows = cli_args_get(args, "--rows");
    const char *node = args->operands[0];
    const char *dot = strchr(node, '.'); /* as in a topology's inputs: silver.rejects */
    const char *output = cli_args_get(args, "--output");
    sl_buffer path = SL_BUFFER_INIT;
    sl_buffer_append_text(&path, "/v1/nodes/");
    sl_percent_encode(&path, node, dot != NULL ? (size_t)(dot - node) : strlen(node), "");
    sl_buffer_append_text(&path, "/tap");
    append_query(&path, '?', "rows", rows != NULL ? rows : "10");
    append_query(&path, '&', "output", output != NULL || dot == NULL ? output : dot + 1);
    append_query(&path, '&', "input", cli_args_get(args, "--input"));
    const char *text = sl_buffer_text(&path);
    sl_error *error = text == NULL || path.failed
                          ? sl_error_no_memory()
                          : client_follow(&client, text, take_line, tapping);
    sl_buffer_free(&path);
    return error;
}

static int run(const struct cli_args *args) {
    struct tapping tapping = {.whole = cli_args_get(args, "--json") != NULL, .left = -1};
    const char *count = cli_args_get(args, "--count");
    if (count != NULL && (!sl_parse_i64(count, strlen(count), &tapping.left) || tapping.left < 1)) {
        return cli_fail(sl_error_new(SL_ERROR_CONFIG,
                                     "--count is \"%s\"; allowed is a number "
                                     "from 1",
                                     count));
    }
    if (strchr(args->operands[0], '.') != NULL && cli_args_get(args, "--output") != NULL) {
        return cli_fail(sl_error_new(
            SL_ERROR_CONFIG, "\"%s\" names an output, and --output does, too", args->operands[0]));
    }
    sl_error *error = follow(args, &tapping);
    if (error == NULL && tapping.unwritten) {
        error = sl_error_new(SL_ERROR_FATAL, "the standard output cannot be written");
    }
    return error == NULL ? CLI_DONE : cli_fail(error);
}

static const struct cli_option options[] = {
    {"--output", "NAME", "of the node's outputs (default: its first); silver.rejects says it, too"},
    {"--input", "NAME", "what it takes from there (a sink, by default: its first input)"},
    {"--rows", "N", "at most so many rows a second, 1 to 500 (default 10)"},
    {"--count", "N", "end after so many lines"},
    CLI_ADMIN_OPTION,
    {"--json", NULL, "print each look whole: where its rows are from, and the rows"},
    {NULL, NULL, NULL}};

const struct cli_command cli_tap_command = {
    .name = "tap",
    .operands = "NODE[.OUTPUT]",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "Print some of the rows that a node of a running sluice sends, as JSON.",
    .details = "A sample of what flows, until Ctrl-C; what the topology's tap.mask names is shown "
               "as \"***\".\nWhere admin.users is set, an operator's token is taken "
               "from " CLIENT_TOKEN ".",
    .options = options,
    .run = run,
};
