/*
 * Guarantees of paths: the weakest of the nodes along it, and none where one node may lose rows and
 * another may write them twice. Paths are walked from each sink against the flow.
 */
#include "topology/guarantee.h"

#include "topology/graph.h"
#include "topology/keys.h"

struct walk {
    const struct topology *topology;
    struct arena *arena;
    struct delivery_path *paths;
    size_t n;
    bool complete;
    const struct topology_edge **edges; /* from the sink up to the node at hand */
    size_t depth;
};

const char *delivery_name(sl_guarantee guarantee) {
    switch (guarantee) {
    case SL_AT_MOST_ONCE:
        return "at-most-once";
    case SL_AT_LEAST_ONCE:
        return "at-least-once";
    case SL_EXACTLY_ONCE:
        return "exactly-once";
    }
    return "unknown";
}

sl_guarantee delivery_of_node(const struct topology_node *node) {
    const sl_role *role = node->role;
    sl_guarantee given = (sl_guarantee)role->guarantee;
    if (role->node->guarantee_in != NULL) {
        given = role->node->guarantee_in(node->config, node->section);
    } else if (role->node->guarantee != NULL) {
        given = role->node->guarantee(node->config);
    }
    given = given > SL_EXACTLY_ONCE ? SL_EXACTLY_ONCE : given;
    uint32_t flags = topology_node_flags(node);
    bool unrepeatable = (flags & SL_ROLE_UNREPEATABLE) != 0 && (flags & SL_ROLE_DURABLE) == 0;
    return unrepeatable && given > SL_AT_LEAST_ONCE ? SL_AT_LEAST_ONCE : given;
}

/* What a failure may do to the rows of a path: sentences that say why, or NULL. */
struct doubts {
    const char *lost;
    const char *twice;
};

static bool drops(const struct topology_edge *edge) {
    return edge->when_full == TOPOLOGY_DROP_NEWEST || edge->when_full == TOPOLOGY_DROP_OLDEST;
}

static const char *why_lost(struct arena *arena, const struct topology_node *node) {
    const char *plugin = node->plugin->descriptor.name;
    if (node->kind == TOPOLOGY_SOURCE) {
        return arena_printf(
            arena,
            "\"%s\" (%s) cannot be read again: what was in flight when sluice stops "
            "is lost",
            node->name, plugin);
    }
    return arena_printf(arena, "\"%s\" (%s) may lose rows after a failure", node->name, plugin);
}

static const char *why_twice(struct arena *arena, const struct topology_node *node) {
    const char *plugin = node->plugin->descriptor.name;
    switch (node->kind) {
    case TOPOLOGY_SOURCE:
        return arena_printf(arena, "\"%s\" (%s) may give records twice", node->name, plugin);
    case TOPOLOGY_TRANSFORM:
        return arena_printf(arena, "\"%s\" (%s) may answer differently when it is replayed",
                            node->name, plugin);
    case TOPOLOGY_SINK:
        break;
    }
    return arena_printf(arena, "\"%s\" (%s) may write rows again after a failure", node->name,
                        plugin);
}

static void doubt_node(struct walk *w, const struct topology_node *node, struct doubts *doubts) {
    sl_guarantee given = delivery_of_node(node);
    if (given == SL_AT_MOST_ONCE && doubts->lost == NULL) {
        doubts->lost = why_lost(w->arena, node);
    } else if (given == SL_AT_LEAST_ONCE && doubts->twice == NULL) {
        doubts->twice = why_twice(w->arena, node);
    }
}

/* Rows that the topology lets go. */
static void doubt_topology(struct walk *w, const struct topology_node *sink,
                           const struct topology_edge *dropping, struct doubts *doubts) {
    bool kept = topology_output_is_read(w->topology, (size_t)(sink - w->topology->nodes),
                                        topology_rejects_output(sink));
    bool may_lose = (sink->role->flags & SL_ROLE_TAKES_ALL) == 0 && !kept;
    if (dropping != NULL) {
        doubts->lost = arena_printf(w->arena, "\"%s\" drops rows when its buffer is full: %s",
                                    w->topology->nodes[dropping->to].name,
                                    topology_when_full_names[dropping->when_full]);
    } else if (sink->tolerance == TOPOLOGY_TOLERATE_ALL && may_lose) {
        doubts->lost = arena_printf(w->arena,
                                    "\"%s\" (%s) passes over records that it cannot take: "
                                    "errors.tolerance is all",
                                    sink->name, sink->plugin->descriptor.name);
    }
}

