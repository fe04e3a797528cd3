/* sluice logs: the last lines of a running sluice's log. sluice bundle: what a helper wants to
 * know of it. */
#include "cli/client.h"
#include "cli/common.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

/* ---- logs ---- */

struct printing {
    bool json;
    int64_t last; /* the number of the last event that was printed */
};

/* Anybody may have made an event's text: what a terminal would obey becomes a blank. */
static bool print_plain(const char *text) {
    for (; text != NULL && *text != 0; text++) {
        unsigned char c = (unsigned char)*text;
        if (putchar(c < 0x20 || c == 0x7f ? ' ' : c) == EOF) {
            return false;
        }
    }
    return true;
}

static bool print_event(const struct printing *printing, const cJSON *event) {
    if (printing->json) {
        char *text = cJSON_PrintUnformatted(event);
        bool good = text != NULL && printf("%s\n", text) >= 0;
        cJSON_free(text);
        return good;
    }
    const char *level = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(event, "level"));
    const char *time = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(event, "time"));
    const char *node = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(event, "node"));
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(event, "message"));
    char upper[8] = "";
    for (size_t i = 0; level != NULL && level[i] != 0 && i < sizeof(upper) - 1; i++) {
        upper[i] = (char)toupper((unsigned char)level[i]);
        upper[i + 1] = 0;
    }
    return printf("%s %-5s ", time != NULL ? time : "", upper) >= 0 && print_plain(node) &&
           print_plain(node != NULL ? ": " : "") && print_plain(text) && putchar('\n') != EOF;
}

static sl_error *print_new(const struct client *client, struct printing *printing) {
    char path[64];
    sl_buffer answer = SL_BUFFER_INIT;
    (void)snprintf(path, sizeof(path), "/v1/events?after=%lld", (long long)printing->last);
    sl_error *error = client_ask(client, "GET", path, &answer);
    cJSON *events =
        error == NULL ? cJSON_ParseWithLength((const char *)answer.data, answer.bytes) : NULL;
    bool good = true;
    const cJSON *event = NULL;
    cJSON_ArrayForEach(event, events) {
        good = print_event(printing, event) && good;
        printing->last =
            (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(event, "number"));
    }
    if (error == NULL && (!good || fflush(stdout) != 0)) {
        error = sl_error_new(SL_ERROR_FATAL, "the standard output cannot be written");
    }
    cJSON_Delete(events);
    sl_buffer_free(&answer);
    return error;
}

static int run_logs(const struct cli_args *args) {
    const struct client client = client_of(args);
    const struct timespec second = {.tv_sec = 1};
    struct printing printing = {.json = cli_args_get(args, "--json") != NULL};
    sl_error *error = print_new(&client, &printing);
    while (error == NULL && cli_args_get(args, "--follow") != NULL) {
        (void)nanosleep(&second, NULL);
        error = print_new(&client, &printing);
    }
    return error == NULL ? CLI_DONE : cli_fail(error);
}

static const struct cli_option logs_options[] = {
    {"--follow", NULL, "go on with the lines that come, until Ctrl-C"},
    CLI_ADMIN_OPTION,
    CLI_JSON_OPTION,
    {NULL, NULL, NULL}};

const struct cli_command cli_logs_command = {
    .name = "logs",
    .summary = "Print the last lines of a running sluice's log.",
    .details = "Its last 500 lines of level INFO and above. Where admin.users is set, a user's "
               "token is taken\nfrom " CLIENT_TOKEN ".",
    .options = logs_options,
    .run = run_logs,
};

/* ---- bundle ---- */

static sl_error *write_file(const char *path, const sl_buffer *text) {
    FILE *file = fopen(path, "wxe");
    if (file == NULL) {
        return sl_error_new(SL_ERROR_FATAL, "%s cannot be made: %s", path,
                            errno == EEXIST ? "it exists, and nothing is overwritten"
                                            : strerror(errno));
    }
    bool good = fwrite(text->data, 1, text->bytes, file) == text->bytes;
    good = fclose(file) == 0 && good;
    return good ? NULL : sl_error_new(SL_ERROR_FATAL, "%s cannot be written", path);
}

static int run_bundle(const struct cli_args *args) {
    const struct client client = client_of(args);
    sl_buffer answer = SL_BUFFER_INIT;
    sl_error *error = client_ask(&client, "GET", "/v1/bundle", &answer);
    if (error == NULL && args->n_operands > 0) {
        error = write_file(args->operands[0], &answer);
    } else if (error == NULL && (fwrite(answer.data, 1, answer.bytes, stdout) != answer.bytes ||
                                 fflush(stdout) != 0)) {
        error = sl_error_new(SL_ERROR_FATAL, "the standard output cannot be written");
    }
    sl_buffer_free(&answer);
    return error == NULL ? CLI_DONE : cli_fail(error);
}

static const struct cli_option bundle_options[] = {CLI_ADMIN_OPTION, {NULL, NULL, NULL}};

const struct cli_command cli_bundle_command = {
    .name = "bundle",
    .operands = "[FILE]",
    .max_operands = 1,
    .summary = "Write what somebody who helps wants to know of a running sluice, as JSON.",
    .details = "Its topology with secrets masked, every number, the last lines of its log, the "
               "plugins, the\nmachine; no rows, but for what the log quotes of them. Into FILE, "
               "which is made, or to the\nstandard output. Where admin.users is set, an operator's "
               "token is taken from " CLIENT_TOKEN ".",
    .options = bundle_options,
    .run = run_bundle,
};
