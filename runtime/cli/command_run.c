/* sluice run: loads a topology and hands it to the host, with the log and the progress. */
#include "cli/change.h"
#include "cli/common.h"
#include "cli/log.h"
#include "cli/progress.h"
#include "cli/reloader.h"
#include "host/host.h"
#include "host/network.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* Open files that a medallion needs, and as many again. */
enum { DESCRIPTORS_MIN = 192 };

static void write_log(void *arg, sl_log_level level, const char *node, const char *message) {
    log_write(arg, level, node, message);
}

static sl_log_level get_level(void *log) {
    return log_level(log);
}

static void set_level(void *log, sl_log_level level) {
    log_set_level(log, level);
}

static void mask(const void *topology, sl_buffer *text) {
    topology_mask(topology, text);
}

static void log_network(void *log, bool warning, const char *text) {
    log_write(log, warning ? SL_LOG_WARN : SL_LOG_DEBUG, NULL, text);
}

/* Warnings as log lines, since a run's stderr is its log. */
static void log_warnings(struct log *log, const char *file, const struct topology_faults *faults) {
    for (size_t i = 0; i < topology_faults_count(faults); i++) {
        const struct topology_fault *fault = topology_faults_at(faults, i);
        log_printf(log, SL_LOG_WARN, NULL, "%s:%d: %s: %s", file, fault->line, fault->path,
                   fault->text);
    }
}

static void print_summary(struct progress *progress) {
    const char *summary = progress_summary(progress);
    if (summary != NULL) {
        (void)fputs(summary, stdout);
        (void)fflush(stdout);
    }
}

/* What is said at the end, and the exit status. Once it ran, even a fault that a better topology
 * would avoid is a failed run. */
static int tell_end(struct log *log, sl_error *error, bool ran) {
    if (error == NULL) {
        return CLI_DONE;
    }
    log_write(log, SL_LOG_ERROR, NULL, sl_error_message(error));
    int status = !ran && sl_error_is(error, SL_ERROR_CONFIG) ? CLI_BAD_USAGE : CLI_FAILED;
    sl_error_free(error);
    return status;
}

static int run_topology(const struct cli_args *args, const struct cli_loaded *loaded,
                        struct log *log, struct progress *progress) {
    struct host_options options = {.until_end = cli_args_get(args, "--until-end") != NULL,
                                   .registry = loaded->registry,
                                   .load = &loaded->options,
                                   .log = write_log,
                                   .log_arg = log,
                                   .log_level = get_level,
                                   .set_log_level = set_level,
                                   .progress = progress_update,
                                   .progress_arg = progress,
                                   .progress_interval_ms = progress_interval_ms(log)};
    log_set_mask(log, mask, loaded->topology);
    log_warnings(log, args->operands[0], loaded->faults);
    struct host_outcome outcome = {0};
    options.outcome = &outcome;
    const struct change_options settling = {.host = &options,
                                            .registry = loaded->registry,
                                            .skip = cli_args_get(args, "--skip-replay") != NULL};
    struct change *change = NULL;
    struct targets *targets = NULL;
    struct reloader *reloader = NULL;
    bool stopped = false;
    sl_error *error = network_new(loaded->topology, log_network, log, &options.network);
    error = error != NULL ? error
                          : reloader_new(args->operands[0], cli_args_get(args, "--watch") != NULL,
                                         &options, log, &reloader);
    error = error != NULL ? error : change_settle(loaded->topology, &settling, &change, &stopped);
    if (error == NULL && !stopped) {
        error = change_open_targets(loaded->topology, &options, &targets);
    }
    if (error == NULL && !stopped) {
        options.begin = change == NULL ? NULL : change_begin;
        options.begin_arg = change;
        options.targets = targets;
        options.take_effect = change == NULL ? NULL : change_follow;
        options.take_effect_arg = change;
        options.began = reloader_begin;
        options.ended = reloader_end;
        options.began_arg = reloader;
        error = host_run(loaded->topology, &options);
    }
    reloader_free(reloader);
    change_end(change, error == NULL && outcome.level);
    targets_close(targets);
    network_free(options.network);
    log_set_status(log, NULL);
    print_summary(progress);
    return tell_end(log, error, progress_summary(progress) != NULL);
}

