/*
 * Inputs: which node and output each names, cycles, how many a node may have, what nobody reads;
 * and the topological order of what came out well.
 */
#include "topology/graph.h"
#include "topology/loader.h"

#include <stdio.h>

/* ---- names of outputs ---- */

static struct draft *find_draft(const struct loader *loader, const char *name, size_t bytes) {
    for (size_t i = 0; i < loader->n_drafts; i++) {
        const char *candidate = loader->drafts[i].node.name;
        if (strlen(candidate) == bytes && memcmp(candidate, name, bytes) == 0) {
            return &loader->drafts[i];
        }
    }
    return NULL;
}

/* An output as inputs name it: "node", "node.output". */
static const char *output_text(struct loader *loader, const struct topology_node *node,
                               size_t output) {
    const char *name = topology_node_output_name(node, output);
    return name[0] == 0 ? node->name : arena_printf(loader->arena, "%s.%s", node->name, name);
}

/* Everything that may be read: "node" and "node.output". */
static const char **readable_names(struct loader *loader, size_t *n_out) {
    size_t n = 0;
    for (size_t i = 0; i < loader->n_drafts; i++) {
        const struct topology_node *node = &loader->drafts[i].node;
        n += node->role == NULL ? 1 : topology_node_outputs(node);
    }
    const char **names = arena_array(loader->arena, n, sizeof(*names));
    *n_out = 0;
    for (size_t i = 0; i < loader->n_drafts && names != NULL; i++) {
        const struct topology_node *node = &loader->drafts[i].node;
        size_t outputs = node->role == NULL ? 1 : topology_node_outputs(node);
        for (size_t k = 0; k < outputs; k++) {
            const char *name = node->role == NULL ? node->name : output_text(loader, node, k);
            if (name != NULL) {
                names[(*n_out)++] = name;
            }
        }
    }
    return names;
}

static void fault_no_node(struct loader *loader, const struct json_value *value, const char *path,
                          const char *text) {
    size_t n;
    const char **names = readable_names(loader, &n);
    const char *nearest = names == NULL ? NULL : sl_nearest_name(text, names, n);
    size_t bytes = strcspn(text, ".");
    if (nearest == NULL && names != NULL && text[bytes] == '.') {
        const char *node = arena_copy(loader->arena, text, bytes);
        nearest = node == NULL ? NULL : sl_nearest_name(node, names, n);
    }
    if (nearest != NULL) {
        topology_fault_add(loader->faults, value->place, path,
                           "there is no node \"%.*s\"; did you mean \"%s\"?", (int)bytes, text,
                           nearest);
    } else {
        topology_fault_add(loader->faults, value->place, path,
                           "there is no node \"%.*s\": an input is the name of a source or a "
                           "transform, or NODE.OUTPUT",
                           (int)bytes, text);
    }
}

static void fault_no_output(struct loader *loader, const struct json_value *value, const char *path,
                            const struct topology_node *node, const char *output) {
    sl_buffer list = SL_BUFFER_INIT;
    size_t n = topology_node_outputs(node);
    for (size_t i = 0; i < n; i++) {
        const char *name = output_text(loader, node, i);
        (void)sl_buffer_printf(&list, "%s\"%s\"", i == 0 ? "" : ", ", name == NULL ? "" : name);
    }
    const char *text = arena_take(loader->arena, &list);
    const char *nearest =
        node->role->outputs == NULL ? NULL : sl_nearest_name(output, node->role->outputs, n);
    if (nearest != NULL) {
        topology_fault_add(loader->faults, value->place, path,
                           "\"%s\" has no output \"%s\"; did you mean \"%s.%s\"? Its outputs: %s",
                           node->name, output, node->name, nearest, text == NULL ? "" : text);
    } else {
        topology_fault_add(loader->faults, value->place, path,
                           "\"%s\" has no output \"%s\"; its outputs: %s", node->name, output,
                           text == NULL ? "" : text);
    }
}

static void fault_sink(struct loader *loader, const struct json_value *value, const char *path,
                       const struct topology_node *node, size_t n_outputs) {
    const char *rejects = n_outputs == 0 ? NULL : output_text(loader, node, 0);
    topology_fault_add(loader->faults, value->place, path,
                       rejects == NULL
                           ? "\"%s\" is a sink: nothing comes out of it; read what it reads"
                           : "\"%s\" is a sink: nothing comes out of it but the records that it "
                             "rejects, as \"%s\"; for others read what it reads",
                       node->name, rejects);
}

