/* See plan.h. Both sides are compared by what a loaded topology shows of itself, and by digests of
 * what it does not show. */
#include "topology/plan.h"

#include "topology/document.h"
#include "topology/graph.h"
#include "topology/keys.h"
#include "topology/options.h"

#include <stdlib.h>
#include <string.h>

struct built_plan {
    struct topology_plan plan; /* first: what callers see */
    struct arena arena;
};

/* Where the differences of one node, or of the settings, are gathered. */
struct gathering {
    struct arena *arena;
    struct plan_difference *list;
    size_t n;
    size_t capacity;
    bool rows; /* one of them may change rows */
};

/* ---- differences ---- */

static void add(struct gathering *g, bool rows, const char *path, const char *before,
                const char *after) {
    if (g->n == g->capacity) {
        size_t capacity = g->capacity == 0 ? 8 : g->capacity * 2;
        struct plan_difference *grown = arena_array(g->arena, capacity, sizeof(*grown));
        if (grown == NULL) {
            return;
        }
        if (g->n > 0) {
            memcpy(grown, g->list, g->n * sizeof(*grown));
        }
        g->list = grown;
        g->capacity = capacity;
    }
    g->list[g->n++] = (struct plan_difference){path, before, after};
    g->rows = g->rows || rows;
}

static const char *text_of(struct gathering *g, const struct json_value *value) {
    sl_buffer text = SL_BUFFER_INIT;
    if (value == NULL) {
        return NULL;
    }
    (void)json_write(value, JSON_SHOWN, &text);
    return arena_take(g->arena, &text);
}

/* JSON text of a string; NULL stays NULL. */
static const char *quoted(struct gathering *g, const char *string) {
    sl_buffer text = SL_BUFFER_INIT;
    if (string == NULL) {
        return NULL;
    }
    (void)sl_buffer_append_json_string(&text, string, strlen(string));
    return arena_take(g->arena, &text);
}

static void compare(struct gathering *g, const char *path, const struct json_value *before,
                    const struct json_value *after, const sl_option *table, bool rows);

static void compare_objects(struct gathering *g, const char *path, const struct json_value *before,
                            const struct json_value *after, const sl_option *table, bool rows) {
    for (int side = 0; side < 2; side++) {
        const struct json_value *one = side == 0 ? before : after;
        const struct json_value *other = side == 0 ? after : before;
        for (const struct json_value *m = one->first; m != NULL; m = m->next) {
            const struct json_value *same = json_member(other, m->key);
            if (side == 1 && same != NULL) {
                continue;
            }
            const sl_option *option = table == NULL ? NULL : option_find(table, m->key);
            compare(g, json_path_member(g->arena, path, m->key), side == 0 ? m : NULL,
                    side == 0 ? same : m, option == NULL ? NULL : option->options,
                    rows && !option_is_tuning(table, m->key));
        }
    }
}

static void compare(struct gathering *g, const char *path, const struct json_value *before,
                    const struct json_value *after, const sl_option *table, bool rows) {
    if (before != NULL && after != NULL && before->kind == JSON_OBJECT &&
        after->kind == JSON_OBJECT) {
        compare_objects(g, path, before, after, table, rows);
        return;
    }
    const char *texts[2] = {text_of(g, before), text_of(g, after)};
    if (texts[0] == NULL || texts[1] == NULL || strcmp(texts[0], texts[1]) != 0) {
        add(g, rows, path, texts[0], texts[1]);
    }
}

static const char *const hidden = "\"***\"";

/* Objects as JSON text; NULL: {}. */
static const struct json_value *parse(struct gathering *g, const char *text) {
    text = text == NULL ? "{}" : text;
    return json_read(g->arena, text, strlen(text));
}

static void compare_texts(struct gathering *g, const char *path, const char *before,
                          const char *after, const sl_option *table) {
    if (before == after || (before != NULL && after != NULL && strcmp(before, after) == 0)) {
        return;
    }
    const struct json_value *values[2] = {parse(g, before), parse(g, after)};
    if (values[0] != NULL && values[1] != NULL) {
        compare(g, path, values[0], values[1], table, true);
    } else { /* they differ, but cannot be told apart further: a file that is no text, say */
        add(g, true, path, hidden, hidden);
    }
}

/* Of a file's contents only the place is told. */
static void compare_files(struct gathering *g, const char *path, const char *before,
                          const char *after) {
    struct gathering files = {.arena = g->arena};
    compare_texts(&files, path, before, after, NULL);
    for (size_t i = 0; i < files.n; i++) {
        add(g, true, files.list[i].path, hidden, hidden);
    }
}

/* ---- the host's keys of a node ---- */

static void compare_strings(struct gathering *g, bool rows, const char *path, const char *key,
                            const char *before, const char *after) {
    if (strcmp(before, after) != 0) {
        add(g, rows, json_path_member(g->arena, path, key), quoted(g, before), quoted(g, after));
    }
}

