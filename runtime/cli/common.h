/* What several commands share: options, loading a topology, printing its faults. */
#ifndef CLI_COMMON_H
#define CLI_COMMON_H

#include "cli/args.h"
#include "report/json_out.h"
#include "topology/topology.h"

#define CLI_SET_OPTION                                                                             \
    { "--set", "NAME=VALUE", "change the topology: a.b.c=value; JSON if it is, else a string" }
#define CLI_PLUGIN_PATH_OPTION                                                                     \
    { "--plugin-path", "FOLDER", "search this folder for plugins first; may be repeated" }
#define CLI_JSON_OPTION                                                                            \
    { "--json", NULL, "print JSON for programs" }

/* A topology with what belongs to it. Zero-initialise; cli_unload in any case. */
struct cli_loaded {
    struct plugin_registry *registry;
    struct topology *topology; /* NULL: faults say why */
    struct topology_faults *faults;
    const char **sets;               /* of --set */
    struct topology_options options; /* that it was loaded with */
};

/* Loads the file that is operand 0. NULL when it loads or its faults are listed; else an error that
 * is not the topology's (memory). */
sl_error *cli_load(const struct cli_args *args, struct cli_loaded *out);
void cli_unload(struct cli_loaded *loaded);

/* A registry with the folders of --plugin-path. */
sl_error *cli_registry(const struct cli_args *args, struct plugin_registry **out);

/* One line for each fault and warning on stderr, "FILE:LINE:COLUMN: error: PATH: TEXT". */
void cli_print_faults(const char *file, const struct topology_faults *faults);
/* The same as a JSON array. */
void cli_write_faults(struct json_out *out, const struct topology_faults *faults);

/* Prints "sluice: MESSAGE" to stderr, frees the error; CLI_BAD_USAGE for a CONFIG error, else
 * CLI_FAILED. */
int cli_fail(sl_error *error);

/* Writes it to the standard output. */
sl_error *cli_print(const sl_buffer *out);

/* Lanes that a run would have. */
uint32_t cli_lanes(const struct topology *topology);

/* All of them, in the order of --help. */
const struct cli_command *const *cli_commands(size_t *n);

extern const struct cli_command cli_logs_command;
extern const struct cli_command cli_bundle_command;
extern const struct cli_command cli_completion_command;
extern const struct cli_command cli_man_command;
extern const struct cli_command cli_run_command;
extern const struct cli_command cli_validate_command;
extern const struct cli_command cli_inspect_command;
extern const struct cli_command cli_status_command;
extern const struct cli_command cli_top_command;
extern const struct cli_command cli_tap_command;
extern const struct cli_command cli_pause_command;
extern const struct cli_command cli_resume_command;
extern const struct cli_command cli_stop_command;
extern const struct cli_command cli_restart_command;
extern const struct cli_command cli_plan_command;
extern const struct cli_command cli_apply_command;
extern const struct cli_command cli_offsets_command;
extern const struct cli_command cli_admin_user_command;
extern const struct cli_command cli_version_command;

#endif /* CLI_COMMON_H */
