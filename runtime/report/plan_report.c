/* See plan_report.h. */
#include "report/plan_report.h"

#include "topology/keys.h"

#include <string.h>

/* ---- text ---- */

static bool is_hidden(const struct plan_difference *d) {
    return d->before != NULL && d->after != NULL && strcmp(d->before, d->after) == 0;
}

static void difference_text(sl_buffer *out, const struct plan_difference *d) {
    (void)sl_buffer_printf(out, "      %s", d->path);
    if (is_hidden(d)) {
        (void)sl_buffer_append_text(out, ": differs (not shown)\n");
    } else if (d->before == NULL) {
        (void)sl_buffer_printf(out, ": %s is new\n", d->after);
    } else if (d->after == NULL) {
        (void)sl_buffer_printf(out, ": %s is gone\n", d->before);
    } else {
        (void)sl_buffer_printf(out, ": %s -> %s\n", d->before, d->after);
    }
}

static void node_text(sl_buffer *out, const struct plan_node *node) {
    static const char *const marks[] = {[PLAN_KEPT] = " ",
                                        [PLAN_CHANGED] = "~",
                                        [PLAN_REOPENED] = "~",
                                        [PLAN_ADDED] = "+",
                                        [PLAN_REMOVED] = "-"};
    (void)sl_buffer_printf(
        out, "  %s %s %s: %s\n", marks[node->action], topology_kind_name(node->kind), node->name,
        node->action == PLAN_REOPENED ? "opened anew, since what it reads of is changed"
                                      : plan_action_name(node->action));
    for (size_t i = 0; i < node->n_differences; i++) {
        difference_text(out, &node->differences[i]);
    }
}

void plan_text(sl_buffer *out, const struct topology_plan *plan) {
    size_t kept = 0;
    if (plan->same) {
        (void)sl_buffer_append_text(out, "Nothing differs.\n");
        return;
    }
    for (size_t i = 0; i < plan->n_nodes; i++) {
        if (plan->nodes[i].action == PLAN_KEPT) {
            kept++;
        } else {
            node_text(out, &plan->nodes[i]);
        }
    }
    for (size_t i = 0; i < plan->n_settings; i++) {
        difference_text(out, &plan->settings[i]);
    }
    (void)sl_buffer_printf(out, "%zu %s kept.\n", kept, kept == 1 ? "node is" : "nodes are");
    if (plan->refusal != NULL) {
        (void)sl_buffer_printf(out, "It cannot take effect while sluice runs: %s.\n",
                               plan->refusal);
    }
}

/* ---- JSON ---- */

static void raw_member(struct json_out *out, const char *key, const char *json) {
    json_out_key(out, key);
    json_out_raw(out, json == NULL ? "null" : json);
}

static void differences_json(struct json_out *out, const char *key,
                             const struct plan_difference *list, size_t n) {
    json_out_key(out, key);
    json_out_array(out);
    for (size_t i = 0; i < n; i++) {
        json_out_object(out);
        json_out_member(out, "path", list[i].path);
        raw_member(out, "before", list[i].before);
        raw_member(out, "after", list[i].after);
        json_out_member_bool(out, "hidden", is_hidden(&list[i]));
        json_out_end_object(out);
    }
    json_out_end_array(out);
}

void plan_json(struct json_out *out, const struct topology_plan *plan) {
    json_out_object(out);
    json_out_member_bool(out, "same", plan->same);
    json_out_member(out, "refusal", plan->refusal);
    json_out_key(out, "nodes");
    json_out_array(out);
    for (size_t i = 0; i < plan->n_nodes; i++) {
        const struct plan_node *node = &plan->nodes[i];
        json_out_object(out);
        json_out_member(out, "name", node->name);
        json_out_member(out, "kind", topology_kind_name(node->kind));
        json_out_member(out, "action", plan_action_name(node->action));
        differences_json(out, "differences", node->differences, node->n_differences);
        json_out_end_object(out);
    }
    json_out_end_array(out);
    differences_json(out, "settings", plan->settings, plan->n_settings);
    json_out_end_object(out);
}
