/* See change.h. */
#include "cli/change.h"

#include "host/retry.h"
#include "host/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

SL_PRINTF(3, 4)
static void say(const struct host_options *host, sl_log_level level, const char *format, ...) {
    char text[4096];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    host->log(host->log_arg, level, NULL, text);
}

/* ---- the state store, tried again as every store is ---- */

/* After an error that may pass waits and returns true; the error is then freed. */
static bool wait_to_retry(const struct topology *topology, const struct host_options *options,
                          struct retry *retry, sl_error *error) {
    struct host host = {.settings = topology, .options = options}; /* that is to come */
    if (!retry_allowed(&host, retry, error)) {
        return false;
    }
    uint64_t pause_ms = retry_pause_ms(&host, retry, NULL, "the state store", error);
    struct timespec pause = {.tv_sec = (time_t)(pause_ms / 1000),
                             .tv_nsec = (long)(pause_ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
    return true;
}

static sl_error *open_editions(const struct topology *topology, const struct host_options *host,
                               struct editions **out) {
    struct retry retry = {0};
    for (;;) {
        sl_error *error = editions_open(topology, host->network, out);
        if (error == NULL || !wait_to_retry(topology, host, &retry, error)) {
            return error;
        }
    }
}

sl_error *change_open_targets(const struct topology *topology, const struct host_options *host,
                              struct targets **out) {
    struct retry retry = {0};
    for (;;) {
        sl_error *error = targets_open(topology, host->network, out);
        if (error == NULL || !wait_to_retry(topology, host, &retry, error)) {
            return error;
        }
    }
}

static sl_error *repeat(const struct topology *topology, const struct host_options *host,
                        sl_error *(*step)(struct editions *), struct editions *editions) {
    struct retry retry = {0};
    for (;;) {
        sl_error *error = step(editions);
        if (error == NULL || !wait_to_retry(topology, host, &retry, error)) {
            return error;
        }
    }
}

/* ---- catching up ---- */

/* By node of `then`: whether it has changed or reads what comes of a node that has. */
static bool *find_affected(const struct topology *then, const struct edition_change *change) {
    bool *affected = calloc(then->n_nodes + 1, sizeof(*affected));
    for (size_t i = 0; i < then->n_nodes && affected != NULL; i++) {
        const struct topology_node *node = &then->nodes[i];
        for (size_t k = 0; k < change->n_nodes; k++) {
            affected[i] = affected[i] || strcmp(node->name, change->nodes[k]) == 0;
        }
        for (size_t k = 0; k < node->n_inputs; k++) {
            affected[i] = affected[i] || affected[node->inputs[k].from];
        }
    }
    return affected;
}

/* All readers go together, for there is an end in sight. */
static void join_branches(struct topology *then) {
    for (size_t i = 0; i < then->n_nodes; i++) {
        for (size_t k = 0; k < then->nodes[i].n_inputs; k++) {
            struct topology_edge *edge = &then->nodes[i].inputs[k];
            edge->when_full = edge->when_full == TOPOLOGY_DETACH ? TOPOLOGY_BLOCK : edge->when_full;
        }
    }
}

/* `remedy`: what to do if there is something to finish; NULL: it can be. */
static sl_error *run_then(const struct topology *then, const struct edition_change *change,
                          const struct change_options *options, const char *remedy, bool *stopped) {
    bool *affected = find_affected(then, change);
    if (affected == NULL) {
        return sl_error_no_memory();
    }
    struct host_outcome outcome = {0};
    struct host_options host = {.until_end = true,
                                .registry = options->registry,
                                .catch_up = affected,
                                .catch_up_refused = remedy,
                                .outcome = &outcome,
                                .network = options->host->network,
                                .log = options->host->log,
                                .log_arg = options->host->log_arg};
    sl_error *error = host_run(then, &host);
    *stopped = outcome.signalled;
    free(affected);
    return error;
}

static sl_error *describe_fault(const struct topology_faults *faults, sl_error *error) {
    for (size_t i = 0; i < topology_faults_count(faults); i++) {
        const struct topology_fault *fault = topology_faults_at(faults, i);
        if (!fault->warning) {
            sl_error_free(error);
            return sl_error_new(SL_ERROR_CONFIG, "%s: %s", fault->path, fault->text);
        }
    }
    return error;
}

/* What another version of a plugin had begun it alone can finish. Into `text`; NULL: all plugins
 * are of the same version. */
static const char *find_remedy(const struct edition_change *change, char *text, size_t bytes) {
    if (change->plugins == NULL) {
        return NULL;
    }
    (void)snprintf(text, bytes,
                   "install %s again, run the old configuration until it has stopped cleanly, then "
                   "upgrade",
                   change->plugins);
    return text;
}

static sl_error *catch_up(struct edition *last, const struct topology *topology,
                          const struct edition_change *change, int64_t number,
                          const struct change_options *options, bool *stopped) {
    struct topology *then = NULL;
    struct topology_faults *faults = NULL;
    char text[512];
    const char *remedy = find_remedy(change, text, sizeof(text));
    sl_error *error = edition_restore(last, topology, options->registry, &then, &faults);
    if (error != NULL) {
        error = describe_fault(faults, error);
        /* an option of that version alone, which the operator may never have written */
        error = remedy == NULL ? error : sl_error_wrap(error, "%s", remedy);
    } else {
        join_branches(then);
        error = run_then(then, change, options, remedy, stopped);
    }
    topology_faults_free(faults);
    topology_free(then);
    if (error == NULL) {
        return NULL;
    }
    return sl_error_wrap(error,
                         "the configuration has changed since edition %lld: %s; a run before did "
                         "not end cleanly, and what it left half done could not be finished as it "
                         "was begun (--skip-replay gives that up)",
                         (long long)number, change->text);
}

/* ---- the whole ---- */

/* Deals with a change that makes a difference to rows. */
static sl_error *settle_rows(const struct topology *topology, const struct change_options *options,
                             struct edition *last, int64_t number, bool uneven,
                             const struct edition_change *change, bool *stopped) {
    const struct host_options *host = options->host;
    say(host, SL_LOG_INFO, "the configuration has changed since edition %lld: %s",
        (long long)number, change->text);
    if (!uneven) {
        return NULL;
    }
    if (options->skip) {
        say(host, SL_LOG_WARN,
            "--skip-replay: what a run before did not finish is read again under the changed "
            "configuration; rows of it may be lost or double");
        return NULL;
    }
    say(host, SL_LOG_INFO,
        "a run before did not end cleanly: what it left half done is finished first, as it was "
        "begun");
    return catch_up(last, topology, change, number, options, stopped);
}

struct change {
    const struct topology *topology;
    const struct host_options *host;
    struct editions *editions;
    bool same;  /* the last edition is this one */
    bool began; /* the run is known in the store */
};

static sl_error *settle(struct change *change, const struct change_options *options,
                        bool *stopped) {
    struct edition_change what = {0};
    int64_t number;
    struct edition *last = editions_last(change->editions, &number);
    sl_error *error = last == NULL ? NULL : edition_compare(last, change->topology, &what);
    change->same = what.same;
    if (error == NULL && what.text != NULL) {
        error = settle_rows(change->topology, options, last, number,
                            editions_uneven(change->editions), &what, stopped);
    }
    return error;
}

static void change_free(struct change *change) {
    editions_close(change->editions);
    free(change);
}

sl_error *change_settle(const struct topology *topology, const struct change_options *options,
                        struct change **out, bool *stopped) {
    *out = NULL;
    *stopped = false;
    if (topology->state_url == NULL) {
        return NULL;
    }
    struct change *change = calloc(1, sizeof(*change));
    if (change == NULL) {
        return sl_error_no_memory();
    }
    change->topology = topology;
    change->host = options->host;
    sl_error *error = open_editions(topology, options->host, &change->editions);
    error = error != NULL ? error : settle(change, options, stopped);
    if (error != NULL || *stopped) {
        change_free(change);
        return error;
    }
    *out = change;
    return NULL;
}

sl_error *change_begin(void *arg) {
    struct change *change = arg;
    sl_error *error = change->same
                          ? NULL
                          : repeat(change->topology, change->host, editions_add, change->editions);
    if (error == NULL) {
        error = repeat(change->topology, change->host, editions_run_begins, change->editions);
    }
    change->began = error == NULL;
    return error;
}

sl_error *change_follow(void *arg, const struct topology *next) {
    struct change *change = arg;
    sl_error *error = editions_follow(change->editions, next);
    return error == NULL ? NULL : sl_error_wrap(error, "the edition of the configuration");
}

void change_end(struct change *change, bool level) {
    if (change == NULL) {
        return;
    }
    sl_error *error = change->began && level ? editions_run_ended_level(change->editions) : NULL;
    if (error != NULL) {
        say(change->host, SL_LOG_WARN, "%s", sl_error_message(error));
        sl_error_free(error);
    }
    change_free(change);
}
