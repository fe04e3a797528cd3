/*
 * Group membership: rebalances become assignments and revocations of the host, partitions are
 * fetched and let go one by one. Incremental (cooperative) assignments only, so that what stays is
 * not disturbed.
 *
 * A rebalance is acknowledged at once with an empty assignment; a partition is added when the host
 * has found its position (source_fetch), and taken out in one call when the host has let go.
 */
#include "rights.h"
#include "source.h"
#include "wakeup.h"

#include <stdio.h>
#include <stdlib.h>

#define LEADERS_MAY_END 0x020300ff
/* Brokers let a new group wait three seconds (group.initial.rebalance.delay.ms), and a group with a
 * member that stands still for that one's session. */
#define AWAIT_GROUP_US ((int64_t)10 * 1000000)

struct source_partition *source_partition_get(struct sl_node *node, const char *topic,
                                              int32_t number) {
    for (size_t i = 0; i < node->n_partitions; i++) {
        struct source_partition *known = node->partitions[i];
        if (known->number == number && strcmp(known->topic, topic) == 0) {
            return known;
        }
    }
    struct source_partition **grown =
        realloc((void *)node->partitions, (node->n_partitions + 1) * sizeof(*node->partitions));
    node->partitions = grown != NULL ? grown : node->partitions;
    struct source_partition *partition = calloc(1, sizeof(*partition));
    char *copy = strdup(topic);
    const char *cluster = node->section->embedded ? "embedded" : node->link.bootstrap;
    struct flow *flow = flow_get(cluster, topic);
    struct flow_reader *reader = flow == NULL ? NULL : flow_reader_new(flow, number);
    if (grown == NULL || partition == NULL || copy == NULL || reader == NULL) {
        if (flow != NULL) {
            flow_release(flow);
        }
        if (reader != NULL) {
            flow_reader_free(reader);
        }
        free(partition);
        free(copy);
        return NULL;
    }
    *partition = (struct source_partition){.node = node,
                                           .topic = copy,
                                           .number = number,
                                           .end = SL_OFFSET_NONE,
                                           .acked = SL_OFFSET_NONE,
                                           .seen = {.offset = SL_OFFSET_NONE},
                                           .looked = {.offset = SL_OFFSET_NONE},
                                           .kept_offset = SL_OFFSET_NONE,
                                           .high = -1,
                                           .asked_high = -1,
                                           .flow = flow,
                                           .reader = reader};
    pthread_mutex_init(&partition->compare_mutex, NULL);
    node->partitions[node->n_partitions++] = partition;
    return partition;
}

/* ---- taking and leaving ---- */

static void say_all_assigned(struct sl_node *node) {
    if (node->until_end && !node->said_all) {
        node->said_all = 1;
        node->services->all_assigned(node->self);
    }
}

/* Tells the host that these are ours. */
static sl_error *offer(struct sl_node *node, const rd_kafka_topic_partition_list_t *list) {
    sl_stream_name *names = calloc((size_t)list->cnt + 1, sizeof(*names));
    if (names == NULL) {
        return sl_error_no_memory();
    }
    for (int i = 0; i < list->cnt; i++) {
        struct source_partition *partition =
            source_partition_get(node, list->elems[i].topic, list->elems[i].partition);
        if (partition == NULL) {
            free(names);
            return sl_error_no_memory();
        }
        partition->owned = 1;
        partition->leaving = 0;
        names[i] = (sl_stream_name){.topic = partition->topic, .partition = partition->number};
    }
    source_tell_missing(node);
    if (list->cnt > 0) {
        node->services->assign(node->self, names, (size_t)list->cnt);
    }
    free(names);
    say_all_assigned(node);
    return NULL;
}

