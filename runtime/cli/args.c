/* Parsing the command line and printing its help. */
#include "cli/args.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

#define MAX_OPTIONS 64

static const struct cli_option *find_option(const struct cli_command *command, const char *name,
                                            size_t bytes) {
    for (const struct cli_option *o = command->options; o != NULL && o->name != NULL; o++) {
        if (strlen(o->name) == bytes && memcmp(o->name, name, bytes) == 0) {
            return o;
        }
    }
    return NULL;
}

SL_PRINTF(2, 3)
static int usage_error(const struct cli_command *command, const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)fprintf(stderr, "sluice %s: ", command->name);
    (void)vfprintf(stderr, format, args);
    (void)fprintf(stderr, "\nTry: sluice %s --help\n", command->name);
    va_end(args);
    return CLI_BAD_USAGE;
}

static int unknown_option(const struct cli_command *command, const char *text, size_t bytes) {
    const char *names[MAX_OPTIONS];
    size_t n = 0;
    for (const struct cli_option *o = command->options;
         o != NULL && o->name != NULL && n < MAX_OPTIONS; o++) {
        names[n++] = o->name;
    }
    char name[64];
    (void)snprintf(name, sizeof(name), "%.*s", (int)bytes, text);
    const char *nearest = sl_nearest_name(name, names, n);
    if (nearest != NULL) {
        return usage_error(command, "unknown option %s; did you mean %s?", name, nearest);
    }
    return usage_error(command, "unknown option %s", name);
}

/* One option at argv[*i]; moves *i past its value. */
static int read_option(const struct cli_command *command, int argc, char *const *argv, int *i,
                       struct cli_args *out) {
    const char *text = argv[*i];
    size_t bytes = strcspn(text, "=");
    const struct cli_option *option = find_option(command, text, bytes);
    const char *value = text[bytes] == '=' ? text + bytes + 1 : NULL;
    if (option == NULL) {
        return unknown_option(command, text, bytes);
    }
    if (option->value == NULL && value != NULL) {
        return usage_error(command, "%s takes no value", option->name);
    }
    if (option->value != NULL && value == NULL) {
        if (*i + 1 >= argc) {
            return usage_error(command, "%s needs a value: %s", option->name, option->value);
        }
        value = argv[++*i];
    }
    out->given[out->n_given++] = (struct cli_given){option, value};
    return CLI_DONE;
}

int cli_args_parse(const struct cli_command *command, int argc, char *const *argv,
                   struct cli_args *out) {
    *out = (struct cli_args){0};
    out->given = calloc((size_t)argc + 1, sizeof(*out->given));
    out->operands = calloc((size_t)argc + 1, sizeof(*out->operands));
    if (out->given == NULL || out->operands == NULL) {
        (void)fprintf(stderr, "sluice: out of memory\n");
        return CLI_FAILED;
    }
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        const char *text = argv[i];
        if (!only_operands && strcmp(text, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0)) {
            out->help = true;
            return CLI_DONE;
        } else if (!only_operands && text[0] == '-' && text[1] != 0) {
            int status = read_option(command, argc, argv, &i, out);
            if (status != CLI_DONE) {
                return status;
            }
        } else {
            out->operands[out->n_operands++] = text;
        }
    }
    if (out->n_operands < command->min_operands) {
        return usage_error(command, "%s is missing", command->operands);
    }
    if (out->n_operands > command->max_operands) {
        return usage_error(command, "unexpected \"%s\"", out->operands[command->max_operands]);
    }
    return CLI_DONE;
}

void cli_args_free(struct cli_args *args) {
    free(args->given);
    free(args->operands);
    *args = (struct cli_args){0};
}

const char *cli_args_get(const struct cli_args *args, const char *name) {
    for (size_t i = args->n_given; i-- > 0;) {
        const struct cli_given *given = &args->given[i];
        if (strcmp(given->option->name, name) == 0) {
            return given->value == NULL ? given->option->name : given->value;
        }
    }
    return NULL;
}

const char **cli_args_all(const struct cli_args *args, const char *name, size_t *n) {
    const char **values = calloc(args->n_given + 1, sizeof(*values));
    *n = 0;
    for (size_t i = 0; i < args->n_given && values != NULL; i++) {
        if (strcmp(args->given[i].option->name, name) == 0) {
            values[(*n)++] = args->given[i].value;
        }
    }
    return values;
}

static void print_option(const char *name, const char *value, const char *doc) {
    char left[64];
    (void)snprintf(left, sizeof(left), "%s%s%s", name, value == NULL ? "" : " ",
                   value == NULL ? "" : value);
    (void)printf("  %-26s %s\n", left, doc);
}

void cli_print_help(const struct cli_command *command) {
    bool options = command->options != NULL && command->options[0].name != NULL;
    (void)printf("Usage: sluice %s%s%s%s\n\n%s\n", command->name, options ? " [OPTION]..." : "",
                 command->operands == NULL ? "" : " ",
                 command->operands == NULL ? "" : command->operands, command->summary);
    (void)printf("\nOptions:\n");
    for (const struct cli_option *o = command->options; o != NULL && o->name != NULL; o++) {
        print_option(o->name, o->value, o->doc);
    }
    print_option("--help", NULL, "print this text");
    if (command->details != NULL) {
        (void)printf("\n%s\n", command->details);
    }
}
