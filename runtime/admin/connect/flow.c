/*
 * What flows through a node, in Kafka Connect's words: the topics that reach it, and the offsets
 * that are durable. Both from the streams that this host has been assigned.
 */
#include "admin/handlers.h"
#include "delivery/stream.h"

/* Whether rows of the stream reach the node, or leave it when it owns it. */
static bool flows(const struct stream *stream, const struct host_node *node) {
    if (stream->state == STREAM_DETACHED) {
        return false;
    }
    if (stream->owner == node) {
        return true;
    }
    for (size_t i = 0; i < node->spec->n_inputs; i++) {
        if (stream_is_on(stream, node->tasks[0].inputs[i].index)) {
            return true;
        }
    }
    return false;
}

/* A source's topic; what a transform emits by itself is called as an input is: NODE.OUTPUT. */
static void name_topic(sl_buffer *name, const struct stream *stream) {
    const struct topology_node *owner = stream->owner->spec;
    if (owner->kind == TOPOLOGY_SOURCE) {
        (void)sl_buffer_append_text(name, stream->topic);
    } else {
        sl_buffer_printf(name, "%s%s%s", owner->name, stream->topic[0] != 0 ? "." : "",
                         stream->topic);
    }
}

static void write_topic(struct json_out *out, const struct stream *stream) {
    sl_buffer name = SL_BUFFER_INIT;
    name_topic(&name, stream);
    json_out_string(out, sl_buffer_text(&name));
    sl_buffer_free(&name);
}

/* ---- topics ---- */

static bool named_before(const struct host_node *node, size_t at) {
    struct stream *const *streams = node->host->streams;
    for (size_t i = 0; i < at; i++) {
        bool same_owner = streams[i]->owner == streams[at]->owner ||
                          (streams[i]->owner->spec->kind == TOPOLOGY_SOURCE &&
                           streams[at]->owner->spec->kind == TOPOLOGY_SOURCE);
        if (same_owner && flows(streams[i], node) &&
            strcmp(streams[i]->topic, streams[at]->topic) == 0) {
            return true;
        }
    }
    return false;
}

void answer_topics(struct exchange *exchange) {
    const struct host_node *node = exchange_node(exchange);
    if (node == NULL) {
        return;
    }
    struct json_out out = exchange_writer(exchange);
    json_out_object(&out);
    json_out_key(&out, node->spec->name);
    json_out_object(&out);
    json_out_key(&out, "topics");
    json_out_array(&out);
    for (size_t i = 0; i < node->host->n_streams; i++) {
        if (flows(node->host->streams[i], node) && !named_before(node, i)) {
            write_topic(&out, node->host->streams[i]);
        }
    }
    json_out_end_array(&out);
    json_out_end_object(&out);
    json_out_end_object(&out);
    exchange_json(exchange, 200, &out);
}

/* They are those of now, and none is remembered: a reset has nothing to do. */
void answer_reset_topics(struct exchange *exchange) {
    if (exchange_node(exchange) != NULL) {
        exchange->status = 202;
    }
}

/* ---- offsets ---- */

/*
 * The next offset that the node needs; of the stream's owner, the next that any of its readers
 * needs. SL_OFFSET_NONE: none is durable yet, or the node keeps no positions.
 */
static int64_t durable_offset(const struct stream *stream, const struct host_node *node) {
    int64_t smallest = INT64_MAX;
    for (size_t r = 0; r < stream->n_readers; r++) {
        const struct reader *reader = &stream->readers[r];
        bool counts = reader->node == node || stream->owner == node;
        if (counts && reader->stored < smallest) {
            smallest = reader->stored;
        }
    }
    return smallest == INT64_MAX ? SL_OFFSET_NONE : smallest;
}

void offsets_write(struct json_out *out, const char *topic, int64_t partition, int64_t offset) {
    json_out_object(out);
    json_out_key(out, "partition");
    json_out_object(out);
    json_out_member(out, "kafka_topic", topic);
    json_out_member_integer(out, "kafka_partition", partition);
    json_out_end_object(out);
    json_out_key(out, "offset");
    json_out_object(out);
    json_out_member_integer(out, "kafka_offset", offset);
    json_out_end_object(out);
    json_out_end_object(out);
}

static void write_offset(struct json_out *out, const struct stream *stream, int64_t offset) {
    sl_buffer topic = SL_BUFFER_INIT;
    name_topic(&topic, stream);
    offsets_write(out, sl_buffer_text(&topic), stream->pub.partition, offset);
    sl_buffer_free(&topic);
}

void answer_offsets(struct exchange *exchange) {
    struct host_node *node = exchange_node(exchange);
    if (node == NULL || offsets_answer_stopped(exchange, node)) {
        return;
    }
    struct json_out out = exchange_writer(exchange);
    json_out_object(&out);
    json_out_key(&out, "offsets");
    json_out_array(&out);
    for (size_t i = 0; i < node->host->n_streams; i++) {
        const struct stream *stream = node->host->streams[i];
        int64_t offset = flows(stream, node) ? durable_offset(stream, node) : SL_OFFSET_NONE;
        if (offset != SL_OFFSET_NONE) {
            write_offset(&out, stream, offset);
        }
    }
    json_out_end_array(&out);
    json_out_end_object(&out);
    exchange_json(exchange, 200, &out);
}
