/*
 * Whether the "when_full" of each input can hold. Dropping rows breaks an exactly-once promise, so
 * it is refused where anything behind the input makes one. A branch can be detached where its part
 * of the stream can be read a second time: from a source that says so, through nodes without state,
 * or from the outbox of a node that owns the stream.
 */
#include "topology/graph.h"
#include "topology/guarantee.h"
#include "topology/loader.h"

/* The path of an input, or of its "when_full" when the input says it itself. */
static const char *input_path(struct loader *loader, const struct draft *draft, size_t input) {
    size_t index = 0;
    for (const struct json_value *v = draft->inputs->first; v != draft->edge_values[input];
         v = v->next) {
        index++;
    }
    const char *path = json_path_item(
        loader->arena, json_path_member(loader->arena, draft->path, "inputs"), index);
    bool own = json_member(draft->edge_values[input], "when_full") != NULL;
    return own ? json_path_member(loader->arena, path, "when_full") : path;
}

static struct json_place input_place(const struct draft *draft, size_t input) {
    const struct json_value *own = json_member(draft->edge_values[input], "when_full");
    return own != NULL ? own->place : draft->edge_values[input]->place;
}

static bool keeps_positions(const struct draft *draft) {
    return draft->node.kind == TOPOLOGY_SINK ||
           (topology_node_flags(&draft->node) & SL_ROLE_DURABLE) != 0;
}

/* A node at or behind `draft` that keeps positions and promises each row exactly once; NULL. `seen`
 * by draft: those that need no second look. */
static const struct draft *find_exact(const struct loader *loader, const struct draft *draft,
                                      bool *seen) {
    size_t index = (size_t)(draft - loader->drafts);
    if (seen[index]) {
        return NULL;
    }
    seen[index] = true;
    if (keeps_positions(draft) && delivery_of_node(&draft->node) == SL_EXACTLY_ONCE) {
        return draft;
    }
    for (size_t i = 0; i < loader->n_drafts; i++) {
        const struct draft *reader = &loader->drafts[i];
        for (size_t k = 0; k < reader->n_edges; k++) {
            const struct draft *exact =
                reader->edges[k].from == index ? find_exact(loader, reader, seen) : NULL;
            if (exact != NULL) {
                return exact;
            }
        }
    }
    return NULL;
}

static void check_drop(struct loader *loader, const struct draft *draft, size_t input) {
    bool *seen = arena_array(loader->arena, loader->n_drafts, sizeof(*seen));
    const struct draft *exact = seen == NULL ? NULL : find_exact(loader, draft, seen);
    if (exact != NULL) {
        topology_fault_add(
            loader->faults, input_place(draft, input), input_path(loader, draft, input),
            "\"%s\" loses rows, but the %s \"%s\" (%s) promises each row exactly "
            "once; allowed for this input: \"block\" and, where the stream can be read again, "
            "\"detach\"",
            topology_when_full_names[draft->edges[input].when_full],
            topology_kind_name(exact->node.kind), exact->node.name,
            exact->node.plugin->descriptor.name);
    }
}

static bool says_it(const struct draft *draft, size_t input) {
    return draft->has_when_full || json_member(draft->edge_values[input], "when_full") != NULL;
}

/* The node above an input that makes a second reading of its stream impossible; NULL. `seen` by
 * draft: those that need no second look. */
static const struct draft *find_obstacle(const struct loader *loader, const struct draft *draft,
                                         bool *seen) {
    const sl_role *role = draft->node.role;
    size_t index = (size_t)(draft - loader->drafts);
    if (seen[index]) {
        return NULL;
    }
    seen[index] = true;
    uint32_t flags = topology_node_flags(&draft->node);
    if (draft->node.kind == TOPOLOGY_SOURCE) {
        return (flags & SL_ROLE_REREADS) != 0 ? NULL : draft;
    }
    if ((flags & SL_ROLE_OWNS_STREAMS) != 0) {
        return role->node->again != NULL ? NULL : draft;
    }
    if (keeps_positions(draft)) { /* a sink's rejects, too: the host moves its position with them */
        return draft;
    }
    const struct draft *obstacle = NULL;
    for (size_t k = 0; k < draft->n_edges && obstacle == NULL; k++) {
        obstacle = find_obstacle(loader, &loader->drafts[draft->edges[k].from], seen);
    }
    return obstacle;
}

static void fault_obstacle(struct loader *loader, const struct draft *draft, size_t input,
                           const struct draft *obstacle) {
    const char *name = obstacle->node.name;
    const char *plugin = obstacle->node.plugin->descriptor.name;
    const char *why;
    if (obstacle->node.kind == TOPOLOGY_SOURCE) {
        why = arena_printf(loader->arena, "the source \"%s\" (%s) can be read only once at a time",
                           name, plugin);
    } else {
        why = arena_printf(loader->arena,
                           "between the source and this input \"%s\" (%s) keeps state, which a "
                           "second reader would need for itself; \"detach\" is possible on the "
                           "input of \"%s\" (all behind it falls behind together), beside it, and "
                           "behind a transform with an outbox (gold-agg)",
                           name, plugin, name);
    }
    topology_fault_add(loader->faults, input_place(draft, input), input_path(loader, draft, input),
                       "\"detach\" cannot be: %s; allowed here: \"block\"", why == NULL ? "" : why);
}

/* The default of the top holds where it can mean something. */
static void check_detach(struct loader *loader, struct draft *draft, size_t input) {
    if (!keeps_positions(draft)) {
        if (says_it(draft, input)) {
            topology_fault_add(
                loader->faults, input_place(draft, input), input_path(loader, draft, input),
                "the transform \"%s\" (%s) keeps no position, so nothing is detached at its input; "
                "put \"detach\" on the inputs of the sinks and stateful transforms behind it",
                draft->node.name, draft->node.plugin->descriptor.name);
        }
        draft->edges[input].when_full = TOPOLOGY_BLOCK;
        return;
    }
    bool *seen = arena_array(loader->arena, loader->n_drafts, sizeof(*seen));
    const struct draft *from = &loader->drafts[draft->edges[input].from];
    const struct draft *obstacle = seen == NULL ? NULL : find_obstacle(loader, from, seen);
    if (obstacle != NULL) {
        fault_obstacle(loader, draft, input, obstacle);
    }
}

void loader_check_edges(struct loader *loader) {
    for (size_t i = 0; i < loader->n_drafts; i++) {
        struct draft *draft = &loader->drafts[i];
        for (size_t k = 0; k < draft->n_edges; k++) {
            enum topology_when_full when_full = draft->edges[k].when_full;
            if (when_full == TOPOLOGY_DROP_NEWEST || when_full == TOPOLOGY_DROP_OLDEST) {
                check_drop(loader, draft, k);
            } else if (when_full == TOPOLOGY_DETACH) {
                check_detach(loader, draft, k);
            }
        }
    }
}