/* Nobody keeps the positions of the sink from one run to the next. */
static bool is_unkept(const struct walk *w, const struct topology_node *sink) {
    return w->topology->state_url == NULL && (topology_node_flags(sink) & SL_ROLE_DURABLE) == 0;
}

static void name_path(struct walk *w, const struct topology_node *sink, const struct doubts *doubts,
                      struct delivery_path *path) {
    if (is_unkept(w, sink)) {
        path->name = "none";
        path->why =
            arena_printf(w->arena,
                         "without \"state\" nobody keeps the positions of \"%s\" (%s): each "
                         "start begins where the source's config says",
                         sink->name, sink->plugin->descriptor.name);
    } else if (doubts->lost != NULL && doubts->twice != NULL) {
        path->name = "none";
        path->why = arena_printf(w->arena, "%s, and %s", doubts->lost, doubts->twice);
    } else if (doubts->lost != NULL) {
        path->name = delivery_name(SL_AT_MOST_ONCE);
        path->why = doubts->lost;
    } else if (doubts->twice != NULL) {
        path->name = delivery_name(SL_AT_LEAST_ONCE);
        path->why = doubts->twice;
    } else {
        path->name = delivery_name(SL_EXACTLY_ONCE);
        path->why = "the sink commits positions and data in one step, and what lies between is "
                    "replayed the same";
    }
}

static void add_path(struct walk *w, const struct topology_node *sink) {
    const struct topology_node *nodes = w->topology->nodes;
    const struct topology_edge *first = w->edges[w->depth - 1];
    const struct topology_edge *dropping = NULL;
    struct doubts doubts = {NULL, NULL};
    sl_buffer text = SL_BUFFER_INIT;
    for (size_t i = w->depth; i-- > 0;) {
        const struct topology_node *from = &nodes[w->edges[i]->from];
        if (from->kind != TOPOLOGY_SINK) { /* what a sink rejects does not depend on its writing */
            doubt_node(w, from, &doubts);
        }
        dropping = drops(w->edges[i]) ? w->edges[i] : dropping;
        (void)sl_buffer_printf(&text, "%s → ", w->edges[i]->name);
    }
    doubt_node(w, sink, &doubts);
    doubt_topology(w, sink, dropping, &doubts);
    (void)sl_buffer_append_text(&text, sink->name);
    struct delivery_path path = {
        .text = arena_take(w->arena, &text), .source = &nodes[first->from], .sink = sink};
    name_path(w, sink, &doubts, &path);
    if (path.text != NULL && path.why != NULL) {
        w->paths[w->n++] = path;
    }
}

static void climb(struct walk *w, const struct topology_node *sink,
                  const struct topology_node *node) {
    for (size_t i = 0; i < node->n_inputs && w->complete; i++) {
        const struct topology_node *from = &w->topology->nodes[node->inputs[i].from];
        w->edges[w->depth++] = &node->inputs[i];
        if (from->kind != TOPOLOGY_SOURCE) {
            climb(w, sink, from);
        } else if (w->n == DELIVERY_MAX_PATHS) {
            w->complete = false;
        } else {
            add_path(w, sink);
        }
        w->depth--;
    }
}

const struct delivery_path *delivery_paths(const struct topology *topology, struct arena *arena,
                                           size_t *n, bool *complete) {
    struct walk w = {.topology = topology, .arena = arena, .complete = true};
    w.paths = arena_array(arena, DELIVERY_MAX_PATHS, sizeof(*w.paths));
    w.edges = arena_array(arena, topology->n_nodes, sizeof(const struct topology_edge *));
    for (size_t i = 0; i < topology->n_nodes && w.paths != NULL && w.edges != NULL; i++) {
        if (topology->nodes[i].kind == TOPOLOGY_SINK) {
            climb(&w, &topology->nodes[i], &topology->nodes[i]);
        }
    }
    *n = w.n;
    *complete = w.complete;
    return arena->failed ? NULL : w.paths;
}