/* Adds to (or takes from) the client's assignment. */
static sl_error *change(struct sl_node *node, const rd_kafka_topic_partition_list_t *list,
                        bool add) {
    rd_kafka_error_t *refused = add ? rd_kafka_incremental_assign(node->client, list)
                                    : rd_kafka_incremental_unassign(node->client, list);
    if (refused == NULL) {
        return NULL;
    }
    sl_error *error =
        sl_error_new(rd_kafka_error_is_fatal(refused) ? SL_ERROR_FATAL : SL_ERROR_RETRIABLE,
                     "librdkafka refuses to %s %d partitions: %s", add ? "take" : "give up",
                     list->cnt, rd_kafka_error_string(refused));
    rd_kafka_error_destroy(refused);
    return error;
}

/* What the group assigned has been heard of. */
static sl_error *acknowledge(struct sl_node *node) {
    rd_kafka_topic_partition_list_t *nothing = rd_kafka_topic_partition_list_new(0);
    sl_error *error = change(node, nothing, true);
    rd_kafka_topic_partition_list_destroy(nothing);
    return error;
}

static void fail_if(struct sl_node *node, sl_error *error) {
    if (error != NULL) {
        node->services->fail(node->self, error);
    }
}

struct revocation {
    struct sl_node *node;
    size_t n;
    struct source_partition *partitions[];
};

/* The client is answered: of these partitions it fetches nothing any more. */
static sl_error *give_back(const struct revocation *revocation) {
    struct sl_node *node = revocation->node;
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)revocation->n + 1);
    for (size_t i = 0; i < revocation->n; i++) {
        struct source_partition *partition = revocation->partitions[i];
        if (partition->assigned) {
            rd_kafka_topic_partition_list_add(list, partition->topic, partition->number);
        }
        partition->assigned = partition->owned = partition->leaving = partition->given_up = 0;
    }
    node->rebalancing--;
    for (size_t i = 0; i < node->n_partitions && node->rebalancing == 0; i++) {
        struct source_partition *partition = node->partitions[i];
        if (partition->given_up) {
            rd_kafka_topic_partition_list_add(list, partition->topic, partition->number);
            partition->assigned = partition->given_up = 0;
        }
    }
    sl_error *error = change(node, list, false);
    rd_kafka_topic_partition_list_destroy(list);
    return error;
}

static void finish_revocation(void *arg) {
    struct revocation *revocation = arg;
    fail_if(revocation->node, give_back(revocation));
    free(revocation);
}

/*
 * What is lost is given back before the host has let go of it. A client whose session has timed out
 * forgets its member id and goes on with heartbeats until it is answered: librdkafka 2.0 would be
 * fenced by the broker, for good, since a member without its id looks like another process with
 * the same group.instance.id.
 */
static sl_error *withdraw(struct sl_node *node, const rd_kafka_topic_partition_list_t *list,
                          bool lost) {
    size_t n = (size_t)list->cnt;
    struct revocation *revocation =
        malloc(sizeof(*revocation) + n * sizeof(revocation->partitions[0]));
    sl_stream_name *names = calloc(n + 1, sizeof(*names));
    if (revocation == NULL || names == NULL) {
        free(revocation);
        free(names);
        return sl_error_no_memory();
    }
    *revocation = (struct revocation){.node = node};
    for (size_t i = 0; i < n; i++) {
        struct source_partition *partition =
            source_partition_get(node, list->elems[i].topic, list->elems[i].partition);
        if (partition != NULL && partition->owned) {
            partition->leaving = 1;
            names[revocation->n] =
                (sl_stream_name){.topic = partition->topic, .partition = partition->number};
            revocation->partitions[revocation->n++] = partition;
        }
    }
    node->rebalancing++;
    sl_error *error = lost ? give_back(revocation) : NULL;
    void (*finish)(void *) = lost ? free : finish_revocation;
    if (revocation->n > 0) {
        node->services->revoke(node->self, names, revocation->n, lost, finish, revocation);
    } else {
        finish(revocation);
    }
    source_tell_missing(node);
    free(names);
    return error;
}

