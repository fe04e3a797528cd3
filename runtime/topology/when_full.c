/*
 * Whether the "when_full" of each input can hold: dropping rows breaks an exactly-once promise, so
 * it is refused where anything behind the input makes one.
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

/* A node at or behind `draft` that keeps positions and promises each row exactly once; NULL. `seen`
 * by draft: those that need no second look. */
static const struct draft *find_exact(const struct loader *loader, const struct draft *draft,
                                      bool *seen) {
    size_t index = (size_t)(draft - loader->drafts);
    if (seen[index]) {
        return NULL;
    }
    seen[index] = true;
    bool keeps = draft->node.kind == TOPOLOGY_SINK ||
                 (topology_node_flags(&draft->node) & SL_ROLE_DURABLE) != 0;
    if (keeps && delivery_of_node(&draft->node) == SL_EXACTLY_ONCE) {
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
        topology_fault_add(loader->faults, input_place(draft, input),
                           input_path(loader, draft, input),
                           "\"%s\" loses rows, but the %s \"%s\" (%s) promises each row exactly "
                           "once; allowed for this input: \"block\"",
                           topology_when_full_names[draft->edges[input].when_full],
                           topology_kind_name(exact->node.kind), exact->node.name,
                           exact->node.plugin->descriptor.name);
    }
}

void loader_check_edges(struct loader *loader) {
    for (size_t i = 0; i < loader->n_drafts; i++) {
        const struct draft *draft = &loader->drafts[i];
        for (size_t k = 0; k < draft->n_edges; k++) {
            enum topology_when_full when_full = draft->edges[k].when_full;
            if (when_full == TOPOLOGY_DROP_NEWEST || when_full == TOPOLOGY_DROP_OLDEST) {
                check_drop(loader, draft, k);
            }
        }
    }
}
