/* Making streams: the walk over the graph that finds which edges a stream flows along and who keeps
 * a position of it. */
#include "delivery/stream.h"

#include "delivery/accounts.h"
#include "host/run.h"
#include "lane/branch.h"

#include <stdlib.h>
#include <string.h>

static void append_key_part(sl_buffer *key, const char *part) {
    sl_buffer_append_byte(key, '/');
    for (const char *p = part; *p != '\0'; p++) {
        if (*p == '/' || *p == '%') {
            sl_buffer_printf(key, "%%%02X", (unsigned)(unsigned char)*p);
        } else {
            sl_buffer_append_byte(key, (uint8_t)*p);
        }
    }
}

/* sluice/<pipeline>/<node>/<input>/<source>/<topic>/<partition> */
static char *position_key(const struct reader *reader) {
    const struct stream *stream = reader->stream;
    sl_buffer key = SL_BUFFER_INIT;
    sl_buffer_append_text(&key, "sluice");
    append_key_part(&key, stream->host->settings->pipeline);
    append_key_part(&key, reader->node->spec->name);
    append_key_part(&key, reader->node->spec->inputs[reader->input].name);
    append_key_part(&key, stream->pub.source);
    append_key_part(&key, stream->topic);
    sl_buffer_printf(&key, "/%d", (int)stream->pub.partition);
    if (sl_buffer_text(&key) == NULL) {
        sl_buffer_free(&key);
        return NULL;
    }
    size_t bytes;
    return (char *)sl_buffer_take(&key, &bytes);
}

/* Marks every edge that leaves `output` of `node`, and goes on behind the nodes that let the stream
 * through. */
static void walk(struct stream *stream, const struct host_node *node, uint32_t output) {
    for (size_t i = 0; i < node->n_routes[output]; i++) {
        const struct route *route = &node->routes[output][i];
        if (stream->on_edge[route->edge]) {
            continue;
        }
        if (atomic_load_explicit(&route->to->waiting, memory_order_relaxed)) {
            stream->left_out = true;
            continue;
        }
        stream->on_edge[route->edge] = true;
        stream->n_edges++;
        stream->n_readers += route->to->has_cycle ? 1 : 0;
        if (route->to->passes) {
            for (uint32_t o = 0; o < route->to->opened->n_outputs; o++) {
                walk(stream, route->to, o);
            }
        }
    }
}

static sl_error *collect(struct stream *stream) {
    struct host *host = stream->host;
    stream->readers = calloc(stream->n_readers + 1, sizeof(*stream->readers));
    stream->edges = calloc(stream->n_edges + 1, sizeof(struct lane_edge *));
    stream->edge_tasks = calloc(stream->n_edges + 1, sizeof(struct lane_task *));
    stream->told = calloc(stream->n_edges + 1, sizeof(bool));
    stream->held = calloc(stream->n_edges + 1, sizeof(bool));
    if (stream->readers == NULL || stream->edges == NULL || stream->edge_tasks == NULL ||
        stream->told == NULL || stream->held == NULL) {
        return sl_error_no_memory();
    }
    size_t edges = 0;
    size_t readers = 0;
    for (size_t n = 0; n < host->n_nodes; n++) {
        struct host_node *node = host->nodes[n];
        for (uint32_t input = 0; input < node->spec->n_inputs; input++) {
            struct lane_task *task = &node->tasks[stream->lane->index];
            size_t edge = task->inputs[input].index;
            if (!stream->on_edge[edge]) {
                continue;
            }
            stream->edges[edges] = &task->inputs[input];
            stream->edge_tasks[edges++] = task;
            if (!node->has_cycle) {
                continue;
            }
            struct reader *reader = &stream->readers[readers++];
            *reader = (struct reader){.stream = stream,
                                      .node = node,
                                      .input = input,
                                      .stored = SL_OFFSET_NONE,
                                      .pending = SL_OFFSET_NONE,
                                      .position = SL_OFFSET_NONE};
            reader->key = position_key(reader);
            if (reader->key == NULL) {
                return sl_error_no_memory();
            }
            sl_error *error = accounts_open(reader);
            if (error != NULL) {
                return error;
            }
            stream->reader_by_edge[edge] = reader;
        }
    }
    return NULL;
}

/* Indexes of streams that are gone are given again: plugins keep tables by them. */
uint32_t stream_take_index(struct host *host) {
    return host->n_free_indexes > 0 ? host->free_indexes[--host->n_free_indexes]
                                    : host->n_stream_indexes++;
}

/* Without memory to note it the number is not used again. */
static void give_index_back(struct host *host, uint32_t index) {
    if (host->n_free_indexes == host->capacity_free_indexes) {
        size_t capacity = host->n_free_indexes + 64;
        uint32_t *grown = realloc(host->free_indexes, capacity * sizeof(*grown));
        if (grown == NULL) {
            return;
        }
        host->free_indexes = grown;
        host->capacity_free_indexes = capacity;
    }
    host->free_indexes[host->n_free_indexes++] = index;
}

