/*
 * Kafka Connect's offsets of a node that is STOPPED: what they are, altering and resetting them.
 * Only where the host keeps a node's positions they can be altered; the others lie with their data,
 * in the same commit, and are changed by nobody but it.
 */
#include "admin/handlers.h"
#include "delivery/keeper.h"

#include <stdlib.h>

enum { KEY_PARTS = 7 };

/* One position, by its key sluice/PIPELINE/NODE/INPUT/SOURCE/TOPIC/PARTITION. */
struct kept {
    char *key;
    char *topic; /* as Connect's clients see it */
    int64_t partition;
    int64_t offset;
    int64_t wanted;
    bool is_count; /* what belongs to a position: "#rows" and so on */
    bool altered;
};

/* One request, while the keeper is asked. */
struct asking {
    sl_request request; /* first */
    struct exchange *exchange;
    struct host_node *node;
    struct kept *kept;
    size_t n_kept;
    bool failed; /* memory ran short */
    sl_position *positions;
    size_t n_positions;
    void (*go_on)(struct asking *asking); /* the keeper has answered */
};

/* ---- keys ---- */

static bool is_source(const struct host *host, const char *name) {
    for (size_t n = 0; n < host->n_nodes; n++) {
        if (strcmp(host->nodes[n]->spec->name, name) == 0) {
            return host->nodes[n]->spec->kind == TOPOLOGY_SOURCE;
        }
    }
    return true;
}

/* The parts of a key, decoded, one behind the other; false when it is none, or memory is short. */
static bool split(const char *key, sl_buffer *text, const char *parts[KEY_PARTS]) {
    size_t starts[KEY_PARTS];
    for (size_t i = 0; i < KEY_PARTS; i++) {
        size_t bytes = strcspn(key, i + 1 < KEY_PARTS ? "/" : "#");
        starts[i] = text->bytes;
        if (!sl_percent_decode(text, key, bytes) || !sl_buffer_append_byte(text, 0) ||
            (i + 1 < KEY_PARTS && key[bytes] != '/')) {
            return false;
        }
        key += bytes + (key[bytes] == '/');
    }
    for (size_t i = 0; i < KEY_PARTS; i++) {
        parts[i] = (const char *)text->data + starts[i];
    }
    return true;
}

/* A source's topic; what a transform emits by itself is called as an input is: NODE.OUTPUT. */
static char *topic_of(const struct host *host, const char *owner, const char *topic) {
    sl_buffer name = SL_BUFFER_INIT;
    if (is_source(host, owner)) {
        (void)sl_buffer_append_text(&name, topic);
    } else {
        (void)sl_buffer_printf(&name, "%s%s%s", owner, *topic != 0 ? "." : "", topic);
    }
    size_t bytes;
    return sl_buffer_text(&name) == NULL ? NULL : (char *)sl_buffer_take(&name, &bytes);
}

static void take(void *arg, const char *key, int64_t offset) {
    struct asking *asking = arg;
    sl_buffer text = SL_BUFFER_INIT;
    const char *parts[KEY_PARTS];
    int64_t partition;
    if (split(key, &text, parts) && sl_parse_i64(parts[6], strlen(parts[6]), &partition)) {
        struct kept *grown = realloc(asking->kept, (asking->n_kept + 1) * sizeof(*asking->kept));
        asking->kept = grown != NULL ? grown : asking->kept;
        if (grown != NULL) {
            struct kept *kept = &asking->kept[asking->n_kept++];
            *kept = (struct kept){.key = strdup(key),
                                  .topic = topic_of(asking->node->host, parts[4], parts[5]),
                                  .partition = partition,
                                  .offset = offset,
                                  .is_count = strchr(key, '#') != NULL};
            asking->failed = asking->failed || kept->key == NULL || kept->topic == NULL;
        }
        asking->failed = asking->failed || grown == NULL;
    }
    asking->failed = asking->failed || text.failed;
    sl_buffer_free(&text);
}

/* ---- asking the keeper ---- */

static void free_asking(struct asking *asking) {
    for (size_t i = 0; i < asking->n_kept; i++) {
        free(asking->kept[i].key);
        free(asking->kept[i].topic);
    }
    free(asking->kept);
    free(asking->positions);
    free(asking);
}