/* The node and output that an input's text names; false after a fault. */
static bool resolve(struct loader *loader, const struct json_value *value, const char *path,
                    const char *text, struct topology_edge *edge) {
    size_t bytes = strlen(text); /* a bad name with a dot has its own fault */
    const struct draft *from = find_draft(loader, text, bytes);
    if (from == NULL) {
        bytes = strcspn(text, ".");
        from = find_draft(loader, text, bytes);
    }
    if (from == NULL) {
        fault_no_node(loader, value, path, text);
        return false;
    }
    const struct topology_node *node = &from->node;
    edge->from = (size_t)(from - loader->drafts);
    size_t n = node->role == NULL ? 0 : topology_node_outputs(node);
    if (node->kind == TOPOLOGY_SINK && (n == 0 || text[bytes] == 0)) {
        fault_sink(loader, value, path, node, n);
        return false;
    }
    if (text[bytes] == 0 || node->role == NULL) {
        edge->output = 0;
        return true;
    }
    const char *output = text + bytes + 1;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(topology_node_output_name(node, i), output) == 0) {
            edge->output = (uint32_t)i;
            return true;
        }
    }
    fault_no_output(loader, value, path, node, output);
    return false;
}

/* ---- inputs of one node ---- */

/* The name that an input has; NULL after a fault. Fills what it says beside it. */
static const char *read_input(struct loader *loader, const struct draft *draft,
                              const struct json_value *value, const char *path,
                              struct topology_edge *edge) {
    edge->buffer_bytes =
        draft->keys.buffer_bytes != 0 ? draft->keys.buffer_bytes : loader->top.buffer_bytes;
    edge->when_full = (enum topology_when_full)(draft->has_when_full ? draft->keys.when_full
                                                                     : loader->top.when_full);
    if (value->kind == JSON_STRING) {
        return value->text;
    }
    if (value->kind != JSON_OBJECT) {
        topology_fault_add(loader->faults, value->place, path,
                           "found %s; allowed is the name of a node, or an object as {\"from\": "
                           "\"node\", \"buffer\": \"8MiB\"}",
                           json_kind_name(value->kind));
        return NULL;
    }
    struct option_context context = loader_context(loader, "");
    const struct input_keys *keys = options_parse(&context, topology_input_keys, sizeof(*keys),
                                                  value, value->place, path, NULL);
    if (keys == NULL) {
        return NULL;
    }
    edge->buffer_bytes = keys->buffer_bytes != 0 ? keys->buffer_bytes : edge->buffer_bytes;
    if (json_member(value, "when_full") != NULL) {
        edge->when_full = (enum topology_when_full)keys->when_full;
    }
    return keys->from;
}

static void add_edge(struct loader *loader, struct draft *draft, const struct json_value *value,
                     size_t index) {
    const char *path = json_path_item(
        loader->arena, json_path_member(loader->arena, draft->path, "inputs"), index);
    struct topology_edge edge = {.to = (size_t)(draft - loader->drafts)};
    const char *text = value->broken ? NULL : read_input(loader, draft, value, path, &edge);
    if (text == NULL || !resolve(loader, value, path, text, &edge)) {
        draft->broken_inputs = true;
        return;
    }
    edge.name = text;
    edge.input = (uint32_t)draft->n_edges;
    for (size_t i = 0; i < draft->n_edges; i++) {
        if (draft->edges[i].from == edge.from && draft->edges[i].output == edge.output) {
            topology_fault_add(loader->faults, value->place, path,
                               "\"%s\" stands twice among the inputs", text);
            draft->broken_inputs = true;
            return;
        }
    }
    draft->edge_values[draft->n_edges] = value;
    draft->edges[draft->n_edges++] = edge;
    loader->drafts[edge.from].n_readers++;
}

