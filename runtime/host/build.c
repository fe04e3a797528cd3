/* From a topology to objects that can run: see build.h. */
#include "host/build.h"

#include "delivery/assignment.h"
#include "delivery/cycle.h"
#include "delivery/keeper.h"
#include "delivery/places.h"
#include "delivery/stream.h"
#include "host/network.h"
#include "lane/rejects.h"
#include "lane/tap.h"

#include <stdlib.h>
#include <string.h>

static sl_error *open_state_store(struct host *host, struct host_node *node) {
    if (host->topology->state_url == NULL) {
        return NULL;
    }
    sl_buffer url = SL_BUFFER_INIT;
    sl_buffer_printf(&url, "%s/nodes/%s", host->topology->state_url, node->spec->name);
    const char *text = sl_buffer_text(&url);
    sl_error *error = text == NULL
                          ? sl_error_no_memory()
                          : network_store_open(host->network, text, false, &node->state_store);
    sl_buffer_free(&url);
    return error;
}

sl_error *host_node_new(struct host *host, const struct topology_node *spec,
                        struct host_node **out) {
    struct host_node *node = calloc(1, sizeof(*node));
    struct lane_task *tasks = calloc(host->n_lanes, sizeof(*tasks));
    if (node == NULL || tasks == NULL) {
        free(node);
        free(tasks);
        return sl_error_no_memory();
    }
    node->host = host;
    node->tasks = tasks;
    node->index = host->n_made;
    node->spec = spec;
    node->ops = spec->role->node;
    node->task_ops = spec->role->task;
    node->flags = topology_node_flags(spec);
    bool owns = (node->flags & SL_ROLE_OWNS_STREAMS) != 0;
    node->has_cycle = spec->kind == TOPOLOGY_SINK ||
                      (spec->kind == TOPOLOGY_TRANSFORM && (node->flags & SL_ROLE_DURABLE) != 0);
    node->passes = spec->kind == TOPOLOGY_TRANSFORM && !owns;
    node->object =
        (struct sl_object){.kind = OBJECT_NODE, .host = host, .node = node, .loop = &host->control};
    cycle_init(&node->cycle, node);
    host->all[host->n_made++] = node; /* host_free takes what has been made of it */
    *out = node;
    if ((node->flags & SL_ROLE_BLOCKING) != 0) {
        sl_error *error = loop_init(&node->own_loop, spec->name);
        if (error != NULL) {
            return error;
        }
        node->own_thread = true;
        node->object.loop = &node->own_loop;
    }
    return open_state_store(host, node);
}

void host_publish_nodes(struct host *host) {
    atomic_store_explicit(&host->n_all, host->n_made, memory_order_release);
}

static sl_error *init_keeper(struct host_node *node) {
    if (node->spec->kind != TOPOLOGY_SINK || (node->flags & SL_ROLE_DURABLE) != 0) {
        return NULL;
    }
    return keeper_new(node, node->state_store, &node->keeper);
}

static sl_object *object_for(void *arg, size_t index) {
    struct host *host = arg;
    return &host->nodes[index]->object;
}

struct graph_options host_graph_options(struct host *host) {
    return (struct graph_options){
        .flags = host->options->until_end ? SL_RUN_UNTIL_END : 0,
        .lanes = host->n_lanes,
        .services = host_services(),
        .object = object_for,
        .object_arg = host,
    };
}

static sl_error *open_graph(struct host *host) {
    const struct graph_options options = host_graph_options(host);
    return graph_open(host->topology, &options, NULL, &host->graph);
}

/* The inputs among `nodes` that read an output of `from`; counts them when `routes` is NULL. */
static size_t list_readers(struct host_node *const *nodes, size_t n_nodes,
                           const struct host_node *from, size_t output, struct route *routes) {
    size_t n_readers = 0;
    for (size_t n = 0; n < n_nodes; n++) {
        struct host_node *to = nodes[n];
        for (uint32_t input = 0; input < to->spec->n_inputs; input++) {
            const struct lane_edge *edge = &to->tasks[0].inputs[input];
            if (edge->from != from || edge->spec->output != output) {
                continue;
            }
            if (routes != NULL) {
                routes[n_readers] = (struct route){to, input, edge->index};
            }
            n_readers++;
        }
    }
    return n_readers;
}

