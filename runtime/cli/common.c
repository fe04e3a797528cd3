/* What several commands share. */
#include "cli/common.h"

#include "cli/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

sl_error *cli_registry(const struct cli_args *args, struct plugin_registry **out) {
    size_t n;
    const char **paths = cli_args_all(args, "--plugin-path", &n);
    if (paths == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = plugin_registry_new(paths, n, out);
    free(paths);
    return error;
}

sl_error *cli_load(const struct cli_args *args, struct cli_loaded *out) {
    sl_error *error = cli_registry(args, &out->registry);
    out->sets = cli_args_all(args, "--set", &out->options.n_sets);
    out->options.sets = out->sets;
    if (error == NULL && out->sets == NULL) {
        error = sl_error_no_memory();
    }
    if (error == NULL) {
        error = topology_load(args->operands[0], &out->options, out->registry, &out->topology,
                              &out->faults);
    }
    if (error != NULL && topology_faults_errors(out->faults) > 0 &&
        !sl_error_is(error, SL_ERROR_NO_MEMORY)) {
        sl_error_free(error);
        error = NULL;
    }
    return error;
}

void cli_unload(struct cli_loaded *loaded) {
    topology_free(loaded->topology);
    topology_faults_free(loaded->faults);
    plugin_registry_free(loaded->registry);
    free(loaded->sets);
    *loaded = (struct cli_loaded){0};
}

static void print_fault(const char *file, const struct topology_fault *fault, bool colours) {
    const char *colour = !colours ? "" : fault->warning ? "\033[33m" : "\033[31m";
    if (fault->from_set) {
        (void)fprintf(stderr, "--set: ");
    } else if (fault->line > 0) {
        (void)fprintf(stderr, "%s:%d:%d: ", file, fault->line, fault->column);
    } else {
        (void)fprintf(stderr, "%s: ", file);
    }
    (void)fprintf(stderr, "%s%s%s: %s: %s\n", colour, fault->warning ? "warning" : "error",
                  colours ? "\033[0m" : "", fault->path, fault->text);
}

void cli_print_faults(const char *file, const struct topology_faults *faults) {
    bool colours = log_colours(STDERR_FILENO);
    size_t n = topology_faults_count(faults);
    size_t warnings = 0;
    for (size_t i = 0; i < n; i++) {
        const struct topology_fault *fault = topology_faults_at(faults, i);
        warnings += fault->warning ? 1 : 0;
        print_fault(file, fault, colours);
    }
    size_t errors = topology_faults_errors(faults);
    if (errors + warnings > n) {
        (void)fprintf(stderr, "%s: %zu more faults are not shown\n", file, errors + warnings - n);
    }
}

void cli_write_faults(struct json_out *out, const struct topology_faults *faults) {
    json_out_array(out);
    for (size_t i = 0; i < topology_faults_count(faults); i++) {
        const struct topology_fault *fault = topology_faults_at(faults, i);
        json_out_object(out);
        json_out_member(out, "severity", fault->warning ? "warning" : "error");
        json_out_key(out, "line");
        if (fault->line > 0) {
            json_out_integer(out, fault->line);
            json_out_member_integer(out, "column", fault->column);
        } else {
            json_out_string(out, NULL);
            json_out_member(out, "column", NULL);
        }
        json_out_member_bool(out, "set", fault->from_set);
        json_out_member(out, "path", fault->path);
        json_out_member(out, "message", fault->text);
        json_out_end_object(out);
    }
    json_out_end_array(out);
}

int cli_fail(sl_error *error) {
    int status = sl_error_is(error, SL_ERROR_CONFIG) ? CLI_BAD_USAGE : CLI_FAILED;
    (void)fprintf(stderr, "sluice: %s\n", sl_error_message(error));
    sl_error_free(error);
    return status;
}

uint32_t cli_lanes(const struct topology *topology) {
    if (topology->lanes > 0) {
        return topology->lanes;
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 0 && cores <= UINT32_MAX ? (uint32_t)cores : 1;
}

sl_error *cli_print(const sl_buffer *out) {
    return fwrite(out->data, 1, out->bytes, stdout) == out->bytes && fflush(stdout) == 0
               ? NULL
               : sl_error_new(SL_ERROR_FATAL, "the standard output cannot be written");
}
