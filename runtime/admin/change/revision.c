/* A change of the topology's document, step by step (see revision.h). */
#include "admin/change/revision.h"

#include "admin/admin.h"
#include "admin/change/history.h"
#include "admin/change/replace.h"
#include "report/plan_report.h"
#include "topology/edit.h"
#include "topology/hidden.h"

#include <stdio.h>
#include <stdlib.h>

struct revision {
    struct admin *admin;
    struct exchange *exchange; /* NULL: the endpoint has ended; the change is finished all the same
                                */
    struct revision_order order; /* its document and text are the arena's */
    struct arena arena;
    const struct topology *now;
    struct topology *next;        /* NULL: the host has it */
    const struct topology *tried; /* the same; of the host's until the run's end */
    struct topology_faults *faults;
    struct topology_plan *plan;
    struct json_value *before; /* the documents as they may be shown */
    struct json_value *after;
    const char *who;
    const char *peer;
    const char *what;
    struct replacement replacement;
    uv_work_t work;
    sl_error *error; /* of the step under way */
    sl_error *history_error;
    bool applied;
    bool is_new;
    int64_t version;
};

/* ---- answers ---- */

static void answer_now(struct exchange *exchange) {
    if (exchange->waits) {
        exchange_finish(exchange);
    }
}

/* "2 faults: ..." on lines of their own. */
static void fail_faults(struct revision *revision) {
    const struct topology_faults *faults = revision->faults;
    size_t errors = topology_faults_errors(faults);
    sl_buffer text = SL_BUFFER_INIT;
    if (revision->order.for_connect) {
        (void)sl_buffer_printf(
            &text,
            "Connector configuration is invalid and contains the following %zu error(s):", errors);
    } else {
        (void)sl_buffer_printf(&text, "the topology has %zu %s:", errors,
                               errors == 1 ? "fault" : "faults");
    }
    for (size_t i = 0; i < topology_faults_count(faults); i++) {
        const struct topology_fault *fault = topology_faults_at(faults, i);
        if (fault->warning) {
            continue;
        }
        (void)sl_buffer_append_byte(&text, '\n');
        if (revision->order.text != NULL && fault->line > 0) {
            (void)sl_buffer_printf(&text, "line %d, column %d: ", fault->line, fault->column);
        }
        (void)sl_buffer_printf(&text, "%s: %s", fault->path, fault->text);
    }
    exchange_fail(revision->exchange, 400, "%s", sl_buffer_text(&text));
    sl_buffer_free(&text);
}

static void fail_error(struct exchange *exchange, sl_error *error) {
    int status = sl_error_is(error, SL_ERROR_CONFLICT) ? 409
                 : sl_error_is(error, SL_ERROR_CONFIG) ? 400
                                                       : 500;
    exchange_fail(exchange, status, "%s", sl_error_message(error));
    sl_error_free(error);
}

/* "changed gold; added x" */
static void note_plan(const struct topology_plan *plan, sl_buffer *note) {
    for (int action = PLAN_CHANGED; action <= PLAN_REMOVED; action++) {
        bool any = false;
        for (size_t i = 0; i < plan->n_nodes; i++) {
            if (plan->nodes[i].action == (enum plan_action)action) {
                (void)sl_buffer_printf(note, "%s%s%s",
                                       any               ? ", "
                                       : note->bytes > 0 ? "; "
                                                         : "",
                                       any ? "" : plan_action_name((enum plan_action)action),
                                       any ? "" : " ");
                (void)sl_buffer_append_text(note, plan->nodes[i].name);
                any = true;
            }
        }
    }
    (void)sl_buffer_append_text(note, note->bytes > 0 ? "" : "no node changes");
}

static void answer_done(struct revision *revision) {
    struct exchange *exchange = revision->exchange;
    const struct revision_result result = {.plan = revision->plan,
                                           .warnings = revision->faults,
                                           .applied = revision->applied,
                                           .version = revision->version,
                                           .node = revision->order.node,
                                           .is_new = revision->is_new};
    note_plan(revision->plan, &exchange->note);
    (void)sl_buffer_append_text(&exchange->note, revision->applied ? "" : " (a dry run)");
    revision->order.answer(exchange, &result);
}

static void free_revision(struct revision *revision) {
    replacement_end(&revision->replacement);
    topology_plan_free(revision->plan);
    topology_faults_free(revision->faults);
    topology_free(revision->next);
    sl_error_free(revision->error);
    sl_error_free(revision->history_error);
    arena_free(&revision->arena);
    free(revision);
}

