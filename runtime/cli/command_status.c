/* sluice status: what the running sluice does, once. sluice restart: one node of it. */
#include "cli/client.h"
#include "cli/common.h"
#include "cli/log.h"
#include "cli/status_table.h"

#include <stdio.h>
#include <unistd.h>

/* ---- status ---- */

static sl_error *print(const sl_buffer *out) {
    return fwrite(out->data, 1, out->bytes, stdout) == out->bytes && fflush(stdout) == 0
               ? NULL
               : sl_error_new(SL_ERROR_FATAL, "the standard output cannot be written");
}

static sl_error *print_table(const sl_buffer *answer) {
    cJSON *status = cJSON_ParseWithLength((const char *)answer->data, answer->bytes);
    sl_buffer out = SL_BUFFER_INIT;
    sl_error *error = status_table(status, NULL, log_colours(STDOUT_FILENO), &out);
    if (error == NULL) {
        error = print(&out);
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
        error = cli_args_get(args, "--json") != NULL ? print(&answer) : print_table(&answer);
    }
    sl_buffer_free(&answer);
    return error == NULL ? CLI_DONE : cli_fail(error);
}

static const struct cli_option status_options[] = {
    CLI_ADMIN_OPTION, CLI_JSON_OPTION, {NULL, NULL, NULL}};

const struct cli_command cli_status_command = {
    .name = "status",
    .summary = "Print what each node of a running sluice does.",
    .details = "ROWS/S: since the run began. BUFFER: how full the fullest input is. P50, P99: from "
               "read to\ndurable. HELD BACK BY: the nodes whose full inputs a node waits for.\n\n"
               "Where admin.users is set, a user's token is taken from " CLIENT_TOKEN ".",
    .options = status_options,
    .run = run_status,
};

/* ---- restart ---- */

static int run_restart(const struct cli_args *args) {
    const struct client client = client_of(args);
    sl_buffer path = SL_BUFFER_INIT;
    sl_buffer answer = SL_BUFFER_INIT;
    sl_buffer_append_text(&path, "/connectors/");
    client_append_part(&path, args->operands[0]);
    sl_buffer_append_text(&path, "/restart");
    const char *text = sl_buffer_text(&path);
    sl_error *error =
        text != NULL ? client_ask(&client, "POST", text, &answer) : sl_error_no_memory();
    sl_buffer_free(&answer);
    sl_buffer_free(&path);
    return error == NULL ? CLI_DONE : cli_fail(error);
}

static const struct cli_option restart_options[] = {CLI_ADMIN_OPTION, {NULL, NULL, NULL}};

const struct cli_command cli_restart_command = {
    .name = "restart",
    .operands = "NODE",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "Restart a node of a running sluice, failed or not; the others go on.",
    .details =
        "Returns once the restart has begun; sluice status tells how it ends. Where admin.users is "
        "set,\nan operator's token is taken from " CLIENT_TOKEN ".",
    .options = restart_options,
    .run = run_restart,
};