/* With a group.instance.id of the operator's own the broker may remember another subscription. */
static sl_error *check_wanted(const struct sl_node *node,
                              const rd_kafka_topic_partition_list_t *list) {
    for (int i = 0; i < list->cnt; i++) {
        if (!source_wants(node, list->elems[i].topic)) {
            return sl_error_new(
                SL_ERROR_FATAL,
                "the group gave us topic \"%s\", which this node does not read: the broker "
                "remembers what this group.instance.id read before; wait for its "
                "session.timeout.ms, or give the node another group.instance.id",
                list->elems[i].topic);
        }
    }
    return NULL;
}

static void on_rebalance(struct sl_node *node, rd_kafka_event_t *event) {
    const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    node->rebalances++;
    node->joining = false;
    node->calm = 0;
    if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        node->lost = false;
        sl_error *error = acknowledge(node);
        error = error != NULL ? error : check_wanted(node, list);
        fail_if(node, error != NULL ? error : offer(node, list));
    } else {
        node->lost = rd_kafka_assignment_lost(node->client);
        fail_if(node, withdraw(node, list, node->lost));
    }
    source_count_partitions(node);
}

void source_stop_reading(struct sl_node *node) {
    /* The partitions of the embedded broker are all known since `open`. */
    for (size_t i = 0; node->section->embedded && i < node->n_partitions; i++) {
        flow_reader_advance(node->partitions[i]->reader, INT64_MAX);
    }
}

/* The client's text names the topic. */
static sl_error *refused(const struct sl_node *node, rd_kafka_resp_err_t code, const char *text) {
    return code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
               ? kafka_refused(&node->link, code, "join the group", node->group, "READ on it")
               : kafka_refused(&node->link, code, "read its topics:", text, "READ on them");
}

/*
 * A client whose session has timed out forgets its member id, and sends what it was to commit
 * before without one once the coordinator is back. To the broker, which has the old id still, that
 * is another process with the same group.instance.id (librdkafka's pull request 5585 has the same
 * of its own commits). It was none then, and a new client joins as the same member; if it was one,
 * that is fenced by it and says so.
 */
static sl_error *fatal_error(struct sl_node *node) {
    char why[400] = "";
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(node->client, why, sizeof(why));
    bool fenced = fatal == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
    const char *hint = !fenced ? ""
                       : node->lost
                           ? ": its session had timed out, and a new one joins in its place"
                           : ": another process has joined with the same \"group.instance.id\"; "
                             "give each process its own, or run one";
    return sl_error_new(fenced && node->lost ? SL_ERROR_RETRIABLE : SL_ERROR_FATAL,
                        "the consumer of %s cannot go on: %s (%s)%s", node->link.bootstrap, why,
                        rd_kafka_err2name(fatal), hint);
}

static void on_error(struct sl_node *node, rd_kafka_event_t *event) {
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code == RD_KAFKA_RESP_ERR__FATAL || rd_kafka_event_error_is_fatal(event)) {
        node->abandoned = 1;
        node->services->fail(node->self, fatal_error(node));
        return;
    }
    if (kafka_is_refused(code)) { /* the client would try again for ever */
        node->joining = false;
        node->services->fail(node->self, refused(node, code, rd_kafka_event_error_string(event)));
        return;
    }
    kafka_link_hear(&node->link, node->client, code, rd_kafka_event_error_string(event));
}

void source_serve(struct sl_node *node) {
    rd_kafka_event_t *event = NULL;
    while ((event = rd_kafka_queue_poll(node->queue, 0)) != NULL) {
        switch (rd_kafka_event_type(event)) {
        case RD_KAFKA_EVENT_REBALANCE:
            on_rebalance(node, event);
            break;
        case RD_KAFKA_EVENT_ERROR:
            on_error(node, event);
            break;
        case RD_KAFKA_EVENT_OFFSET_COMMIT:
            node->commits = false; /* best effort, whatever became of it */
            break;
        default:
            break;
        }
        rd_kafka_event_destroy(event);
    }
}

