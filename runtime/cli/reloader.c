/* See reloader.h. Everything happens on the control loop. */
#include "cli/reloader.h"

#include "host/run.h"
#include "report/plan_report.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Looking at the file's name once a second sees it replaced, and finds it on any file system. Who
 * writes into it in place is given time to finish. */
enum { LOOK_EVERY_MS = 1000, SETTLES_MS = 300 };

struct reloader {
    const char *file;
    bool watch;
    const struct host_options *options;
    struct log *log;
    struct host *host; /* NULL: it does not run */
    uv_signal_t hangup;
    uv_fs_poll_t poll;
    uv_timer_t settle;
    bool busy;  /* the host replaces the topology */
    bool again; /* asked for meanwhile */
};

/* SIGHUP came before the run had begun. */
static volatile sig_atomic_t asked_early;

static void note_early(int number) {
    (void)number;
    asked_early = 1;
}

/* On a terminal its end is the end of the run, as ever. */
static bool heeds_hangups(void) {
    return isatty(STDIN_FILENO) == 0;
}

sl_error *reloader_new(const char *file, bool watch, const struct host_options *options,
                       struct log *log, struct reloader **out) {
    struct reloader *reloader = calloc(1, sizeof(*reloader));
    if (reloader == NULL) {
        return sl_error_no_memory();
    }
    *reloader = (struct reloader){.file = file, .watch = watch, .options = options, .log = log};
    *out = reloader;
    if (heeds_hangups()) {
        (void)signal(SIGHUP, note_early);
    }
    return NULL;
}

void reloader_free(struct reloader *reloader) {
    free(reloader);
}

/* ---- reading ---- */

static void log_faults(const struct reloader *reloader, const struct topology_faults *faults) {
    for (size_t i = 0; i < topology_faults_count(faults); i++) {
        const struct topology_fault *fault = topology_faults_at(faults, i);
        log_printf(reloader->log, fault->warning ? SL_LOG_WARN : SL_LOG_ERROR, NULL,
                   "%s:%d: %s: %s", reloader->file, fault->line, fault->path, fault->text);
    }
}

/* The file as a topology; NULL after its faults. */
static struct topology *load(const struct reloader *reloader) {
    const struct host_options *options = reloader->options;
    struct topology *next = NULL;
    struct topology_faults *faults = NULL;
    sl_error *error =
        topology_load(reloader->file, options->load, options->registry, &next, &faults);
    log_faults(reloader, faults);
    topology_faults_free(faults);
    if (error != NULL) {
        log_printf(reloader->log, SL_LOG_ERROR, NULL, "the run goes on as it is: %s",
                   sl_error_message(error));
        sl_error_free(error);
    }
    return next;
}

static bool has_same_text(const struct topology *a, const struct topology *b) {
    return a->text_bytes == b->text_bytes && memcmp(a->text, b->text, a->text_bytes) == 0;
}

/* ---- replacing ---- */

static void log_plan(const struct reloader *reloader, const struct topology_plan *plan) {
    sl_buffer text = SL_BUFFER_INIT;
    plan_text(&text, plan);
    const char *line = sl_buffer_text(&text);
    while (line != NULL && *line != 0) {
        size_t bytes = strcspn(line, "\n");
        log_printf(reloader->log, plan->refusal == NULL ? SL_LOG_INFO : SL_LOG_ERROR, NULL, "%.*s",
                   (int)bytes, line);
        line += line[bytes] == 0 ? bytes : bytes + 1;
    }
    sl_buffer_free(&text);
}

static void read_anew(struct reloader *reloader);

static void done(void *arg, sl_error *error) {
    struct reloader *reloader = arg;
    sl_error_free(error); /* the host has said it */
    reloader->busy = false;
    if (reloader->again && reloader->host != NULL) {
        reloader->again = false;
        read_anew(reloader);
    }
}

/* `next` is taken. */
static void replace(struct reloader *reloader, struct topology *next) {
    struct topology_plan *plan = NULL;
    sl_error *error = host_plan(reloader->host, next, &plan);
    if (error == NULL) {
        log_plan(reloader, plan);
        reloader->busy = plan->refusal == NULL;
    }
    topology_plan_free(plan);
    if (reloader->busy) {
        error = host_reload(reloader->host, next, done, reloader);
        reloader->busy = reloader->busy && error == NULL;
        next = error == NULL ? NULL : next;
    }
    if (error != NULL) {
        log_printf(reloader->log, SL_LOG_ERROR, NULL, "the run goes on as it is: %s",
                   sl_error_message(error));
        sl_error_free(error);
    }
    topology_free(next);
}

static void read_anew(struct reloader *reloader) {
    if (reloader->busy) {
        reloader->again = true;
        return;
    }
    struct topology *next = load(reloader);
    if (next != NULL) {
        replace(reloader, next);
    }
}

/* ---- when ---- */

static void hangs_up(uv_signal_t *handle, int number) {
    struct reloader *reloader = handle->data;
    (void)number;
    log_printf(reloader->log, SL_LOG_INFO, NULL, "SIGHUP: %s is read anew", reloader->file);
    read_anew(reloader);
}

/* What the admin endpoint has written runs already. */
static void has_settled(uv_timer_t *timer) {
    struct reloader *reloader = timer->data;
    if (asked_early != 0) {
        asked_early = 0;
        read_anew(reloader);
        return;
    }
    struct topology *next = reloader->busy ? NULL : load(reloader);
    reloader->again = reloader->again || reloader->busy;
    if (next == NULL || has_same_text(next, host_topology(reloader->host))) {
        topology_free(next);
        return;
    }
    log_printf(reloader->log, SL_LOG_INFO, NULL, "%s has changed", reloader->file);
    replace(reloader, next);
}

static void has_changed(uv_fs_poll_t *poll, int status, const uv_stat_t *before,
                        const uv_stat_t *after) {
    struct reloader *reloader = poll->data;
    (void)before;
    (void)after;
    if (status == 0) { /* else it is away for a moment */
        uv_timer_start(&reloader->settle, has_settled, SETTLES_MS, 0);
    }
}

void reloader_begin(void *arg, struct host *host) {
    struct reloader *reloader = arg;
    uv_loop_t *loop = &host->control.uv;
    reloader->host = host;
    uv_signal_init(loop, &reloader->hangup);
    uv_fs_poll_init(loop, &reloader->poll);
    uv_timer_init(loop, &reloader->settle);
    reloader->hangup.data = reloader->poll.data = reloader->settle.data = reloader;
    if (heeds_hangups()) {
        uv_signal_start(&reloader->hangup, hangs_up, SIGHUP);
    }
    if (asked_early != 0) {
        uv_timer_start(&reloader->settle, has_settled, SETTLES_MS, 0);
    }
    if (reloader->watch) {
        uv_fs_poll_start(&reloader->poll, has_changed, reloader->file, LOOK_EVERY_MS);
    }
}

void reloader_end(void *arg) {
    struct reloader *reloader = arg;
    reloader->host = NULL;
    uv_close((uv_handle_t *)&reloader->hangup, NULL);
    uv_close((uv_handle_t *)&reloader->poll, NULL);
    uv_close((uv_handle_t *)&reloader->settle, NULL);
    if (heeds_hangups()) {
        (void)signal(SIGHUP, SIG_IGN); /* a run that ends is not cut short */
    }
}
