/*
 * GET /v1/nodes/NODE/tap: a sampled live look at the rows of an edge, as server-sent events: what
 * the node sends on an output, or what it takes from an input.
 */
#include "lane/tap.h"

#include "admin/follower.h"
#include "admin/handlers.h"

#include <stdlib.h>

enum { ROWS_A_SECOND = 10 };

struct tapping {
    struct follower *follower;
    struct tap *tap;
};

/* ---- following ---- */

static void look(void *arg, const char *json, size_t bytes) {
    const struct tapping *tapping = arg;
    (void)follower_send(tapping->follower, "rows", json, bytes); /* who is slow misses looks */
}

/* The host ends the tap; what the follower's end brings is done here already. */
static void ended(void *arg) {
    struct tapping *tapping = arg;
    tapping->tap = NULL;
    follower_end(tapping->follower);
}

static void beat(void *arg) {
    const struct tapping *tapping = arg;
    tap_bind(tapping->tap);
}

static void gone(void *arg) {
    struct tapping *tapping = arg;
    if (tapping->tap != NULL) {
        tap_close(tapping->tap);
    }
    free(tapping);
}

static const struct follower_ops ops = {beat, gone};

/* ---- what is asked for ---- */

/* There is none of that name, but these (taken). */
static void fail_edge(struct exchange *exchange, const struct host_node *node, const char *what,
                      const char *name, sl_buffer *others) {
    const char *text = others->bytes > 0 ? sl_buffer_text(others) : " none";
    exchange_fail(exchange, 404, "%s has no %s \"%s\"; its %ss:%s", node->spec->name, what, name,
                  what, text != NULL ? text : " not told: memory is short");
    sl_buffer_free(others);
}

/* The output of that name; false after a 404. */
static bool find_output(struct exchange *exchange, const struct host_node *node, const char *name,
                        struct tap_wish *wish) {
    for (uint32_t o = 0; o < node->opened->n_outputs; o++) {
        if (strcmp(node->opened->output_names[o], name) == 0) {
            wish->node = node->spec->name;
            wish->output = o;
            return true;
        }
    }
    sl_buffer others = SL_BUFFER_INIT;
    for (uint32_t o = 0; o < node->opened->n_outputs; o++) {
        const char *other = node->opened->output_names[o];
        (void)sl_buffer_printf(&others, "%s \"%s%s%s\"", o == 0 ? "" : ",", node->spec->name,
                               *other != 0 ? "." : "", other);
    }
    fail_edge(exchange, node, "output", name, &others);
    return false;
}

/* Where the input of that name comes from; the first when it is NULL. False after a 404. */
static bool find_input(struct exchange *exchange, const struct host_node *node, const char *name,
                       struct tap_wish *wish) {
    for (size_t i = 0; i < node->spec->n_inputs; i++) {
        const struct topology_edge *edge = &node->spec->inputs[i];
        if (name == NULL || strcmp(edge->name, name) == 0) {
            wish->node = exchange->host->nodes[edge->from]->spec->name;
            wish->output = edge->output;
            return true;
        }
    }
    sl_buffer others = SL_BUFFER_INIT;
    for (size_t i = 0; i < node->spec->n_inputs; i++) {
        (void)sl_buffer_printf(&others, "%s \"%s\"", i == 0 ? "" : ",", node->spec->inputs[i].name);
    }
    fail_edge(exchange, node, "input", name != NULL ? name : "", &others);
    return false;
}

static bool find_edge(struct exchange *exchange, struct tap_wish *wish) {
    const struct host_node *node = exchange_node(exchange);
    const char *output = exchange->query(exchange, "output", 0);
    const char *input = exchange->query(exchange, "input", 0);
    if (node == NULL) {
        return false;
    }
    if (output != NULL && input != NULL) {
        exchange_fail(exchange, 400, "an edge is named by its output or by its input, not by both");
        return false;
    }
    if (input != NULL || (output == NULL && node->spec->kind == TOPOLOGY_SINK)) {
        return find_input(exchange, node, input, wish);
    }
    return find_output(exchange, node, output != NULL ? output : "", wish);
}

static bool read_rows(struct exchange *exchange, struct tap_wish *wish) {
    const char *text = exchange->query(exchange, "rows", 0);
    wish->rows = ROWS_A_SECOND;
    if (text == NULL || (sl_parse_i64(text, strlen(text), &wish->rows) && wish->rows >= 1 &&
                         wish->rows <= TAP_ROWS_MAX)) {
        return true;
    }
    exchange_fail(exchange, 400, "rows is \"%s\"; allowed are 1 to %d a second", text,
                  TAP_ROWS_MAX);
    return false;
}

static bool open_tap(struct exchange *exchange, struct tap_wish *wish) {
    struct tapping *tapping = calloc(1, sizeof(*tapping));
    if (tapping == NULL) {
        exchange_fail(exchange, 500, "memory is short");
        return false;
    }
    wish->look = look;
    wish->ended = ended;
    wish->arg = tapping;
    sl_error *error = tap_open(exchange->host, wish, &tapping->tap);
    if (error != NULL) {
        exchange_fail(exchange, sl_error_is(error, SL_ERROR_CONFLICT) ? 429 : 500, "%s",
                      sl_error_message(error));
        sl_error_free(error);
        free(tapping);
        return false;
    }
    tapping->follower = exchange_follow(exchange, &ops, tapping);
    if (tapping->follower == NULL) {
        gone(tapping);
        exchange_fail(exchange, 500, "memory is short");
        return false;
    }
    return true;
}

void answer_tap(struct exchange *exchange) {
    struct tap_wish wish = {0};
    if (!exchange->host->settings->tap_enabled) {
        exchange_fail(exchange, 403, "the topology does not allow to look at rows: tap.enabled");
        return;
    }
    if (!find_edge(exchange, &wish) || !read_rows(exchange, &wish) || !open_tap(exchange, &wish)) {
        return;
    }
    host_log(exchange->host, SL_LOG_INFO, "audit", "%s at %s looks at rows: %s",
             exchange->user != NULL ? exchange->user->name : "somebody", exchange->peer,
             exchange->path);
    exchange->status = 200;
    exchange->content_type = "text/event-stream";
}
