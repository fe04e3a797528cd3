/* sluice version */
#include "cli/common.h"

#include <stdio.h>

static int run(const struct cli_args *args) {
    if (cli_args_get(args, "--json") != NULL) {
        struct json_out out = {0};
        json_out_object(&out);
        json_out_member(&out, "version", SL_VERSION);
        json_out_key(&out, "plugin_abi");
        json_out_object(&out);
        json_out_member_integer(&out, "major", SL_ABI_MAJOR);
        json_out_member_integer(&out, "minor", SL_ABI_MINOR);
        json_out_end_object(&out);
        json_out_end_object(&out);
        return json_out_print(&out) ? CLI_DONE : CLI_FAILED;
    }
    (void)printf("sluice %s, plugin ABI %d.%d\n", SL_VERSION, SL_ABI_MAJOR, SL_ABI_MINOR);
    return CLI_DONE;
}

static const struct cli_option options[] = {CLI_JSON_OPTION, {NULL, NULL, NULL}};

const struct cli_command cli_version_command = {
    .name = "version",
    .summary = "Print the version of sluice and of its plugin ABI.",
    .options = options,
    .run = run,
};