static void check_count(struct loader *loader, const struct draft *draft) {
    const sl_role *role = draft->node.role;
    size_t n = draft->n_edges;
    if (role == NULL || draft->broken_inputs || (n >= role->min_inputs && n <= role->max_inputs)) {
        return;
    }
    char allowed[64];
    if (role->max_inputs == UINT32_MAX) {
        (void)snprintf(allowed, sizeof(allowed), "%u or more", role->min_inputs);
    } else if (role->min_inputs == role->max_inputs) {
        (void)snprintf(allowed, sizeof(allowed), "%u", role->max_inputs);
    } else {
        (void)snprintf(allowed, sizeof(allowed), "%u to %u", role->min_inputs, role->max_inputs);
    }
    topology_fault_add(loader->faults, draft->inputs->place,
                       json_path_member(loader->arena, draft->path, "inputs"),
                       "found %zu %s; the plugin \"%s\" takes %s", n, n == 1 ? "input" : "inputs",
                       draft->node.plugin->descriptor.name, allowed);
}

static void read_inputs(struct loader *loader, struct draft *draft) {
    if (draft->inputs == NULL) {
        return;
    }
    size_t n = draft->inputs->n_children;
    draft->edges = arena_array(loader->arena, n, sizeof(*draft->edges));
    draft->edge_values = arena_array(loader->arena, n, sizeof(*draft->edge_values));
    if (draft->edges == NULL || draft->edge_values == NULL) {
        return;
    }
    size_t index = 0;
    for (const struct json_value *v = draft->inputs->first; v != NULL; v = v->next) {
        add_edge(loader, draft, v, index++);
    }
    check_count(loader, draft);
}

/* ---- cycles ---- */

struct search {
    struct loader *loader;
    size_t *stack;
    size_t depth;
    enum { UNSEEN, OPEN, DONE } * state;
};

static void fault_cycle(struct search *s, size_t closing, const struct draft *reader,
                        size_t input) {
    sl_buffer text = SL_BUFFER_INIT;
    struct loader *loader = s->loader;
    size_t first = s->depth;
    while (s->stack[first - 1] != closing) {
        first--;
    }
    /* the stack goes against the flow: readers first */
    (void)sl_buffer_append_text(&text, loader->drafts[closing].node.name);
    for (size_t i = s->depth; i >= first; i--) {
        (void)sl_buffer_printf(&text, " → %s", loader->drafts[s->stack[i - 1]].node.name);
    }
    const char *cycle = arena_take(loader->arena, &text);
    size_t index = 0;
    for (const struct json_value *v = reader->inputs->first; v != reader->edge_values[input];
         v = v->next) {
        index++;
    }
    topology_fault_add(
        loader->faults, reader->edge_values[input]->place,
        json_path_item(loader->arena, json_path_member(loader->arena, reader->path, "inputs"),
                       index),
        "a cycle: %s; data flows in one direction only, take one of these inputs out",
        cycle == NULL ? "" : cycle);
}

static void visit(struct search *s, size_t index) {
    const struct draft *draft = &s->loader->drafts[index];
    s->state[index] = OPEN;
    s->stack[s->depth++] = index;
    for (size_t i = 0; i < draft->n_edges; i++) {
        size_t from = draft->edges[i].from;
        if (s->state[from] == OPEN) {
            fault_cycle(s, from, draft, i);
        } else if (s->state[from] == UNSEEN) {
            visit(s, from);
        }
    }
    s->depth--;
    s->state[index] = DONE;
}

static void find_cycles(struct loader *loader) {
    struct search s = {.loader = loader};
    s.stack = arena_array(loader->arena, loader->n_drafts, sizeof(*s.stack));
    s.state = arena_array(loader->arena, loader->n_drafts, sizeof(*s.state));
    for (size_t i = 0; i < loader->n_drafts && s.stack != NULL && s.state != NULL; i++) {
        if (s.state[i] == UNSEEN) {
            visit(&s, i);
        }
    }
}

/* ---- the whole ---- */

static void warn_unread(struct loader *loader) {
    for (size_t i = 0; i < loader->n_drafts; i++) {
        const struct draft *d = &loader->drafts[i];
        if (d->node.kind != TOPOLOGY_SINK && d->n_readers == 0) {
            topology_warning_add(loader->faults, d->value->key_place, d->path,
                                 "nothing reads the %s \"%s\"", topology_kind_name(d->node.kind),
                                 d->node.name);
        }
    }
}

