/* sluice status: what the running sluice does, once. */
#include "cli/client.h"
#include "cli/common.h"
#include "cli/log.h"
#include "cli/status_table.h"

#include <stdio.h>
#include <unistd.h>

static sl_error *print_table(const sl_buffer *answer) {
    cJSON *status = cJSON_ParseWithLength((const char *)answer->data, answer->bytes);
    sl_buffer out = SL_BUFFER_INIT;
    sl_error *error = status_table(status, NULL, log_colours(STDOUT_FILENO), &out);
    if (error == NULL) {
        error = cli_print(&out);
    }
    sl_buffer_free(&out);
    cJSON_Delete(status);
    return error;
}

static int run_status(const struct cli_args *args) {
    const struct client client = client_of(args);
    sl_buffer answer = SL_BUFFER_INIT;
    sl_error *error = client_ask(&client, "GET", "/v1/status", &answer);
    if (error == NULL) {
        error = cli_args_get(args, "--json") != NULL ? cli_print(&answer) : print_table(&answer);
    }
    sl_buffer_free(&answer);
    return error == NULL ? CLI_DONE : cli_fail(error);
}

static const struct cli_option status_options[] = {
    CLI_ADMIN_OPTION, CLI_JSON_OPTION, {NULL, NULL, NULL}};

const struct cli_command cli_status_command = {
    .name = "status",
    .summary = "Print what each node of a running sluice does.",
    .details =
        "ROWS/S: of the last five seconds. BUFFER: how full the fullest input is. P50, P99: from "
        "read to\ndurable. HELD BACK BY: the nodes whose full inputs a node waits for.\n\n"
        "Where admin.users is set, a user's token is taken from " CLIENT_TOKEN ".",
    .options = status_options,
    .run = run_status,
};
