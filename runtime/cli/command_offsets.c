/* sluice offsets: the durable positions of a node of a running sluice, and their change. */
#include "cli/client.h"
#include "cli/common.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>

static const cJSON *inner(const cJSON *entry, const char *part, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(entry, part), key);
}

static sl_error *print_table(const sl_buffer *answer) {
    cJSON *root = cJSON_ParseWithLength((const char *)answer->data, answer->bytes);
    const cJSON *entry = NULL;
    sl_buffer out = SL_BUFFER_INIT;
    sl_buffer_printf(&out, "%-40s %9s %16s\n", "TOPIC", "PARTITION", "NEXT OFFSET");
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(root, "offsets")) {
        const cJSON *topic = inner(entry, "partition", "kafka_topic");
        const cJSON *partition = inner(entry, "partition", "kafka_partition");
        const cJSON *offset = inner(entry, "offset", "kafka_offset");
        sl_buffer_printf(&out, "%-40s %9.0f %16.0f\n",
                         cJSON_IsString(topic) ? topic->valuestring : "",
                         cJSON_GetNumberValue(partition), cJSON_GetNumberValue(offset));
    }
    sl_error *error = out.failed ? sl_error_no_memory() : cli_print(&out);
    sl_buffer_free(&out);
    cJSON_Delete(root);
    return error;
}

/* "TOPIC/PARTITION=OFFSET" as one of Connect's offsets; false when it is none. */
static bool append_offset(const char *text, bool first, sl_buffer *body) {
    const char *slash = strrchr(text, '/');
    const char *equals = slash == NULL ? NULL : strchr(slash, '=');
    int64_t partition;
    int64_t offset;
    if (equals == NULL || slash == text ||
        !sl_parse_i64(slash + 1, (size_t)(equals - slash) - 1, &partition) ||
        !sl_parse_i64(equals + 1, strlen(equals + 1), &offset) || partition < 0 || offset < 0) {
        return false;
    }
    sl_buffer_printf(body, "%s{\"partition\":{\"kafka_topic\":", first ? "" : ",");
    (void)sl_buffer_append_json_string(body, text, (size_t)(slash - text));
    sl_buffer_printf(body,
                     ",\"kafka_partition\":%" PRId64 "},\"offset\":{\"kafka_offset\":%" PRId64 "}}",
                     partition, offset);
    return true;
}

/* The body of a change; empty when nothing is to be changed. */
static sl_error *compose(const struct cli_args *args, sl_buffer *body) {
    size_t n;
    const char **wanted = cli_args_all(args, "--to", &n);
    sl_error *error = wanted == NULL ? sl_error_no_memory() : NULL;
    if (error == NULL && n > 0) {
        sl_buffer_append_text(body, "{\"offsets\":[");
    }
    for (size_t i = 0; i < n && error == NULL; i++) {
        if (!append_offset(wanted[i], i == 0, body)) {
            error =
                sl_error_new(SL_ERROR_CONFIG,
                             "--to=%s: an offset is given as TOPIC/PARTITION=OFFSET", wanted[i]);
        }
    }
    if (error == NULL && n > 0) {
        sl_buffer_append_text(body, "]}");
    }
    free((void *)wanted);
    return error != NULL || !body->failed ? error : sl_error_no_memory();
}

/* PATCH with what --to says, DELETE with --reset, else nothing. */
static sl_error *change(const struct cli_args *args, const struct client *client,
                        const char *path) {
    sl_buffer body = SL_BUFFER_INIT;
    sl_buffer answer = SL_BUFFER_INIT;
    bool resets = cli_args_get(args, "--reset") != NULL;
    sl_error *error = compose(args, &body);
    if (error == NULL && resets && body.bytes > 0) {
        error = sl_error_new(SL_ERROR_CONFIG, "--reset and --to exclude each other");
    } else if (error == NULL && resets) {
        error = client_ask(client, "DELETE", path, &answer);
    } else if (error == NULL && body.bytes > 0) {
        const struct client_request request = {.method = "PATCH",
                                               .path = path,
                                               .body = (const char *)body.data,
                                               .body_bytes = body.bytes};
        error = client_send(client, &request, &answer);
    }
    sl_buffer_free(&answer);
    sl_buffer_free(&body);
    return error;
}

static int run(const struct cli_args *args) {
    const struct client client = client_of(args);
    sl_buffer path = SL_BUFFER_INIT;
    sl_buffer answer = SL_BUFFER_INIT;
    sl_buffer_append_text(&path, "/connectors/");
    client_append_part(&path, args->operands[0]);
    sl_buffer_append_text(&path, "/offsets");
    const char *text = sl_buffer_text(&path);
    sl_error *error = text != NULL ? change(args, &client, text) : sl_error_no_memory();
    error = error != NULL ? error : client_ask(&client, "GET", text, &answer);
    if (error == NULL) {
        error = cli_args_get(args, "--json") != NULL ? cli_print(&answer) : print_table(&answer);
    }
    sl_buffer_free(&answer);
    sl_buffer_free(&path);
    return error == NULL ? CLI_DONE : cli_fail(error);
}

static const struct cli_option options[] = {
    {"--reset", NULL, "of a stopped node: forget them first; it begins where its start says"},
    {"--to", "TOPIC/N=OFFSET", "of a stopped node: go on there; may be repeated"},
    CLI_ADMIN_OPTION,
    CLI_JSON_OPTION,
    {NULL, NULL, NULL}};

const struct cli_command cli_offsets_command = {
    .name = "offsets",
    .operands = "NODE",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "Print, or change, the durable positions of a node of a running sluice.",
    .details = "The next offset that the node needs of each partition that this host has; of a "
               "source, that of\nits slowest reader. They are changed only while the node is "
               "stopped, and only where the host\nkeeps them: those of a table lie in its commits. "
               "Where admin.users is set, a user's token is\ntaken from " CLIENT_TOKEN
               ", and an admin's for a change.",
    .options = options,
    .run = run,
};