static sl_error *subscribe(struct sl_node *node) {
    const struct kafka_source_config *config = node->config;
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)config->topics.count + 1);
    for (size_t i = 0; i < config->topics.count; i++) {
        rd_kafka_topic_partition_list_add(list, config->topics.items[i], RD_KAFKA_PARTITION_UA);
    }
    if (config->topics_regex != NULL) {
        sl_buffer pattern = SL_BUFFER_INIT;
        sl_buffer_printf(&pattern, "%s%s", config->topics_regex[0] == '^' ? "" : "^",
                         config->topics_regex);
        const char *text = sl_buffer_text(&pattern);
        if (text != NULL) {
            rd_kafka_topic_partition_list_add(list, text, RD_KAFKA_PARTITION_UA);
        }
        sl_buffer_free(&pattern);
    }
    rd_kafka_resp_err_t code = rd_kafka_subscribe(node->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    node->joining = code == RD_KAFKA_RESP_ERR_NO_ERROR;
    return node->joining ? NULL : kafka_error(code, "cannot subscribe to the topics");
}

sl_error *source_join(struct sl_node *node) {
    if (!node->section->embedded) {
        return subscribe(node);
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    for (size_t i = 0; i < node->n_topics; i++) {
        rd_kafka_topic_partition_list_add_range(list, node->topics[i].name, 0,
                                                node->topics[i].partitions - 1);
    }
    sl_error *error = offer(node, list);
    rd_kafka_topic_partition_list_destroy(list);
    return error;
}

/* Who is a member cannot be made to join once more, but only to leave. */
void source_rejoin(struct sl_node *node) {
    rd_kafka_unsubscribe(node->client);
    fail_if(node, subscribe(node));
}

static void answer(struct sl_node *node, rd_kafka_event_t *event) {
    rd_kafka_event_type_t type = rd_kafka_event_type(event);
    if (type == RD_KAFKA_EVENT_REBALANCE &&
        rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        sl_error_free(acknowledge(node));
    }
    if (type == RD_KAFKA_EVENT_REBALANCE || type == RD_KAFKA_EVENT_ERROR) {
        node->joining = false; /* it cannot while it is refused, or no broker is there */
    }
    rd_kafka_event_destroy(event);
}

void source_answer(struct sl_node *node) {
    rd_kafka_event_t *event = NULL;
    while ((event = rd_kafka_queue_poll(node->queue, 0)) != NULL) {
        answer(node, event);
    }
}

/* Before 2.3.0 librdkafka ends the process by an assertion when a client is ended that the group
 * has just made its leader, and that has not dealt the partitions out yet (its issue 4312). */
void source_await_group(struct sl_node *node) {
    int64_t end_us = sl_monotonic_us() + AWAIT_GROUP_US;
    while (rd_kafka_version() < LEADERS_MAY_END && node->joining && sl_monotonic_us() < end_us) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(node->queue, 50);
        if (event != NULL) {
            answer(node, event);
        }
    }
}

void source_leave(struct sl_node *node, int limit_ms) {
    rd_kafka_error_t *refused = rd_kafka_consumer_close_queue(node->client, node->queue);
    if (refused != NULL) {
        rd_kafka_error_destroy(refused);
        return;
    }
    int64_t end_us = sl_monotonic_us() + (int64_t)limit_ms * 1000;
    while (!rd_kafka_consumer_closed(node->client) && sl_monotonic_us() < end_us) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(node->queue, 50);
        if (event == NULL) {
            continue;
        }
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE) {
            sl_error_free(
                change(node, rd_kafka_event_topic_partition_list(event),
                       rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS));
        }
        rd_kafka_event_destroy(event);
    }
}

/* ---- fetching ---- */

/* A partition's handles share its queue and its reader: of those only the newest can be watching.
 */