static void finish(struct asking *asking) {
    if (asking->exchange != NULL) {
        asking->exchange->abandon = NULL;
        exchange_finish(asking->exchange);
    }
    free_asking(asking);
}

static void keeper_answered(sl_request *request, sl_error *error) {
    struct asking *asking = (struct asking *)(void *)request;
    if (asking->exchange == NULL) {
        sl_error_free(error);
        finish(asking);
    } else if (error != NULL) {
        exchange_fail(asking->exchange, sl_error_is(error, SL_ERROR_CONFLICT) ? 409 : 500, "%s",
                      sl_error_message(error));
        sl_error_free(error);
        finish(asking);
    } else {
        asking->go_on(asking);
    }
}

static void abandoned(struct exchange *exchange) {
    ((struct asking *)exchange->waiter)->exchange = NULL;
}

/* Reads what is kept, then goes on. */
static void ask(struct exchange *exchange, struct host_node *node,
                void (*go_on)(struct asking *asking)) {
    struct asking *asking = calloc(1, sizeof(*asking));
    if (asking == NULL) {
        exchange_fail(exchange, 500, "memory is short");
        return;
    }
    asking->exchange = exchange;
    asking->node = node;
    asking->go_on = go_on;
    asking->request.home = &node->host->control;
    asking->request.finish = keeper_answered;
    exchange->abandon = abandoned;
    exchange->waiter = asking;
    exchange_wait(exchange);
    keeper_recover(node->keeper, NULL, 0, &asking->request);
}

/* ---- GET ---- */

static void show(struct asking *asking) {
    keeper_each(asking->node->keeper, take, asking);
    if (asking->failed) {
        exchange_fail(asking->exchange, 500, "memory is short");
        finish(asking);
        return;
    }
    struct json_out out = exchange_writer(asking->exchange);
    json_out_object(&out);
    json_out_key(&out, "offsets");
    json_out_array(&out);
    for (size_t i = 0; i < asking->n_kept; i++) {
        const struct kept *kept = &asking->kept[i];
        if (!kept->is_count) {
            offsets_write(&out, kept->topic, kept->partition, kept->offset);
        }
    }
    json_out_end_array(&out);
    json_out_end_object(&out);
    exchange_json(asking->exchange, 200, &out);
    finish(asking);
}

bool offsets_answer_stopped(struct exchange *exchange, struct host_node *node) {
    if (node->state != HOST_NODE_STOPPED || node->keeper == NULL) {
        return false;
    }
    ask(exchange, node, show);
    return true;
}

/* ---- PATCH and DELETE ---- */

/* False after a 400. */
static bool may_alter(struct exchange *exchange, const struct host_node *node) {
    const char *name = node->spec->name;
    if (node->keeper == NULL) {
        exchange_fail(exchange, 400,
                      node->has_cycle
                          ? "the positions of %s lie with its data, in the same commits: they "
                            "cannot be altered; a table's option positions says how a new node "
                            "takes one over"
                          : "%s keeps no positions: its readers do",
                      name);
        return false;
    }
    if (node->state != HOST_NODE_STOPPED) {
        exchange_fail(exchange, 400,
                      "Connectors must be in the STOPPED state before their offsets can be "
                      "modified. This can be done for the specified connector by issuing a 'PUT' "
                      "request to the '/connectors/%s/stop' endpoint",
                      name);
        return false;
    }
    return true;
}

static void altered(struct asking *asking) {
    bool reset = strcmp(asking->exchange->method, "DELETE") == 0;
    struct json_out out = exchange_writer(asking->exchange);
    json_out_object(&out);
    json_out_member(&out, "message",
                    reset ? "The offsets for this connector have been reset successfully"
                          : "The offsets for this connector have been altered successfully");
    json_out_end_object(&out);
    exchange_json(asking->exchange, 200, &out);
    finish(asking);
}

