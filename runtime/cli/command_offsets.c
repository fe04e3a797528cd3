/* sluice offsets: the durable positions of a node of a running sluice. */
#include "cli/client.h"
#include "cli/common.h"

#include <cjson/cJSON.h>

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

static int run(const struct cli_args *args) {
    const struct client client = client_of(args);
    sl_buffer path = SL_BUFFER_INIT;
    sl_buffer answer = SL_BUFFER_INIT;
    sl_buffer_append_text(&path, "/connectors/");
    client_append_part(&path, args->operands[0]);
    sl_buffer_append_text(&path, "/offsets");
    const char *text = sl_buffer_text(&path);
    sl_error *error =
        text != NULL ? client_ask(&client, "GET", text, &answer) : sl_error_no_memory();
    if (error == NULL) {
        error = cli_args_get(args, "--json") != NULL ? cli_print(&answer) : print_table(&answer);
    }
    sl_buffer_free(&answer);
    sl_buffer_free(&path);
    return error == NULL ? CLI_DONE : cli_fail(error);
}

static const struct cli_option options[] = {CLI_ADMIN_OPTION, CLI_JSON_OPTION, {NULL, NULL, NULL}};

const struct cli_command cli_offsets_command = {
    .name = "offsets",
    .operands = "NODE",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "Print the durable positions of a node of a running sluice.",
    .details = "The next offset that the node needs of each partition that this host has; of a "
               "source, that of\nits slowest reader. Where admin.users is set, a user's token is "
               "taken from " CLIENT_TOKEN ".",
    .options = options,
    .run = run,
};