static bool is_read(const struct loader *loader, size_t from, uint32_t output) {
    for (size_t i = 0; i < loader->n_drafts; i++) {
        const struct draft *d = &loader->drafts[i];
        for (size_t k = 0; k < d->n_edges; k++) {
            if (d->edges[k].from == from && d->edges[k].output == output) {
                return true;
            }
        }
    }
    return false;
}

/* Whether rows of the node's streams leave it on its lane. */
static bool passes_rows(const struct loader *loader, size_t index) {
    const struct topology_node *node = &loader->drafts[index].node;
    return node->kind == TOPOLOGY_TRANSFORM ||
           (node->kind == TOPOLOGY_SINK && loader->drafts[index].n_readers > 0);
}

static void warn_lost_rejects(struct loader *loader) {
    for (size_t i = 0; i < loader->n_drafts; i++) {
        const struct draft *d = &loader->drafts[i];
        const char *name = d->node.name;
        uint32_t output = topology_rejects_output(&d->node);
        bool read = output != TOPOLOGY_NO_OUTPUT && is_read(loader, i, output);
        bool sink = d->node.kind == TOPOLOGY_SINK;
        bool rejects = !sink || (d->node.role->flags & SL_ROLE_TAKES_ALL) == 0;
        if (d->node.tolerance == TOPOLOGY_TOLERATE_NONE) {
            if (read && sink) {
                topology_warning_add(loader->faults, d->value->key_place, d->path,
                                     "nothing will come on \"%s.rejects\": \"errors.tolerance\" "
                                     "of \"%s\" is \"none\", so it stops at the first record "
                                     "that is at fault; write \"all\" to have them rejected",
                                     name, name);
            }
            continue;
        }
        if (output == TOPOLOGY_NO_OUTPUT && d->node.kind != TOPOLOGY_SOURCE && rejects) {
            topology_warning_add(loader->faults, d->value->key_place, d->path,
                                 "\"errors.tolerance\" is \"all\": a record that \"%s\" cannot "
                                 "take is counted, logged and lost",
                                 name);
        } else if (output != TOPOLOGY_NO_OUTPUT && (sink || d->n_readers > 0) && !read) {
            topology_warning_add(loader->faults, d->value->key_place, d->path,
                                 "nothing reads \"%s.rejects\": a record that \"%s\" rejects is "
                                 "counted and lost; read it with a sink, or set "
                                 "\"errors.tolerance\": \"none\"",
                                 name, name);
        }
    }
}

/* Flags of a draft as far as they are known to hold. */
static uint32_t known_flags(const struct draft *draft) {
    const sl_role *role = draft->node.role;
    if (role->node->flags != NULL && !draft->good_config) {
        return role->flags & ~(uint32_t)(SL_ROLE_DURABLE | SL_ROLE_OWNS_STREAMS);
    }
    return topology_node_flags(&draft->node);
}

static void check_state(struct loader *loader) {
    for (size_t i = 0; i < loader->n_drafts && json_member(loader->root, "state") == NULL; i++) {
        const struct draft *d = &loader->drafts[i];
        if (d->node.role == NULL) {
            continue;
        }
        bool durable = (known_flags(d) & SL_ROLE_DURABLE) != 0;
        if (d->node.kind == TOPOLOGY_TRANSFORM && durable) {
            topology_fault_add(loader->faults, d->value->key_place, "$.state",
                               "\"state\" is missing: the transform \"%s\" (%s) keeps its state in "
                               "a folder or store; write \"state\": \"file:///folder\"",
                               d->node.name, d->node.plugin->descriptor.name);
        } else if (d->node.kind == TOPOLOGY_SINK && !durable) {
            topology_warning_add(loader->faults, d->value->key_place, "$.state",
                                 "without \"state\" nobody keeps the positions of the sink \"%s\" "
                                 "(%s): each start begins where the source's config says",
                                 d->node.name, d->node.plugin->descriptor.name);
        }
    }
}

/* ---- streams that meet again ---- */

static bool owns_streams(const struct draft *draft) {
    return draft->node.kind == TOPOLOGY_SOURCE ||
           (draft->node.role != NULL && (known_flags(draft) & SL_ROLE_OWNS_STREAMS) != 0);
}

/* Marks the nodes that what node `from` gives comes through; those of them that own streams are
 * where it comes from. */