/* While somebody reads what a sink rejects, rows of its streams go through it; otherwise nobody
 * needs what it answers to those that it has. */
static void pass_rejects(struct host_node *sink) {
    uint32_t output = topology_rejects_output(sink->spec);
    sink->passes = output != TOPOLOGY_NO_OUTPUT && sink->n_routes[output] > 0;
    sink->flags = topology_node_flags(sink->spec);
    if (!sink->passes) {
        sink->flags &= ~(uint32_t)SL_ROLE_REPLAYS;
    }
}

struct link {
    struct link *next;
    struct host_node *from;
    size_t output;
    size_t n;
    struct route *routes;
};

void links_free(struct link *links) {
    while (links != NULL) {
        struct link *link = links;
        links = link->next;
        free(link->routes);
        free(link);
    }
}

static sl_error *add_link(struct host_node *const *nodes, size_t n, struct host_node *from,
                          size_t output, struct link **links) {
    struct link *link = calloc(1, sizeof(*link));
    if (link == NULL) {
        return sl_error_no_memory();
    }
    *link = (struct link){.next = *links, .from = from, .output = output};
    *links = link;
    link->routes = calloc(list_readers(nodes, n, from, output, NULL) + 1, sizeof(struct route));
    if (link->routes == NULL) {
        return sl_error_no_memory();
    }
    link->n = list_readers(nodes, n, from, output, link->routes);
    return NULL;
}

sl_error *links_new(struct host_node *const *nodes, size_t n, struct link **out) {
    sl_error *error = NULL;
    *out = NULL;
    for (size_t i = 0; i < n && error == NULL; i++) {
        size_t n_outputs = topology_node_outputs(nodes[i]->spec);
        for (size_t output = 0; output < n_outputs && error == NULL; output++) {
            error = add_link(nodes, n, nodes[i], output, out);
        }
    }
    if (error != NULL) {
        links_free(*out);
        *out = NULL;
    }
    return error;
}

static bool is_linked(const struct link *link) {
    const struct route *routes = link->from->routes[link->output];
    bool same = routes != NULL && link->from->n_routes[link->output] == link->n;
    for (size_t i = 0; i < link->n && same; i++) {
        same = routes[i].edge == link->routes[i].edge;
    }
    return same;
}

void links_apply(struct link *links) {
    for (struct link *link = links; link != NULL; link = link->next) {
        if (is_linked(link)) {
            continue; /* lanes may be reading them */
        }
        struct route *old = link->from->routes[link->output];
        link->from->routes[link->output] = link->routes;
        link->from->n_routes[link->output] = link->n;
        link->routes = old;
        if (link->from->spec->kind == TOPOLOGY_SINK) {
            pass_rejects(link->from);
        }
    }
    links_free(links);
}

static sl_error *init_task(struct host_node *node, uint32_t lane, struct host_node *const *nodes) {
    struct lane_task *task = &node->tasks[lane];
    struct host *host = node->host;
    task->object = (struct sl_object){
        .kind = OBJECT_TASK, .host = host, .node = node, .loop = &host->lanes[lane].loop};
    task->inputs = calloc(node->spec->n_inputs + 1, sizeof(*task->inputs));
    size_t n_outputs = topology_node_outputs(node->spec);
    task->rows_out = calloc(n_outputs + 1, sizeof(*task->rows_out));
    task->bytes_out = calloc(n_outputs + 1, sizeof(*task->bytes_out));
    atomic_init(&task->age_us, -1);
    task->batches_out = calloc(n_outputs + 1, sizeof(*task->batches_out));
    if (task->inputs == NULL || task->rows_out == NULL || task->bytes_out == NULL ||
        task->batches_out == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < node->spec->n_inputs; i++) {
        task->inputs[i].tail = &task->inputs[i].head;
        task->inputs[i].limit_bytes = (size_t)node->spec->inputs[i].buffer_bytes;
        task->inputs[i].index = host->n_edges + i;
        task->inputs[i].from = nodes[node->spec->inputs[i].from];
        task->inputs[i].spec = &node->spec->inputs[i];
    }
    task->lane = &host->lanes[lane];
    return NULL;
}