static void compare_durations(struct gathering *g, const char *path, const char *key,
                              int64_t before_us, int64_t after_us) {
    char texts[2][32];
    if (before_us != after_us) {
        compare_strings(g, false, path, key, sl_format_duration(before_us, texts[0]),
                        sl_format_duration(after_us, texts[1]));
    }
}

static void compare_bools(struct gathering *g, const char *path, const char *key, bool before,
                          bool after) {
    if (before != after) {
        add(g, false, json_path_member(g->arena, path, key), before ? "true" : "false",
            after ? "true" : "false");
    }
}

static const char *input_names(struct gathering *g, const struct topology_node *node) {
    sl_buffer text = SL_BUFFER_INIT;
    (void)sl_buffer_append_byte(&text, '[');
    for (size_t i = 0; i < node->n_inputs; i++) {
        (void)sl_buffer_append_text(&text, i == 0 ? "" : ",");
        (void)sl_buffer_append_json_string(&text, node->inputs[i].name,
                                           strlen(node->inputs[i].name));
    }
    (void)sl_buffer_append_byte(&text, ']');
    return arena_take(g->arena, &text);
}

static void compare_inputs(struct gathering *g, const char *path, const struct topology_node *now,
                           const struct topology_node *next) {
    const char *inputs = json_path_member(g->arena, path, "inputs");
    const char *names[2] = {input_names(g, now), input_names(g, next)};
    if (names[0] == NULL || names[1] == NULL || strcmp(names[0], names[1]) != 0) {
        add(g, true, inputs, names[0], names[1]);
        return;
    }
    for (size_t i = 0; i < now->n_inputs; i++) {
        const struct topology_edge *edges[2] = {&now->inputs[i], &next->inputs[i]};
        const char *item = json_path_item(g->arena, inputs, i);
        char sizes[2][32];
        if (edges[0]->buffer_bytes != edges[1]->buffer_bytes) {
            compare_strings(g, false, item, "buffer",
                            sl_format_size(edges[0]->buffer_bytes, sizes[0]),
                            sl_format_size(edges[1]->buffer_bytes, sizes[1]));
        }
        compare_strings(g, false, item, "when_full", topology_when_full_names[edges[0]->when_full],
                        topology_when_full_names[edges[1]->when_full]);
    }
}

static const char *start_name(enum topology_start start) {
    static const char *const names[] = {[TOPOLOGY_START_SOURCE] = "",
                                        [TOPOLOGY_START_EARLIEST] = "earliest",
                                        [TOPOLOGY_START_LATEST] = "latest",
                                        [TOPOLOGY_START_WITH_OTHERS] = "with_others"};
    return names[start];
}

static void compare_keys(struct gathering *g, const char *path, const struct topology_node *now,
                         const struct topology_node *next) {
    compare_strings(g, true, path, "plugin", now->plugin->descriptor.name,
                    next->plugin->descriptor.name);
    compare_inputs(g, path, now, next);
    compare_durations(g, path, "commit.interval", now->commit_interval_us,
                      next->commit_interval_us);
    compare_durations(g, path, "restart.after", now->restart_after_us, next->restart_after_us);
    if (now->restart_attempts != next->restart_attempts) {
        add(g, false, json_path_member(g->arena, path, "restart.attempts"),
            arena_printf(g->arena, "%u", (unsigned)now->restart_attempts),
            arena_printf(g->arena, "%u", (unsigned)next->restart_attempts));
    }
    compare_strings(g, false, path, "start", start_name(now->start), start_name(next->start));
    static const char *const tolerances[] = {"none", "all"};
    compare_strings(g, false, path, TOPOLOGY_KEY_TOLERANCE, tolerances[now->tolerance],
                    tolerances[next->tolerance]);
    compare_bools(g, path, TOPOLOGY_KEY_LOG, now->errors_log, next->errors_log);
    compare_bools(g, path, TOPOLOGY_KEY_LOG_MESSAGES, now->errors_log_messages,
                  next->errors_log_messages);
}

static void compare_nodes(struct gathering *g, const struct topology_node *now,
                          const struct topology_node *next) {
    const char *kind = json_path_member(g->arena, "$", topology_kind_key(next->kind));
    const char *path = json_path_member(g->arena, kind, next->name);
    const char *config = json_path_member(g->arena, path, "config");
    compare_keys(g, path, now, next);
    compare_texts(g, config, now->config_json, next->config_json, next->role->options);
    compare_files(g, config, now->files_json, next->files_json);
    if (g->n == 0 && now->hidden != next->hidden) {
        add(g, true, config, hidden, hidden);
    }
}

/* ---- the plan ---- */

