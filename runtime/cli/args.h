/*
 * The command line: commands with described options, from which come parsing, errors and --help.
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_BAD_USAGE = 2 };

struct cli_option {
    const char *name;  /* "--set"; NULL ends the list */
    const char *value; /* what stands for its value in --help; NULL: a flag */
    const char *doc;
};

/* One option as given, in order. */
struct cli_given {
    const struct cli_option *option;
    const char *value; /* NULL: a flag */
};

struct cli_args {
    struct cli_given *given;
    size_t n_given;
    const char **operands;
    size_t n_operands;
    bool help; /* --help or -h was among them */
};

struct cli_command {
    const char *name;
    const char *operands; /* "TOPOLOGY", "[PLUGIN]", or NULL */
    size_t min_operands;
    size_t max_operands;
    const char *summary;
    const char *details; /* paragraphs below the options, or NULL */
    const struct cli_option *options;
    int (*run)(const struct cli_args *args);
};

/*
 * Reads argv[0..argc) (what follows the command's name). Returns CLI_DONE, or CLI_BAD_USAGE after a
 * sentence on stderr. Free with cli_args_free in either case.
 */
int cli_args_parse(const struct cli_command *command, int argc, char *const *argv,
                   struct cli_args *out);
void cli_args_free(struct cli_args *args);

/* The last value of an option, or NULL; for a flag, its name when it was given. */
const char *cli_args_get(const struct cli_args *args, const char *name);
/* All values of an option, in order; a malloced array, *n of them. NULL when memory is short. */
const char **cli_args_all(const struct cli_args *args, const char *name, size_t *n);

void cli_print_help(const struct cli_command *command);

#endif /* CLI_ARGS_H */
