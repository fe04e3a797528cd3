/* sluice pause, resume, stop, restart: an order for one node of a running sluice. */
#include "cli/client.h"
#include "cli/common.h"

static sl_error *ask(const struct client *client, const char *node, const char *method,
                     const char *what, sl_buffer *answer) {
    sl_buffer path = SL_BUFFER_INIT;
    sl_buffer_append_text(&path, "/connectors/");
    client_append_part(&path, node);
    sl_buffer_printf(&path, "/%s", what);
    const char *text = sl_buffer_text(&path);
    sl_error *error =
        text != NULL ? client_ask(client, method, text, answer) : sl_error_no_memory();
    sl_buffer_free(&path);
    return error;
}

static int order(const struct cli_args *args, const char *method, const char *what) {
    const struct client client = client_of(args);
    const char *node = args->operands[0];
    sl_buffer answer = SL_BUFFER_INIT;
    sl_error *error = ask(&client, node, method, what, &answer);
    if (error == NULL && cli_args_get(args, "--json") != NULL) {
        sl_buffer_free(&answer);
        error = ask(&client, node, "GET", "status", &answer);
        error = error != NULL ? error : cli_print(&answer);
    }
    sl_buffer_free(&answer);
    return error == NULL ? CLI_DONE : cli_fail(error);
}

static int run_pause(const struct cli_args *args) {
    return order(args, "PUT", "pause");
}

static int run_resume(const struct cli_args *args) {
    return order(args, "PUT", "resume");
}

static int run_stop(const struct cli_args *args) {
    return order(args, "PUT", "stop");
}

static int run_restart(const struct cli_args *args) {
    return order(args, "POST", "restart");
}

static const struct cli_option options[] = {
    CLI_ADMIN_OPTION,
    {"--json", NULL, "print the node's state as JSON, as it is when the order has been given"},
    {NULL, NULL, NULL}};

#define ORDER(NAME, SUMMARY)                                                                       \
    const struct cli_command cli_##NAME##_command = {                                              \
        .name = #NAME,                                                                             \
        .operands = "NODE",                                                                        \
        .min_operands = 1,                                                                         \
        .max_operands = 1,                                                                         \
        .summary = (SUMMARY),                                                                      \
        .details = "Returns once that has begun; sluice status tells how it ends. Where "          \
                   "admin.users is set,\nan operator's token is taken from " CLIENT_TOKEN ".",     \
        .options = options,                                                                        \
        .run = run_##NAME,                                                                         \
    }

ORDER(pause, "Let rows flow past a node of a running sluice, once what it has is committed.");
ORDER(resume, "Let a paused or stopped node of a running sluice go on.");
ORDER(stop, "Pause a node of a running sluice, and close it.");
ORDER(restart, "Restart a node of a running sluice, failed or not; the others go on.");