static struct stream *main_of(struct stream *stream) {
    return stream->fed != NULL ? stream->fed->main : stream;
}

void stream_use(struct stream *stream) {
    atomic_fetch_add_explicit(&main_of(stream)->uses, 1, memory_order_relaxed);
}

void stream_let_go(struct stream *stream) {
    atomic_fetch_sub_explicit(&main_of(stream)->uses, 1, memory_order_release);
}

sl_error *stream_new(struct host_node *owner, uint32_t output, const char *topic, int32_t partition,
                     struct stream **out) {
    struct host *host = owner->host;
    struct stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return sl_error_no_memory();
    }
    stream->pub.index = stream_take_index(host);
    uint32_t spread =
        owner->spec->kind == TOPOLOGY_SOURCE ? (uint32_t)partition : (uint32_t)owner->index;
    stream->host = host;
    stream->owner = owner;
    stream->output = output;
    stream->lane = &host->lanes[spread % host->n_lanes];
    stream->acknowledged = SL_OFFSET_NONE;
    stream->stop = INT64_MAX;
    atomic_init(&stream->log_end, SL_OFFSET_NONE);
    stream->topic = strdup(topic);
    sl_error *error = NULL;
    if (stream->topic == NULL) {
        error = sl_error_no_memory();
    } else {
        stream->pub = (sl_stream){.struct_bytes = sizeof(stream->pub),
                                  .index = stream->pub.index,
                                  .source = owner->spec->name,
                                  .topic = stream->topic,
                                  .partition = partition,
                                  .lane = stream->lane->index,
                                  .epoch = host->n_epochs++};
    }
    if (error != NULL) {
        stream_free(stream);
        return error;
    }
    *out = stream;
    return NULL;
}

static void unwire(struct stream *stream) {
    for (size_t i = 0; stream->readers != NULL && i < stream->n_readers; i++) {
        free(stream->readers[i].key);
        accounts_free(&stream->readers[i]);
    }
    free(stream->readers);
    free(stream->edges);
    free(stream->edge_tasks);
    free(stream->told);
    free(stream->held);
    stream->readers = NULL;
    stream->edges = NULL;
    stream->edge_tasks = NULL;
    stream->told = NULL;
    stream->held = NULL;
    stream->n_readers = stream->n_edges = 0;
}

static sl_error *make_room(struct stream *stream) {
    const struct host *host = stream->host;
    stream->on_edge = calloc(host->n_edges + 1, sizeof(bool));
    stream->reader_by_edge = calloc(host->n_edges + 1, sizeof(struct reader *));
    stream->emitted_to = calloc(host->n_outputs + 1, sizeof(int64_t));
    if (stream->on_edge == NULL || stream->reader_by_edge == NULL || stream->emitted_to == NULL) {
        return sl_error_no_memory();
    }
    stream->n_all_edges = host->n_edges;
    stream->n_all_outputs = host->n_outputs;
    return NULL;
}

sl_error *stream_wire(struct stream *stream) {
    sl_error *error = make_room(stream);
    if (error != NULL) {
        return error;
    }
    walk(stream, stream->owner, stream->output);
    error = collect(stream);
    error = error != NULL ? error : branches_new(stream);
    if (error != NULL) {
        unwire(stream);
    }
    return error;
}

bool stream_is_read_by(const struct stream *stream, const struct host_node *node) {
    bool found = false;
    for (size_t r = 0; r < stream->n_readers; r++) {
        found = found || stream->readers[r].node == node;
    }
    return found && stream->state != STREAM_DETACHED;
}

/* A sink that somebody reads lets its streams through, with what it rejects. */
static bool may_pass(const struct host_node *node) {
    return node->passes || node->spec->kind == TOPOLOGY_SINK;
}

bool stream_flows_to(const struct stream *stream, const struct host_node *node) {
    for (size_t i = 0; i < node->spec->n_inputs; i++) {
        const struct lane_edge *edge = &node->tasks[0].inputs[i];
        if (edge->from == stream->owner
                ? edge->spec->output == stream->output
                : may_pass(edge->from) && stream_flows_to(stream, edge->from)) {
            return true;
        }
    }
    return false;
}

void stream_free(struct stream *stream) {
    give_index_back(stream->host, stream->pub.index);
    branches_free(stream);
    unwire(stream);
    free(stream->reader_by_edge);
    free(stream->on_edge);
    free(stream->emitted_to);
    free(stream->cuts);
    free(stream->topic);
    free(stream);
}

struct stream *stream_find(const struct host_node *owner, const char *topic, int32_t partition) {
    struct host *host = owner->host;
    for (size_t i = host->n_streams; i-- > 0;) {
        struct stream *stream = host->streams[i];
        if (stream->owner == owner && stream->state != STREAM_DETACHED &&
            stream->pub.partition == partition && strcmp(stream->topic, topic) == 0) {
            return stream;
        }
    }
    return NULL;
}