sl_error *host_node_wire(struct host_node *node, struct host_node *const *nodes) {
    struct host *host = node->host;
    size_t n_outputs = topology_node_outputs(node->spec);
    node->routes = calloc(n_outputs + 1, sizeof(struct route *));
    node->n_routes = calloc(n_outputs + 1, sizeof(size_t));
    node->tapped = calloc(n_outputs + 1, sizeof(*node->tapped));
    bool short_of_memory = node->routes == NULL || node->n_routes == NULL || node->tapped == NULL;
    sl_error *error = short_of_memory ? sl_error_no_memory() : rates_init(node);
    for (uint32_t lane = 0; lane < host->n_lanes && error == NULL; lane++) {
        error = init_task(node, lane, nodes);
    }
    if (error == NULL) {
        error = init_keeper(node);
    }
    node->first_output = host->n_outputs;
    host->n_outputs += n_outputs;
    host->n_edges += node->spec->n_inputs;
    return error;
}

static sl_error *build_graph(struct host *host) {
    sl_error *error = NULL;
    for (size_t n = 0; n < host->n_nodes && error == NULL; n++) {
        host->nodes[n]->opened = &host->graph->nodes[n];
        error = host_node_wire(host->nodes[n], host->nodes);
    }
    struct link *links = NULL;
    error = error != NULL ? error : links_new(host->nodes, host->n_nodes, &links);
    if (error == NULL) {
        links_apply(links);
        host_publish_nodes(host);
    }
    return error;
}

static void log_network(void *arg, bool warning, const char *text) {
    host_log(arg, warning ? SL_LOG_WARN : SL_LOG_DEBUG, NULL, "%s", text);
}

static sl_error *open_network(struct host *host) {
    host->network = host->options->network;
    if (host->network == NULL) {
        return network_new(host->topology, log_network, host, &host->network);
    }
    network_log_to(host->network, log_network, host);
    return NULL;
}

static void leave_network(struct host *host) {
    if (host->options->network == NULL) {
        network_free(host->network);
    } else if (host->network != NULL) {
        network_log_to(host->network, NULL, NULL);
    }
}

sl_error *host_build(struct host *host) {
    const struct topology *topology = host->topology;
    sl_error *error = loop_init(&host->control, "control");
    if (error != NULL) {
        return error;
    }
    uint32_t lanes = topology->lanes != 0 ? topology->lanes : uv_available_parallelism();
    host->lanes = calloc(lanes, sizeof(*host->lanes));
    host->nodes = calloc(topology->n_nodes + 1, sizeof(struct host_node *));
    host->all = calloc(HOST_NODES_MAX, sizeof(struct host_node *));
    if (host->lanes == NULL || host->nodes == NULL || host->all == NULL) {
        error = sl_error_no_memory();
    }
    if (error == NULL) {
        error = open_network(host);
    }
    if (error == NULL &&
        ((host->taps = taps_new(host)) == NULL || (host->events = events_new()) == NULL)) {
        error = sl_error_no_memory();
    }
    for (uint32_t i = 0; i < lanes && error == NULL; i++) {
        error = lane_init(&host->lanes[i], host, i);
        host->n_lanes += error == NULL ? 1 : 0;
    }
    for (size_t n = 0; n < topology->n_nodes && error == NULL; n++) {
        error = host_node_new(host, &topology->nodes[n], &host->nodes[n]);
        host->n_nodes += error == NULL ? 1 : 0;
    }
    if (error == NULL) {
        error = open_graph(host);
    }
    if (error == NULL) {
        error = build_graph(host);
    }
    if (error != NULL) {
        host_free(host);
    }
    return error;
}

