/*
 * Calls that are not answered. A node that hangs where a stream comes holds back all that read it,
 * and every stream that waits its turn: after a while it has FAILED, and the others go on without
 * it. Its call is set apart, since the plugin may still answer it; until then the node is not
 * closed.
 */
#include "delivery/assignment_steps.h"
#include "host/reopen.h"

enum { PATIENCE_MIN_US = 1000000 };

/* As long as what fails is tried again; in a run that ends it must leave time for the last commits.
 */
int64_t assignment_patience_us(const struct host *host) {
    const struct topology *settings = host->settings;
    int64_t us = PATIENCE_MIN_US;
    us = settings->retry_timeout_us > us ? settings->retry_timeout_us : us;
    us = settings->revoke_timeout_us > us ? settings->revoke_timeout_us : us;
    int64_t last = settings->shutdown_timeout_us / 4;
    return host->draining && last < us ? last : us;
}

static void look(uv_timer_t *timer);

static void wait_for(struct host *host, int64_t us) {
    uv_timer_start(&host->patience, look, us > 0 ? (uint64_t)us / 1000 + 1 : 0, 0);
}

static bool is_under_way(const struct call *call) {
    return !call->answered && call->asked_us != 0;
}

/* Out of its assignment, into one of its own that nobody hears of. False without memory. */
static bool set_apart(struct call *call) {
    struct assignment *a = call->assignment;
    struct host *host = a->host;
    struct assignment *apart = assignment_new(host, a->owner, 0, NULL);
    if (apart == NULL) {
        return false;
    }
    struct call **at = &a->calls;
    while (*at != call) {
        at = &(*at)->next;
    }
    *at = call->next;
    call->next = NULL;
    call->assignment = apart;
    call->late = true;
    apart->calls = call;
    apart->outstanding = 1;
    apart->unheard = true;
    apart->next = host->unheard;
    host->unheard = apart;
    call->node->unanswered++;
    a->outstanding--;
    return true;
}

static bool give_up(struct call *call) {
    struct assignment *a = call->assignment;
    int64_t waited_us = sl_monotonic_us() - call->asked_us;
    if (!set_apart(call)) {
        return false;
    }
    struct call failed = {.node = call->node, .assignment = a};
    call_failed(&failed,
                sl_error_new(SL_ERROR_FATAL,
                             "%s: it has not answered for %.3g s, and the others go on without it; "
                             "once it has answered it can be restarted. If it needs longer, raise "
                             "retry.timeout",
                             call_name(call), (double)waited_us / 1e6));
    return true;
}

/* Those that have been waited for long enough; how long the others may still take, or INT64_MAX. */
static int64_t give_up_late(struct assignment *a) {
    int64_t patience = assignment_patience_us(a->host);
    int64_t now = sl_monotonic_us();
    int64_t left = INT64_MAX;
    for (struct call *call = a->calls, *next; call != NULL; call = next) {
        next = call->next;
        if (!is_under_way(call)) {
            continue;
        }
        int64_t of_call = call->asked_us + patience - now;
        if (of_call <= 0) {
            of_call = give_up(call) ? INT64_MAX : PATIENCE_MIN_US;
        }
        left = of_call < left ? of_call : left;
    }
    return left;
}

static void look(uv_timer_t *timer) {
    struct host *host = timer->data;
    struct assignment *a = host->assignments;
    if (a == NULL || !a->running) {
        return;
    }
    unsigned outstanding = a->outstanding;
    int64_t left = give_up_late(a);
    if (left != INT64_MAX) {
        wait_for(host, left);
    }
    if (a->outstanding < outstanding) {
        assignment_go_on(a);
    }
}

void patience_begin(struct call *call) {
    struct host *host = call->assignment->host;
    call->asked_us = sl_monotonic_us();
    if (!uv_is_active((const uv_handle_t *)&host->patience)) {
        wait_for(host, assignment_patience_us(host));
    }
}

void assignment_hurry(struct host *host) {
    if (host->assignments != NULL) {
        wait_for(host, 0);
    }
}

void patience_answered(struct call *call, sl_error *error) {
    struct host_node *node = call->node;
    struct assignment *apart = call->assignment;
    sl_error_free(error);
    if (call->handle != NULL) {
        assignment_drop_handle(node, call->stream, &call->handle);
    }
    host_log(node->host, SL_LOG_INFO, node->spec->name, "has answered at last: %s",
             call_name(call));
    apart->outstanding--;
    node->unanswered--;
    assignment_go_on(apart);
    node_answered(node);
}