/* The log as the options say; NULL after a sentence on stderr, with *status set. */
static struct log *open_log(const struct cli_args *args, int *status) {
    const char *level_text = cli_args_get(args, "--log-level");
    const char *format_text = cli_args_get(args, "--log-format");
    sl_log_level level = SL_LOG_INFO;
    enum log_format format = LOG_TEXT;
    *status = CLI_BAD_USAGE;
    if (level_text != NULL && !log_parse_level(level_text, &level)) {
        (void)fprintf(stderr, "sluice run: --log-level=%s: allowed are error, warn, info, debug\n",
                      level_text);
        return NULL;
    }
    if (format_text != NULL && !log_parse_format(format_text, &format)) {
        (void)fprintf(stderr, "sluice run: --log-format=%s: allowed are text, json\n", format_text);
        return NULL;
    }
    struct log *log = log_open(STDERR_FILENO, level, format);
    if (log == NULL) {
        *status = cli_fail(sl_error_no_memory());
    }
    return log;
}

/* The soft limit is for programs that call select(); lanes, sinks and connections want the rest.
 * With few descriptors nodes would fail one by one, each after its retries, and libraries less
 * gently. */
static sl_error *raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return NULL;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur >= DESCRIPTORS_MIN
               ? NULL
               : sl_error_new(
                     SL_ERROR_CONFIG,
                     "at most %llu files may be open at a time (\"ulimit -Hn\"), and a run "
                     "needs %d for lanes, connections and tables: raise the limit for the "
                     "user that runs sluice; 1024 is enough for nearly all",
                     (unsigned long long)limit.rlim_cur, DESCRIPTORS_MIN);
}

static int run(const struct cli_args *args) {
    int status;
    sl_error *few = raise_descriptor_limit();
    if (few != NULL) {
        return cli_fail(few);
    }
    struct log *log = open_log(args, &status);
    if (log == NULL) {
        return status;
    }
    struct cli_loaded loaded = {0};
    struct progress *progress = progress_new(log, cli_args_get(args, "--json") != NULL);
    sl_error *error = progress == NULL ? sl_error_no_memory() : cli_load(args, &loaded);
    if (error != NULL) {
        status = cli_fail(error);
    } else if (loaded.topology == NULL) {
        cli_print_faults(args->operands[0], loaded.faults);
        status = CLI_BAD_USAGE;
    } else {
        status = run_topology(args, &loaded, log, progress);
    }
    progress_free(progress);
    log_close(log); /* before the topology, whose secrets it masks */
    cli_unload(&loaded);
    return status;
}

static const struct cli_option options[] = {
    {"--until-end", NULL, "stop at the end of the data there was when the run began"},
    {"--watch", NULL, "read the file anew when it has changed, as SIGHUP has it read"},
    CLI_SET_OPTION,
    CLI_PLUGIN_PATH_OPTION,
    {"--skip-replay", NULL,
     "after a change and an unclean stop: do not finish what was begun before the change"},
    {"--log-level", "LEVEL", "error, warn, info (default) or debug"},
    {"--log-format", "FORMAT", "text (default) or json, one line each"},
    {"--json", NULL, "print the summary as JSON, for programs"},
    {NULL, NULL, NULL}};

const struct cli_command cli_run_command = {
    .name = "run",
    .operands = "TOPOLOGY",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "Run a topology until SIGTERM or SIGINT, or until the end of the data.",
    .details =
        "--set memory.max=1GiB, --set sinks.bronze.config.table=/lake/bronze: a path of names "
        "with\n"
        "dots between; a name that holds a dot and is not known is written in back quotes. The\n"
        "value is JSON if it is, else a string.\n\n"
        "A first signal stops cleanly (drain, flush, commit), a second one at once.\n"
        "Exit codes: 0 done, 1 the run failed, 2 bad topology or usage.",
    .options = options,
    .run = run,
};
