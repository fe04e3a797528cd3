/* The calls that an assignment makes to nodes: each is tried again while it may pass, and leaves
 * its answer with the stream or its readers. */
#include "delivery/accounts.h"
#include "delivery/assignment_steps.h"
#include "delivery/keeper.h"
#include "lane/branch.h"

#include <stdlib.h>

enum { OVERTAKEN_MAX = 5 };

void calls_free(struct assignment *a) {
    while (a->calls != NULL) {
        struct call *call = a->calls;
        a->calls = call->next;
        free(call->readers);
        free(call->positions);
        free(call);
    }
}

struct call *call_new(struct assignment *a, enum call_kind kind, struct host_node *node) {
    struct call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        if (a->error == NULL) {
            a->error = sl_error_no_memory();
        }
        return NULL;
    }
    call->kind = kind;
    call->assignment = a;
    call->node = node;
    call->next = a->calls;
    a->calls = call;
    return call;
}

static void call_again(void *arg);

/* A lane knows of one of its streams. */
static bool is_entered(const struct assignment *a) {
    bool entered = false;
    for (size_t i = 0; i < a->n_streams; i++) {
        entered = entered || a->streams[i]->entered;
    }
    return entered;
}

/* A revocation may not wait for what fails now and is tried again: this assignment begins anew
 * behind it, as long as no lane knows of it. */
static bool must_make_way(const struct assignment *a, const sl_error *error) {
    return sl_error_is(error, SL_ERROR_RETRIABLE) && !is_entered(a) &&
           assignment_revocation_behind(a) != NULL;
}

/*
 * Somebody else has gone on from the stored positions meanwhile, and what the node needed for the
 * one that it answered is gone: all are asked anew. Not for ever: after some times in a row the
 * positions are not what is wrong.
 */
static bool must_ask_anew(const struct call *call, const sl_error *error) {
    struct assignment *a = call->assignment;
    if (!sl_error_is(error, SL_ERROR_CONFLICT) || call->node == a->owner || is_entered(a) ||
        a->host->draining) {
        return false;
    }
    call->node->overtaken += a->overtaken ? 0 : 1; /* all its streams may be refused at once */
    a->overtaken = true;
    if (call->node->overtaken < OVERTAKEN_MAX) {
        return true;
    }
    call->node->overtaken = 0;
    return false;
}

void call_failed(struct call *call, sl_error *error) {
    struct assignment *a = call->assignment;
    if (call->node != a->owner && !a->host->draining) {
        host_node_failed(call->node, error);
    } else if (a->error == NULL) {
        a->error = error;
    } else {
        sl_error_free(error);
    }
}

const char *call_name(const struct call *call) {
    static const char *const steps[] = {[CALL_RECOVER] = "asking for positions",
                                        [CALL_RESOLVE] = "asking for the start",
                                        [CALL_BOUNDS] = "asking for the bounds",
                                        [CALL_STORE_START] = "storing the start",
                                        [CALL_RESUME] = "resuming"};
    return steps[call->kind];
}

static void call_finished(sl_request *request, sl_error *error) {
    struct call *call = (struct call *)(void *)((char *)request - offsetof(struct call, request));
    struct assignment *a = call->assignment;
    call->asked_us = 0;
    if (call->late) {
        patience_answered(call, error);
        return;
    }
    if (a->unheard && error != NULL) {
        sl_error_free(error);
    } else if (error != NULL && must_make_way(a, error)) {
        a->put_off = true;
        sl_error_free(error);
    } else if (error != NULL && must_ask_anew(call, error)) {
        host_log(a->host, SL_LOG_WARN, call->node->spec->name,
                 "%s: %s; the positions are asked for once more", call_name(call),
                 sl_error_message(error));
        a->put_off = true;
        sl_error_free(error);
    } else if (error != NULL && host_try_again(a->host, &call->retry, call->node->spec->name,
                                               call_name(call), error, call_again, call)) {
        return;
    } else if (error != NULL) {
        call_failed(call, sl_error_wrap(error, "%s", call_name(call)));
    } else if (call->kind == CALL_RECOVER) {
        const sl_position *answers = call->positions + call->n;
        for (size_t i = 0; i < call->n; i++) {
            struct reader *reader = call->readers[i];
            reader->stored = call->positions[i].from;
            if (reader->count_keys[0] != NULL) {
                accounts_answer(reader, answers);
                answers += TALLIES;
            }
        }
    } else if (call->kind == CALL_RESOLVE) {
        call->stream->offset = call->offset;
    } else if (call->kind == CALL_STORE_START) {
        for (size_t i = 0; i < call->n; i++) {
            call->readers[i]->stored = call->positions[i].to;
        }
    } else if (call->kind == CALL_BOUNDS) {
        /* they are where they belong */
    } else if (call->reader != NULL) {
        call->reader->handle = call->handle;
    } else {
        call->stream->handle = call->handle;
    }
    call->answered = true;
    a->outstanding--;
    assignment_go_on(a);
}

/* Where the stream begins for the node that resumes. */
static int64_t begin_of(const struct call *call) {
    return call->reader == NULL ? call->stream->offset : call->reader->begins;
}

static void call_run(void *arg) {
    struct call *call = arg;
    struct host_node *host_node = call->node; /* the call is gone once the plugin has ended it */
    const sl_node_ops *ops = host_node->ops;
    sl_node *node = host_node->opened->node;
    struct object_clock clock = object_enter(&host_node->object);
    switch (call->kind) {
    case CALL_RECOVER:
        ops->recover(node, call->positions, call->n_positions, &call->request);
        break;
    case CALL_RESOLVE:
        ops->resolve(node, &call->stream->pub, &call->offset, &call->request);
        break;
    case CALL_BOUNDS:
        ops->bounds(node, &call->stream->pub, &call->stream->earliest, &call->stream->latest,
                    &call->request);
        break;
    case CALL_STORE_START:
        ops->commit(node, &call->commit, &call->request);
        break;
    case CALL_RESUME:
        ops->resume(node, &call->stream->pub, begin_of(call), call->offset, &call->handle,
                    &call->request);
        break;
    }
    object_leave(&host_node->object, clock);
}

/* The keeper of a sink answers in its place. */
static void call_again(void *arg) {
    struct call *call = arg;
    struct host_node *node = call->node;
    patience_begin(call);
    if (node->keeper != NULL && call->kind == CALL_RECOVER) {
        keeper_recover(node->keeper, call->positions, call->n_positions, &call->request);
    } else if (node->keeper != NULL && call->kind == CALL_STORE_START) {
        keeper_store(node->keeper, call->positions, call->n_positions, &call->request);
    } else {
        loop_post(node->object.loop, &call->message, call_run, call);
    }
}

void call_start(struct call *call) {
    call->assignment->outstanding++;
    call->request.home = &call->assignment->host->control;
    call->request.finish = call_finished;
    call_again(call);
}
