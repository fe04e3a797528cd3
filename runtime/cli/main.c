/* sluice: finds the command and runs it. Exit codes: 0, 1 the run failed, 2 bad topology or usage.
 */
#include "cli/common.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct cli_command *const commands[] = {
    &cli_run_command,        &cli_validate_command, &cli_inspect_command, &cli_status_command,
    &cli_top_command,        &cli_tap_command,      &cli_pause_command,   &cli_resume_command,
    &cli_stop_command,       &cli_restart_command,  &cli_plan_command,    &cli_apply_command,
    &cli_offsets_command,    &cli_logs_command,     &cli_bundle_command,  &cli_admin_user_command,
    &cli_completion_command, &cli_man_command,      &cli_version_command,
};

const struct cli_command *const *cli_commands(size_t *n) {
    *n = SL_ARRAY_LENGTH(commands);
    return commands;
}

static void print_overview(FILE *out) {
    (void)fprintf(out, "sluice moves streams of events through plugins into tables.\n\n"
                       "Usage: sluice COMMAND [OPTION]... [OPERAND]...\n\nCommands:\n");
    for (size_t i = 0; i < SL_ARRAY_LENGTH(commands); i++) {
        const struct cli_command *c = commands[i];
        char left[64];
        (void)snprintf(left, sizeof(left), "%s %s", c->name,
                       c->operands == NULL ? "" : c->operands);
        (void)fprintf(out, "  %-20s %s\n", left, c->summary);
    }
    (void)fprintf(out, "\nsluice COMMAND --help tells more about a command.\n"
                       "Exit codes: 0 done, 1 the run failed, 2 bad topology or usage.\n");
}

static const struct cli_command *find_command(const char *name) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(commands); i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

static int unknown_command(const char *name) {
    const char *names[SL_ARRAY_LENGTH(commands)];
    for (size_t i = 0; i < SL_ARRAY_LENGTH(commands); i++) {
        names[i] = commands[i]->name;
    }
    const char *nearest = sl_nearest_name(name, names, SL_ARRAY_LENGTH(commands));
    if (nearest != NULL) {
        (void)fprintf(stderr, "sluice: unknown command \"%s\"; did you mean \"%s\"?\n", name,
                      nearest);
    } else {
        (void)fprintf(stderr, "sluice: unknown command \"%s\"\n", name);
    }
    (void)fprintf(stderr, "Try: sluice --help\n");
    return CLI_BAD_USAGE;
}

static int run_command(const struct cli_command *command, int argc, char *const *argv) {
    struct cli_args args;
    int status = cli_args_parse(command, argc, argv, &args);
    if (status == CLI_DONE && args.help) {
        cli_print_help(command);
    } else if (status == CLI_DONE) {
        status = command->run(&args);
    }
    cli_args_free(&args);
    return status;
}

int main(int argc, char **argv) {
    /* a reader that goes away (| head) is an error of that write, not the end of a run */
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        print_overview(stderr);
        return CLI_BAD_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_overview(stdout);
        return CLI_DONE;
    }
    if (strcmp(name, "help") == 0) {
        const struct cli_command *about = argc > 2 ? find_command(argv[2]) : NULL;
        if (about != NULL) {
            cli_print_help(about);
        } else if (argc > 2) {
            return unknown_command(argv[2]);
        } else {
            print_overview(stdout);
        }
        return CLI_DONE;
    }
    const struct cli_command *command =
        strcmp(name, "--version") == 0 ? &cli_version_command : find_command(name);
    return command == NULL ? unknown_command(name) : run_command(command, argc - 2, argv + 2);
}