void source_handle_free(struct source_handle *handle) {
    bool watches = handle->aside || handle->partition->newest == handle;
    if (handle->queue != NULL && watches) {
        rd_kafka_queue_io_event_enable(handle->queue, -1, NULL, 0);
    }
    if (handle->queue != NULL) {
        rd_kafka_queue_destroy(handle->queue);
    }
    if (!handle->aside && watches) {
        flow_reader_watch(handle->partition->reader, -1);
    }
    if (handle->fd >= 0) {
        close(handle->fd);
    }
    free(handle);
}

sl_error *source_fetch(struct source_partition *partition, int64_t offset,
                       struct source_handle **out) {
    struct sl_node *node = partition->node;
    source_unfetch(partition); /* for an earlier handle that no lane had */
    if (partition->assigned) {
        return sl_error_new(SL_ERROR_RETRIABLE,
                            "%s partition %d is given up with the revocation under way",
                            partition->topic, (int)partition->number);
    }
    struct source_handle *handle = calloc(1, sizeof(*handle));
    if (handle == NULL) {
        return sl_error_no_memory();
    }
    handle->partition = partition;
    handle->begin = offset;
    handle->end = partition->end;
    handle->fd = wakeup_new();
    handle->queue = rd_kafka_queue_get_partition(node->client, partition->topic, partition->number);
    if (handle->fd < 0 || handle->queue == NULL) {
        source_handle_free(handle);
        return sl_error_new(SL_ERROR_RETRIABLE, "cannot get a queue for %s partition %d",
                            partition->topic, (int)partition->number);
    }
    /* Cut loose before the first message can come: each partition is drained on its own. */
    rd_kafka_queue_forward(handle->queue, NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, partition->topic, partition->number)->offset = offset;
    sl_error *error = change(node, list, true);
    rd_kafka_topic_partition_list_destroy(list);
    if (error != NULL) {
        source_handle_free(handle);
        return error;
    }
    rd_kafka_queue_forward(handle->queue, NULL);
    partition->assigned = 1;
    flow_reader_advance(partition->reader, offset);
    flow_reader_watch(partition->reader, handle->fd);
    partition->newest = handle;
    *out = handle;
    return NULL;
}

void source_unfetch(struct source_partition *partition) {
    if (!partition->assigned || partition->leaving) {
        return; /* a revocation gives its partitions back all at once */
    }
    if (partition->node->rebalancing > 0) {
        partition->given_up = 1; /* the client would take it for the answer to the revocation */
        return;
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, partition->topic, partition->number);
    partition->assigned = 0;
    fail_if(partition->node, change(partition->node, list, false));
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- the group's offsets, for lag tools ---- */

/* One at a time: what is to be committed while the coordinator is away is kept by the client until
 * it is back, and may have it fenced then (fatal_error). */
void source_commit(struct sl_node *node, int wait_ms) {
    if (node->client == NULL || node->section->embedded || node->rebalancing > 0 ||
        (node->commits && wait_ms == 0)) {
        return;
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    for (size_t i = 0; i < node->n_partitions; i++) {
        struct source_partition *partition = node->partitions[i];
        if (partition->ack_dirty && partition->owned) {
            rd_kafka_topic_partition_list_add(list, partition->topic, partition->number)->offset =
                partition->acked;
            partition->ack_dirty = 0;
        }
    }
    if (list->cnt > 0 && wait_ms == 0) {
        node->commits = rd_kafka_commit_queue(node->client, list, node->queue, NULL, NULL) ==
                        RD_KAFKA_RESP_ERR_NO_ERROR;
    } else if (list->cnt > 0) {
        rd_kafka_queue_t *answers = rd_kafka_queue_new(node->client);
        if (rd_kafka_commit_queue(node->client, list, answers, NULL, NULL) ==
            RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_event_t *event = rd_kafka_queue_poll(answers, wait_ms);
            if (event != NULL) {
                rd_kafka_event_destroy(event);
            }
        }
        rd_kafka_queue_destroy(answers);
    }
    rd_kafka_topic_partition_list_destroy(list);
}