/* The change is over; `error` (taken; NULL: it was accepted) is the answer. */
static void end(struct revision *revision, sl_error *error) {
    struct admin *admin = revision->admin;
    struct exchange *exchange = revision->exchange;
    if (exchange == NULL) {
        sl_error_free(error);
    } else if (error != NULL) {
        if (revision->plan != NULL) {
            note_plan(revision->plan, &exchange->note);
        }
        fail_error(exchange, error);
    } else {
        answer_done(revision);
    }
    if (exchange != NULL) {
        exchange->abandon = NULL;
        answer_now(exchange);
    }
    admin->revision = NULL;
    free_revision(revision);
    admin_release(admin);
}

static void abandoned(struct exchange *exchange) {
    ((struct revision *)exchange->waiter)->exchange = NULL;
}

/* What is wanted of a node that the change adds. */
static void set_target(struct revision *revision, enum target target) {
    struct targets *targets = revision->admin->host->options->targets;
    if (revision->order.node != NULL && revision->is_new && targets != NULL) {
        sl_error_free(targets_set(targets, revision->order.node, target));
    }
}

/* ---- the end: the file and the history ---- */

static void finish_work(uv_work_t *work) {
    struct revision *revision = work->data;
    const char *why = revision->error == NULL ? "applied" : sl_error_message(revision->error);
    if (revision->error == NULL) {
        revision->error = replacement_commit(&revision->replacement);
        revision->applied = true;
    }
    struct json_out plan = {0};
    plan_json(&plan, revision->plan);
    const struct history_entry entry = {.who = revision->who,
                                        .peer = revision->peer,
                                        .what = revision->what,
                                        .result = why,
                                        .plan = sl_buffer_text(&plan.text),
                                        .document = revision->after};
    revision->history_error = history_add(revision->now, revision->admin->host->network,
                                          revision->before, &entry, &revision->version);
    sl_buffer_free(&plan.text);
}

static void finished(uv_work_t *work, int status) {
    struct revision *revision = work->data;
    (void)status;
    if (revision->history_error != NULL) {
        host_log(revision->admin->host, SL_LOG_WARN, "admin", "the history of the topology: %s",
                 sl_error_message(revision->history_error));
    }
    sl_error *error = revision->error;
    revision->error = NULL;
    if (error != NULL && revision->applied) {
        error = sl_error_wrap(error, "the change runs, but a restart would run what was before");
    }
    end(revision, error);
}

static void finish(struct revision *revision, sl_error *error) {
    revision->error = error;
    uv_queue_work(&revision->admin->host->control.uv, &revision->work, finish_work, finished);
}

/* ---- the middle: the host reloads ---- */

/* What has failed may tell of secrets that only the next topology knows. */
static sl_error *mask_error(const struct topology *tried, sl_error *error) {
    sl_buffer text = SL_BUFFER_INIT;
    (void)sl_buffer_append_text(&text, sl_error_message(error));
    topology_mask(tried, &text);
    const char *masked = sl_buffer_text(&text);
    sl_error *made = masked != NULL ? sl_error_new(sl_error_get_class(error), "%s", masked)
                                    : sl_error_no_memory();
    sl_error_free(error);
    sl_buffer_free(&text);
    return made;
}

static void reloaded(void *arg, sl_error *error) {
    struct revision *revision = arg;
    if (error != NULL) {
        set_target(revision, TARGET_RUNNING);
        error = mask_error(revision->tried, error);
    }
    finish(revision, error);
}

static void prepare_work(uv_work_t *work) {
    struct revision *revision = work->data;
    const struct topology *next = revision->next;
    revision->error = replacement_prepare(&revision->replacement, next->file, revision->now->text,
                                          revision->now->text_bytes, next->text, next->text_bytes);
}

static void prepared(uv_work_t *work, int status) {
    struct revision *revision = work->data;
    (void)status;
    sl_error *error = revision->error;
    revision->error = NULL;
    if (error == NULL && revision->admin->host->draining) {
        error = sl_error_new(SL_ERROR_CONFLICT, "the run ends");
    }
    if (error != NULL) {
        end(revision, error);
        return;
    }
    struct topology *next = revision->next;
    revision->tried = next;
    revision->next = NULL;
    set_target(revision, revision->order.target);
    error = host_reload(revision->admin->host, next, reloaded, revision);
    if (error != NULL) { /* nothing has begun */
        revision->next = next;
        set_target(revision, TARGET_RUNNING);
        end(revision, error);
    }
}

/* ---- the beginning: is it good? ---- */

/* The next document's text, with what was shown as "***" put back. */
static bool compose(struct revision *revision, sl_buffer *text) {
    struct json_value *now = hidden_parse(&revision->arena, revision->now);
    bool restored = now != NULL && hidden_restore(revision->now, now, revision->order.document);
    if (revision->order.text != NULL && !restored) {
        return now != NULL &&
               sl_buffer_append(text, revision->order.text, revision->order.text_bytes);
    }
    struct json_out out = {0};
    json_print(&out, revision->order.document);
    (void)sl_buffer_append_byte(&out.text, '\n');
    *text = out.text;
    return now != NULL && !text->failed;
}

