/*
 * sluice plan: what a topology would change, in a running sluice or against another file. sluice
 * apply: changes it.
 */
#include "cli/client.h"
#include "cli/common.h"
#include "report/plan_report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- in a running sluice ---- */

static sl_error *read_file(const char *path, sl_buffer *out) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return sl_error_new(SL_ERROR_CONFIG, "%s cannot be read: %s", path, strerror(errno));
    }
    char chunk[16384];
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0) {
        (void)sl_buffer_append(out, chunk, n);
    }
    sl_error *error = ferror(file) != 0 ? sl_error_new(SL_ERROR_CONFIG, "%s cannot be read: %s",
                                                       path, strerror(errno))
                      : out->failed     ? sl_error_no_memory()
                                        : NULL;
    (void)fclose(file);
    return error;
}

static int put(const struct cli_args *args, const char *path) {
    const struct client client = client_of(args);
    sl_buffer text = SL_BUFFER_INIT;
    sl_buffer answer = SL_BUFFER_INIT;
    sl_error *error = read_file(args->operands[0], &text);
    if (error == NULL) {
        const struct client_request request = {
            .method = "PUT",
            .path = path,
            .accept = cli_args_get(args, "--json") != NULL ? NULL : "text/plain",
            .body = text.data != NULL ? (const char *)text.data : "",
            .body_bytes = text.bytes};
        error = client_send(&client, &request, &answer);
    }
    error = error != NULL ? error : cli_print(&answer);
    sl_buffer_free(&answer);
    sl_buffer_free(&text);
    return error == NULL ? CLI_DONE : cli_fail(error);
}

/* ---- against another file ---- */

/* A file that is to be good; its faults go to stderr, and *status is then CLI_BAD_USAGE. */
static sl_error *load(const char *file, const struct topology_options *options,
                      struct plugin_registry *registry, struct topology **out, int *status) {
    struct topology_faults *faults = NULL;
    sl_error *error = topology_load(file, options, registry, out, &faults);
    if (error != NULL && topology_faults_errors(faults) > 0) {
        cli_print_faults(file, faults);
        *status = CLI_BAD_USAGE;
        sl_error_free(error);
        error = NULL;
    }
    topology_faults_free(faults);
    return error;
}

static sl_error *print_plan(const struct cli_args *args, const struct topology *old,
                            const struct topology *next) {
    struct topology_plan *plan = NULL;
    sl_error *error = topology_plan_new(old, next, &plan);
    if (error != NULL) {
        return error;
    }
    struct json_out out = {0};
    if (cli_args_get(args, "--json") != NULL) {
        plan_json(&out, plan);
        (void)sl_buffer_append_byte(&out.text, '\n');
    } else {
        plan_text(&out.text, plan);
    }
    error = out.text.failed ? sl_error_no_memory() : cli_print(&out.text);
    sl_buffer_free(&out.text);
    topology_plan_free(plan);
    return error;
}

static int compare(const struct cli_args *args, const char *from) {
    struct plugin_registry *registry = NULL;
    struct topology *old = NULL;
    struct topology *next = NULL;
    int status = CLI_DONE;
    struct topology_options options = {0};
    const char **sets = cli_args_all(args, "--set", &options.n_sets);
    options.sets = sets;
    sl_error *error = sets == NULL ? sl_error_no_memory() : cli_registry(args, &registry);
    error = error != NULL ? error : load(from, &options, registry, &old, &status);
    error = error != NULL ? error : load(args->operands[0], &options, registry, &next, &status);
    if (error == NULL && old != NULL && next != NULL) {
        error = print_plan(args, old, next);
    }
    free((void *)sets);
    topology_free(next);
    topology_free(old);
    plugin_registry_free(registry);
    return error == NULL ? status : cli_fail(error);
}

/* ---- the commands ---- */

static int run_plan(const struct cli_args *args) {
    const char *from = cli_args_get(args, "--from");
    return from != NULL ? compare(args, from) : put(args, "/v1/topology?dry_run=true");
}

static int run_apply(const struct cli_args *args) {
    return put(args, "/v1/topology");
}

static const struct cli_option plan_options[] = {
    {"--from", "OLD", "compare with this file instead of asking a running sluice"},
    {"--set", "NAME=VALUE", "with --from: change both, as sluice run does"},
    CLI_PLUGIN_PATH_OPTION,
    CLI_ADMIN_OPTION,
    CLI_JSON_OPTION,
    {NULL, NULL, NULL}};

const struct cli_command cli_plan_command = {
    .name = "plan",
    .operands = "TOPOLOGY",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "Print what a topology would change in a running sluice.",
    .details = "Nodes that are the same are kept, and notice nothing. Where admin.users is set, an "
               "admin's\ntoken is taken from " CLIENT_TOKEN ".",
    .options = plan_options,
    .run = run_plan,
};

static const struct cli_option apply_options[] = {
    CLI_ADMIN_OPTION, CLI_JSON_OPTION, {NULL, NULL, NULL}};

const struct cli_command cli_apply_command = {
    .name = "apply",
    .operands = "TOPOLOGY",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "Let a running sluice go on with another topology.",
    .details = "Returns when the topology runs and the file that sluice was started with holds it; "
               "or says\nwhy not, and then everything is as before. Where admin.users is set, an "
               "admin's token is\ntaken from " CLIENT_TOKEN ".",
    .options = apply_options,
    .run = run_apply,
};