static void mark_above(const struct loader *loader, size_t from, bool *marked) {
    const struct draft *draft = &loader->drafts[from];
    if (marked[from]) {
        return;
    }
    marked[from] = true;
    for (size_t i = 0; i < draft->n_edges && !owns_streams(draft); i++) {
        mark_above(loader, draft->edges[i].from, marked);
    }
}

/*
 * A node that passes rows on (a transform, or a sink its rejects) gives each of them at its offset,
 * once: of a stream that came in on two inputs it could not say how far it is.
 */
static void check_meeting(struct loader *loader, const struct draft *draft) {
    bool *before = arena_array(loader->arena, loader->n_drafts, sizeof(*before));
    for (size_t i = 0; i < draft->n_edges && before != NULL; i++) {
        bool *above = arena_array(loader->arena, loader->n_drafts, sizeof(*above));
        if (above == NULL) {
            return;
        }
        mark_above(loader, draft->edges[i].from, above);
        for (size_t k = 0; k < loader->n_drafts; k++) {
            if (above[k] && before[k] && owns_streams(&loader->drafts[k])) {
                topology_fault_add(
                    loader->faults, draft->edge_values[i]->place,
                    json_path_item(loader->arena,
                                   json_path_member(loader->arena, draft->path, "inputs"), i),
                    "\"%s\" brings the records of \"%s\" to \"%s\" a second time: a %s takes each "
                    "source on one input",
                    draft->edges[i].name, loader->drafts[k].node.name, draft->node.name,
                    draft->node.kind == TOPOLOGY_SINK ? "sink whose rejects are read"
                                                      : "transform that passes rows on");
                return;
            }
            before[k] = before[k] || above[k];
        }
    }
}

static void check_meetings(struct loader *loader) {
    for (size_t i = 0; i < loader->n_drafts; i++) {
        const struct draft *draft = &loader->drafts[i];
        if (passes_rows(loader, i) && draft->n_edges > 1 && draft->node.role != NULL &&
            !owns_streams(draft)) {
            check_meeting(loader, draft);
        }
    }
}

void loader_wire(struct loader *loader) {
    for (size_t i = 0; i < loader->n_drafts; i++) {
        read_inputs(loader, &loader->drafts[i]);
    }
    find_cycles(loader);
    if (topology_faults_errors(loader->faults) == 0) {
        warn_unread(loader);
        warn_lost_rejects(loader);
        check_meetings(loader);
    }
    check_state(loader);
    if (topology_faults_errors(loader->faults) == 0) {
        loader_check_edges(loader); /* whether a path is exactly-once is known for good ones only */
    }
}

/* Indexes of drafts so that each comes after those that it reads, else in the file's order. */
static bool sort_drafts(const struct loader *loader, size_t *order, size_t *place) {
    size_t n = 0;
    for (size_t i = 0; i < loader->n_drafts; i++) {
        place[i] = SIZE_MAX;
    }
    while (n < loader->n_drafts) {
        size_t before = n;
        for (size_t i = 0; i < loader->n_drafts; i++) {
            const struct draft *d = &loader->drafts[i];
            bool ready = place[i] == SIZE_MAX;
            for (size_t k = 0; k < d->n_edges && ready; k++) {
                ready = place[d->edges[k].from] != SIZE_MAX;
            }
            if (ready) {
                place[i] = n;
                order[n++] = i;
            }
        }
        if (n == before) {
            return false;
        }
    }
    return true;
}

bool loader_finish(struct loader *loader) {
    struct topology *topology = &loader->loaded->topology;
    size_t n = loader->n_drafts;
    size_t *order = arena_array(loader->arena, n, sizeof(*order));
    size_t *place = arena_array(loader->arena, n, sizeof(*place));
    topology->nodes = arena_array(loader->arena, n, sizeof(*topology->nodes));
    if (order == NULL || place == NULL || topology->nodes == NULL ||
        !sort_drafts(loader, order, place)) {
        return false;
    }
    topology->n_nodes = n;
    for (size_t i = 0; i < n; i++) {
        struct draft *d = &loader->drafts[order[i]];
        topology->nodes[i] = d->node;
        topology->nodes[i].inputs = d->edges;
        topology->nodes[i].n_inputs = d->n_edges;
        for (size_t k = 0; k < d->n_edges; k++) {
            d->edges[k].from = place[d->edges[k].from];
            d->edges[k].to = i;
        }
    }
    return true;
}