static size_t find(const struct topology *topology, const struct topology_node *node) {
    for (size_t i = 0; i < topology->n_nodes; i++) {
        if (topology->nodes[i].kind == node->kind &&
            strcmp(topology->nodes[i].name, node->name) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* What reads of a node that is closed is closed, too: it has seen that node's schema. */
static bool reads_of_changed(const struct plan_node *nodes, const struct topology_node *node) {
    for (size_t i = 0; i < node->n_inputs; i++) {
        enum plan_action action = nodes[node->inputs[i].from].action;
        if (action != PLAN_KEPT) {
            return true;
        }
    }
    return false;
}

/* Nodes stand in topological order: those that it reads are known. */
static void plan_next(struct built_plan *built, struct plan_node *nodes, const struct topology *now,
                      const struct topology *next, size_t index) {
    const struct topology_node *node = &next->nodes[index];
    struct plan_node *planned = &nodes[index];
    struct gathering g = {.arena = &built->arena};
    *planned = (struct plan_node){
        .name = node->name, .kind = node->kind, .now = find(now, node), .next = index};
    if (planned->now == SIZE_MAX) {
        planned->action = PLAN_ADDED;
    } else {
        compare_nodes(&g, &now->nodes[planned->now], node);
        planned->action = g.n > 0                         ? PLAN_CHANGED
                          : reads_of_changed(nodes, node) ? PLAN_REOPENED
                                                          : PLAN_KEPT;
    }
    planned->rows = g.rows && node->kind != TOPOLOGY_SINK;
    planned->differences = g.list;
    planned->n_differences = g.n;
    built->plan.same = built->plan.same && planned->action == PLAN_KEPT;
}

static void plan_removed(struct built_plan *built, struct plan_node *nodes,
                         const struct topology *now, const struct topology *next) {
    for (size_t i = 0; i < now->n_nodes; i++) {
        const struct topology_node *node = &now->nodes[i];
        if (find(next, node) == SIZE_MAX) {
            nodes[built->plan.n_nodes++] = (struct plan_node){.name = node->name,
                                                              .kind = node->kind,
                                                              .action = PLAN_REMOVED,
                                                              .now = i,
                                                              .next = SIZE_MAX};
            built->plan.same = false;
        }
    }
}

static void plan_settings(struct built_plan *built, const struct topology *now,
                          const struct topology *next) {
    struct gathering g = {.arena = &built->arena};
    compare_texts(&g, "$", now->settings_json, next->settings_json, NULL);
    if (g.n == 0 && now->settings_hidden != next->settings_hidden) {
        add(&g, false, "$", hidden, hidden);
    }
    built->plan.settings = g.list;
    built->plan.n_settings = g.n;
    built->plan.same = built->plan.same && g.n == 0;
    if (g.n > 0) {
        built->plan.refusal = arena_printf(
            &built->arena,
            "%s differs%s, and takes effect when sluice is started again: while it runs nodes are "
            "changed, and the defaults of their keys",
            g.list[0].path, g.n > 1 ? " (and more that belongs to no node)" : "");
    }
}

sl_error *topology_plan_new(const struct topology *now, const struct topology *next,
                            struct topology_plan **out) {
    struct built_plan *built = calloc(1, sizeof(*built));
    if (built == NULL) {
        return sl_error_no_memory();
    }
    struct plan_node *nodes =
        arena_array(&built->arena, now->n_nodes + next->n_nodes, sizeof(*nodes));
    built->plan.same = true;
    for (size_t i = 0; i < next->n_nodes && nodes != NULL; i++) {
        plan_next(built, nodes, now, next, i);
    }
    built->plan.nodes = nodes;
    built->plan.n_nodes = next->n_nodes;
    if (nodes != NULL) {
        plan_removed(built, nodes, now, next);
        plan_settings(built, now, next);
    }
    if (built->arena.failed) {
        topology_plan_free(&built->plan);
        return sl_error_no_memory();
    }
    *out = &built->plan;
    return NULL;
}

void topology_plan_refuse(struct topology_plan *plan, const char *sentence) {
    struct built_plan *built = (struct built_plan *)(void *)plan;
    if (plan->refusal == NULL) {
        const char *copy = arena_text(&built->arena, sentence);
        plan->refusal = copy != NULL ? copy : "memory is short";
    }
}

void topology_plan_free(struct topology_plan *plan) {
    struct built_plan *built = (struct built_plan *)(void *)plan;
    if (built != NULL) {
        arena_free(&built->arena);
        free(built);
    }
}

const char *plan_action_name(enum plan_action action) {
    static const char *const names[] = {[PLAN_KEPT] = "kept",
                                        [PLAN_CHANGED] = "changed",
                                        [PLAN_REOPENED] = "reopened",
                                        [PLAN_ADDED] = "added",
                                        [PLAN_REMOVED] = "removed"};
    return names[action];
}