/* False after an answer. */
static bool load(struct revision *revision) {
    struct host *host = revision->admin->host;
    sl_buffer text = SL_BUFFER_INIT;
    sl_error *error = sl_error_no_memory();
    if (compose(revision, &text)) {
        error = topology_load_text((const char *)text.data, text.bytes, revision->now->file,
                                   revision->now->directory, host->options->load,
                                   host->options->registry, &revision->next, &revision->faults);
    }
    sl_buffer_free(&text);
    if (error == NULL) {
        return true;
    }
    if (revision->faults != NULL && topology_faults_errors(revision->faults) > 0) {
        fail_faults(revision);
        sl_error_free(error);
    } else {
        fail_error(revision->exchange, error);
    }
    return false;
}

/* False after an answer. */
static bool hide(struct revision *revision) {
    struct arena *arena = &revision->arena;
    revision->before = hidden_parse(arena, revision->now);
    revision->after = hidden_parse(arena, revision->next);
    const char *left =
        revision->after == NULL ? NULL : hidden_left(arena, revision->next, revision->after);
    if (arena->failed || revision->before == NULL || revision->after == NULL) {
        fail_error(revision->exchange, sl_error_no_memory());
        return false;
    }
    if (left != NULL) {
        exchange_fail(revision->exchange, 400,
                      "%s: \"***\" stands for the secret that is there, and there is none: write "
                      "its value, or a reference as ${env:NAME}",
                      left);
        return false;
    }
    hidden_hide(revision->now, revision->before);
    hidden_hide(revision->next, revision->after);
    return true;
}

/* False after an answer. */
static bool plan(struct revision *revision) {
    sl_error *error = host_plan(revision->admin->host, revision->next, &revision->plan);
    if (error != NULL) {
        fail_error(revision->exchange, error);
        return false;
    }
    if (revision->plan->refusal != NULL && !revision->order.dry_run) {
        /* Connect's clients ask again after a 409 */
        bool for_good = revision->order.for_connect && !revision->plan->refused_for_now;
        exchange_fail(revision->exchange, for_good ? 400 : 409, "%s", revision->plan->refusal);
        return false;
    }
    return true;
}

/* What the change needs beyond the call that began it. False when memory is short. */
static bool keep(struct revision *revision, const struct exchange *exchange,
                 const struct revision_order *order) {
    struct arena *arena = &revision->arena;
    revision->exchange = (struct exchange *)(uintptr_t)exchange;
    revision->order = *order;
    revision->order.node = order->node == NULL ? NULL : arena_text(arena, order->node);
    revision->who = arena_text(arena, exchange->user != NULL ? exchange->user->name : "somebody");
    revision->peer = arena_text(arena, exchange->peer);
    revision->what = arena_printf(arena, "%s %s", exchange->method, exchange->path);
    revision->work.data = revision;
    return !arena->failed;
}

/* Whether the order says what is so already. */
static bool is_nothing(const struct revision *revision) {
    const struct topology *now = revision->now;
    const struct topology *next = revision->next;
    bool same_text =
        now->text_bytes == next->text_bytes && memcmp(now->text, next->text, now->text_bytes) == 0;
    return revision->plan->same && json_same(revision->before, revision->after) &&
           (same_text || revision->order.text == NULL);
}

static bool is_node(const struct host *host, const char *name) {
    for (size_t i = 0; name != NULL && i < host->n_nodes; i++) {
        if (strcmp(host->nodes[i]->spec->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* True when the change goes on; else it is answered. */
static bool settle(struct revision *revision) {
    if (!load(revision) || !hide(revision) || !plan(revision)) {
        return false;
    }
    bool nothing = is_nothing(revision);
    if (revision->order.dry_run || nothing) {
        revision->applied = nothing && !revision->order.dry_run;
        answer_done(revision);
        return false;
    }
    return true;
}

void revision_begin(struct exchange *exchange, const struct revision_order *order) {
    struct admin *admin = exchange->host->admin;
    struct revision *revision = calloc(1, sizeof(*revision));
    if (admin->revision != NULL) {
        exchange_fail(exchange, 409, "another change of the topology is under way");
    } else if (revision == NULL || !keep(revision, exchange, order)) {
        exchange_fail(exchange, 500, "memory is short");
    } else {
        revision->admin = admin;
        revision->now = admin->host->topology;
        revision->is_new = !is_node(admin->host, revision->order.node);
        if (settle(revision)) {
            if (!exchange->waits) {
                exchange_wait(exchange);
            }
            exchange->abandon = abandoned;
            exchange->waiter = revision;
            admin->revision = revision;
            admin->holders++;
            uv_queue_work(&admin->host->control.uv, &revision->work, prepare_work, prepared);
            return;
        }
    }
    if (revision != NULL) {
        free_revision(revision);
    }
    answer_now(exchange);
}