/* Stores what is wanted of those that are altered. */
static void store(struct asking *asking) {
    asking->positions = calloc(asking->n_kept + 1, sizeof(*asking->positions));
    if (asking->failed || asking->positions == NULL) {
        exchange_fail(asking->exchange, 500, "memory is short");
        finish(asking);
        return;
    }
    if (asking->node->state != HOST_NODE_STOPPED) {
        exchange_fail(asking->exchange, 409, "%s goes on already", asking->node->spec->name);
        finish(asking);
        return;
    }
    for (size_t i = 0; i < asking->n_kept; i++) {
        const struct kept *kept = &asking->kept[i];
        if (kept->altered) {
            asking->positions[asking->n_positions++] =
                (sl_position){.key = kept->key, .from = kept->offset, .to = kept->wanted};
        }
    }
    asking->go_on = altered;
    keeper_store(asking->node->keeper, asking->positions, asking->n_positions, &asking->request);
}

static void reset(struct asking *asking) {
    keeper_each(asking->node->keeper, take, asking);
    for (size_t i = 0; i < asking->n_kept; i++) {
        asking->kept[i].altered = true;
        asking->kept[i].wanted = SL_OFFSET_NONE;
    }
    store(asking);
}

static const struct json_value *inner(const struct json_value *entry, const char *part,
                                      const char *key) {
    return json_member(json_member(entry, part), key);
}

static bool is_integer(const struct json_value *value, int64_t *out) {
    return value != NULL && (value->kind == JSON_NUMBER || value->kind == JSON_STRING) &&
           sl_parse_i64(value->text, strlen(value->text), out) && *out >= 0;
}

/* One entry of the body; false after a 400. Counts of rows begin anew, at what is read next. */
static bool alter_one(struct asking *asking, const struct json_value *entry) {
    const struct json_value *topic = inner(entry, "partition", "kafka_topic");
    const struct json_value *offset = json_member(entry, "offset");
    int64_t partition;
    int64_t wanted = SL_OFFSET_NONE;
    bool forgets = offset != NULL && offset->kind == JSON_NULL;
    bool any = false;
    if (topic == NULL || topic->kind != JSON_STRING ||
        !is_integer(inner(entry, "partition", "kafka_partition"), &partition) ||
        (!forgets && !is_integer(inner(entry, "offset", "kafka_offset"), &wanted))) {
        exchange_fail(asking->exchange, 400,
                      "an offset is {\"partition\": {\"kafka_topic\": TOPIC, \"kafka_partition\": "
                      "N}, \"offset\": {\"kafka_offset\": N}}, or null as \"offset\"");
        return false;
    }
    for (size_t i = 0; i < asking->n_kept; i++) {
        struct kept *kept = &asking->kept[i];
        if (kept->partition == partition && strcmp(kept->topic, topic->text) == 0) {
            kept->altered = any = true;
            kept->wanted = kept->is_count ? SL_OFFSET_NONE : wanted;
        }
    }
    if (!any) {
        exchange_fail(asking->exchange, 400, "%s has no position of %.249s, partition %lld",
                      asking->node->spec->name, topic->text, (long long)partition);
    }
    return any;
}

static void alter(struct asking *asking) {
    struct arena arena = {0};
    keeper_each(asking->node->keeper, take, asking);
    const struct json_value *body = exchange_object(asking->exchange, &arena);
    const struct json_value *offsets = body == NULL ? NULL : json_member(body, "offsets");
    bool good = offsets != NULL && offsets->kind == JSON_ARRAY && offsets->n_children > 0;
    if (body != NULL && !good) {
        exchange_fail(asking->exchange, 400, "\"offsets\" is missing, or no array of offsets");
    }
    for (const struct json_value *o = good ? offsets->first : NULL; o != NULL && good;
         o = o->next) {
        good = asking->failed || alter_one(asking, o);
    }
    arena_free(&arena);
    if (good) {
        store(asking);
    } else {
        finish(asking);
    }
}

void answer_alter_offsets(struct exchange *exchange) {
    struct host_node *node = exchange_node(exchange);
    if (node != NULL && may_alter(exchange, node)) {
        ask(exchange, node, alter);
    }
}

void answer_reset_offsets(struct exchange *exchange) {
    struct host_node *node = exchange_node(exchange);
    if (node != NULL && may_alter(exchange, node)) {
        ask(exchange, node, reset);
    }
}
