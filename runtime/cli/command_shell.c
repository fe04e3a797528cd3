/*
 * What `make install` puts beside the program: completion for shells, and the manual page. All of
 * it comes from the commands' tables, so that it says what --help says.
 */
#include "cli/common.h"

#include <ctype.h>
#include <stdio.h>

static const struct cli_option *options_of(const struct cli_command *command) {
    static const struct cli_option none[] = {{NULL, NULL, NULL}};
    return command->options != NULL ? command->options : none;
}

static bool is_path(const char *value) {
    return value != NULL && (strcmp(value, "FILE") == 0 || strcmp(value, "FOLDER") == 0);
}

/* ---- bash ---- */

static void print_bash(const struct cli_command *const *commands, size_t n) {
    (void)printf("# bash completion of sluice\n_sluice() {\n"
                 "  local word=\"${COMP_WORDS[COMP_CWORD]}\" options=\n"
                 "  if [ \"$COMP_CWORD\" = 1 ]; then\n    COMPREPLY=($(compgen -W '");
    for (size_t i = 0; i < n; i++) {
        (void)printf("%s ", commands[i]->name);
    }
    (void)printf("help' -- \"$word\"))\n    return\n  fi\n  case \"${COMP_WORDS[1]}\" in\n");
    for (size_t i = 0; i < n; i++) {
        (void)printf("    %s) options='", commands[i]->name);
        for (const struct cli_option *o = options_of(commands[i]); o->name != NULL; o++) {
            (void)printf("%s ", o->name);
        }
        (void)printf("--help' ;;\n");
    }
    (void)printf("  esac\n  case \"$word\" in\n"
                 "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
                 "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n  esac\n}\n"
                 "complete -o filenames -F _sluice sluice\n");
}

/* ---- zsh ---- */

/* Within single quotes, and where _arguments has brackets and colons for itself. */
static void print_zsh_text(const char *text) {
    for (; *text != 0; text++) {
        if (*text == '\'') {
            (void)fputs("'\\''", stdout);
        } else if (strchr("[]:\\", *text) != NULL) {
            (void)printf("\\%c", *text);
        } else {
            (void)putchar(*text);
        }
    }
}

static void print_zsh_option(const struct cli_option *option) {
    (void)printf(" \\\n        '*%s[", option->name);
    print_zsh_text(option->doc);
    (void)printf("]");
    if (option->value != NULL) {
        (void)printf(":%s:%s", option->value, is_path(option->value) ? "_files" : "");
    }
    (void)printf("'");
}

static void print_zsh(const struct cli_command *const *commands, size_t n) {
    (void)printf("#compdef sluice\n# zsh completion of sluice\n_sluice() {\n"
                 "  local -a commands\n  commands=(\n");
    for (size_t i = 0; i < n; i++) {
        (void)printf("    '%s:", commands[i]->name);
        print_zsh_text(commands[i]->summary);
        (void)printf("'\n");
    }
    (void)printf("  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n"
                 "    return\n  fi\n  local command=\"${words[2]}\"\n  shift words\n"
                 "  (( CURRENT-- ))\n  case \"$command\" in\n");
    for (size_t i = 0; i < n; i++) {
        (void)printf("    %s)\n      _arguments", commands[i]->name);
        for (const struct cli_option *o = options_of(commands[i]); o->name != NULL; o++) {
            print_zsh_option(o);
        }
        (void)printf(" \\\n        '--help[print this text]' '*:operand:_files' ;;\n");
    }
    (void)printf("  esac\n}\n_sluice \"$@\"\n");
}

/* ---- the manual page ---- */

/* Text that man shows as it is: '-' is no hyphen to break at, a line's first '.' no request. */
static void print_roff(const char *text) {
    bool first = true;
    for (; *text != 0; text++) {
        if (first && (*text == '.' || *text == '\'')) {
            (void)fputs("\\&", stdout);
        }
        first = *text == '\n';
        if (*text == '\\') {
            (void)fputs("\\e", stdout);
        } else if (*text == '-') {
            (void)fputs("\\-", stdout);
        } else {
            (void)putchar(*text);
        }
    }
}

static void print_man_option(const char *name, const char *value, const char *doc) {
    (void)printf(".TP\n.B ");
    print_roff(name);
    if (value != NULL) {
        (void)printf(" \\fI%s\\fR", value);
    }
    (void)putchar('\n');
    print_roff(doc);
    (void)putchar('\n');
}

static void print_man_command(const struct cli_command *command) {
    (void)printf(".SS sluice ");
    print_roff(command->name);
    if (command->operands != NULL) {
        (void)printf(" \\fI%s\\fR", command->operands);
    }
    (void)putchar('\n');
    print_roff(command->summary);
    (void)putchar('\n');
    for (const struct cli_option *o = options_of(command); o->name != NULL; o++) {
        print_man_option(o->name, o->value, o->doc);
    }
    if (command->details != NULL) {
        (void)printf(".PP\n");
        print_roff(command->details);
        (void)putchar('\n');
    }
}

static int run_man(const struct cli_args *args) {
    (void)args;
    size_t n;
    const struct cli_command *const *commands = cli_commands(&n);
    (void)printf(".TH SLUICE 1 \"\" \"sluice %s\" \"User Commands\"\n"
                 ".SH NAME\nsluice \\- moves streams of events through plugins into tables\n"
                 ".SH SYNOPSIS\n.B sluice\n\\fICOMMAND\\fR [\\fIOPTION\\fR]... "
                 "[\\fIOPERAND\\fR]...\n.SH COMMANDS\n",
                 SL_VERSION);
    for (size_t i = 0; i < n; i++) {
        print_man_command(commands[i]);
    }
    (void)printf(".SH EXIT STATUS\n0 done, 1 the run failed, 2 bad topology or usage.\n");
    return fflush(stdout) == 0 ? CLI_DONE : CLI_FAILED;
}

static const struct cli_option no_options[] = {{NULL, NULL, NULL}};

const struct cli_command cli_man_command = {
    .name = "man",
    .summary = "Print the manual page: sluice man | man -l -",
    .options = no_options,
    .run = run_man,
};

/* ---- completion ---- */

static int run_completion(const struct cli_args *args) {
    size_t n;
    const struct cli_command *const *commands = cli_commands(&n);
    if (strcmp(args->operands[0], "bash") == 0) {
        print_bash(commands, n);
    } else if (strcmp(args->operands[0], "zsh") == 0) {
        print_zsh(commands, n);
    } else {
        return cli_fail(sl_error_new(SL_ERROR_CONFIG,
                                     "no completion for \"%s\"; there is one for "
                                     "bash and one for zsh",
                                     args->operands[0]));
    }
    return fflush(stdout) == 0 ? CLI_DONE : CLI_FAILED;
}

const struct cli_command cli_completion_command = {
    .name = "completion",
    .operands = "SHELL",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "Print what completes sluice's command line in a shell: bash, zsh.",
    .details = "For this session: source <(sluice completion bash)",
    .options = no_options,
    .run = run_completion,
};