sl_error *host_start_threads(struct host *host) {
    sl_error *error = NULL;
    for (uint32_t i = 0; i < host->n_lanes && error == NULL; i++) {
        error = loop_start(&host->lanes[i].loop);
    }
    for (size_t n = 0; n < host->n_nodes && error == NULL; n++) {
        if (host->nodes[n]->own_thread) {
            error = loop_start(&host->nodes[n]->own_loop);
        }
    }
    return error;
}

static void free_tasks(struct host_node *node) {
    for (uint32_t i = 0; node->tasks != NULL && i < node->host->n_lanes; i++) {
        struct lane_task *task = &node->tasks[i];
        for (size_t e = 0; task->inputs != NULL && e < node->spec->n_inputs; e++) {
            edge_clear(&task->inputs[e]);
        }
        object_free_metrics(&task->object);
        free(task->inputs);
        free(task->rows_out);
        free(task->bytes_out);
        free(task->batches_out);
        free(task->readers);
        free(task->flushed_to);
        free(task->taken.items);
        free(task->flushed.items);
        rejects_free(task->rejects);
    }
    free(node->tasks);
}

static void free_node(struct host_node *node) {
    for (size_t o = 0; node->routes != NULL && o < topology_node_outputs(node->spec); o++) {
        free(node->routes[o]);
    }
    free(node->routes);
    free(node->n_routes);
    free((void *)node->tapped);
    rates_free(node);
    keeper_free(node->keeper);
    places_free(node);
    cycle_free(&node->cycle);
    if (node->state_store != NULL) {
        node->state_store->ops->close(node->state_store);
    }
    object_free_metrics(&node->object);
    sl_error_free(node->failure);
    sl_error_free(atomic_load(&node->reported));
    sl_error_free(node->restart.not_yet); /* the run ended before the others had started */
}

static void stop_threads(struct host *host) {
    for (uint32_t i = 0; i < host->n_lanes; i++) {
        if (host->lanes[i].loop.threaded) {
            loop_stop(&host->lanes[i].loop);
        }
    }
    for (size_t n = 0; n < host->n_made; n++) {
        struct host_node *node = host->all[n];
        if (node->own_thread) {
            if (node->own_loop.threaded) {
                loop_stop(&node->own_loop);
            }
            loop_close(&node->own_loop);
        }
    }
}

static void close_graphs(struct host *host) {
    for (struct reloaded *r = host->reloads; r != NULL; r = r->next) {
        graph_close(r->graph);
    }
    graph_close(host->graph);
}

static void free_reloads(struct host *host) {
    while (host->reloads != NULL) {
        struct reloaded *reloaded = host->reloads;
        host->reloads = reloaded->next;
        topology_free(reloaded->topology);
        free(reloaded);
    }
}

void host_free(struct host *host) {
    size_t n_all = host->n_made;
    stop_threads(host);
    for (uint32_t i = 0; i < host->n_lanes; i++) {
        uv_close((uv_handle_t *)&host->lanes[i].idle, NULL);
        uv_close((uv_handle_t *)&host->lanes[i].look_timer, NULL);
        loop_close(&host->lanes[i].loop);
        free(host->lanes[i].streams);
    }
    for (size_t n = 0; n < n_all; n++) {
        free_tasks(host->all[n]);
        uv_close((uv_handle_t *)&host->all[n]->cycle.timer, NULL);
    }
    loop_close(&host->control);
    assignment_free_all(host);
    for (size_t i = 0; i < host->n_streams; i++) {
        stream_free(host->streams[i]);
    }
    streams_free_gone(host);
    for (size_t n = 0; n < n_all; n++) {
        free_node(host->all[n]);
    }
    close_graphs(host);
    leave_network(host);
    taps_free(host->taps);
    events_free(host->events);
    host->events = NULL;
    free(host->streams);
    free(host->free_indexes);
    for (size_t n = 0; n < n_all; n++) {
        free(host->all[n]);
    }
    free_reloads(host);
    free(host->all);
    free(host->nodes);
    free(host->lanes);
}
