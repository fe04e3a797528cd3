/*
 * Does the group read every partition? A static member that goes and comes back within its session
 * gets what it was to have, without a rebalance (KIP-345). Goes it while it is handing partitions
 * over, nobody has them from then on: they are dealt out when it joins once more, for having given
 * them up (KIP-429), which its new process does not know. To broker and clients such a group is
 * stable, for ever. So hosts that have not all partitions ask now and then who has what.
 */
#include "source.h"

#include <stdlib.h>

#define LOOK_LIMIT_MS 2000
/* Who gives partitions up may take its time for what it has read of them: what nobody has is that
 * only when it is seen again. */
#define SIGHTINGS_MIN 2
#define DOUBLINGS_MAX 6

struct look {
    struct sl_node *node;
    uint64_t rebalances;                    /* that there had been when it was asked */
    bool stable;                            /* answered, and no rebalance is under way */
    bool is_member;                         /* this host is */
    size_t held;                            /* partitions that some member has */
    size_t before_us;                       /* members that are to act before this host */
    rd_kafka_topic_partition_list_t *given; /* what the group says that this host has */
};

/* ---- what a member has: ConsumerProtocolAssignment of Kafka's consumer protocol ---- */

struct reader {
    const uint8_t *at;
    size_t left;
    bool broken;
};

/* A big-endian integer of `bytes` bytes. */
static int32_t read_int(struct reader *reader, size_t bytes) {
    uint32_t value = 0;
    if (reader->left < bytes) {
        reader->broken = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | reader->at[i];
    }
    reader->at += bytes;
    reader->left -= bytes;
    return bytes == 2 ? (int16_t)value : (int32_t)value;
}

static void read_topic(struct reader *reader, rd_kafka_topic_partition_list_t *out) {
    char topic[256]; /* 249 at most */
    int32_t bytes = read_int(reader, 2);
    if (bytes < 0 || (size_t)bytes >= sizeof(topic) || (size_t)bytes > reader->left) {
        reader->broken = true;
        return;
    }
    memcpy(topic, reader->at, (size_t)bytes);
    topic[bytes] = '\0';
    reader->at += bytes;
    reader->left -= (size_t)bytes;
    for (int32_t n = read_int(reader, 4); n > 0 && !reader->broken; n--) {
        int32_t partition = read_int(reader, 4);
        if (!reader->broken) {
            rd_kafka_topic_partition_list_add(out, topic, partition);
        }
    }
}

/* Owned by the caller. Nothing has who was assigned nothing yet. */
static rd_kafka_topic_partition_list_t *
partitions_of(const struct rd_kafka_group_member_info *member) {
    rd_kafka_topic_partition_list_t *out = rd_kafka_topic_partition_list_new(8);
    struct reader reader = {.at = member->member_assignment,
                            .left = (size_t)member->member_assignment_size};
    (void)read_int(&reader, 2); /* version: what later ones add follows */
    for (int32_t n = read_int(&reader, 4); n > 0 && !reader.broken; n--) {
        read_topic(&reader, out);
    }
    return out;
}

/* ---- asking ---- */

static size_t count_wanted(const struct sl_node *node,
                           const rd_kafka_topic_partition_list_t *partitions) {
    const char *topic = "";
    bool wanted = false;
    size_t n = 0;
    for (int i = 0; i < partitions->cnt; i++) {
        if (strcmp(partitions->elems[i].topic, topic) != 0) {
            topic = partitions->elems[i].topic;
            wanted = source_wants(node, topic);
        }
        n += wanted ? 1 : 0;
    }
    return n;
}

static void read_group(struct look *look, const struct rd_kafka_group_info *group, const char *us) {
    for (int i = 0; i < group->member_cnt; i++) {
        rd_kafka_topic_partition_list_t *theirs = partitions_of(&group->members[i]);
        look->held += count_wanted(look->node, theirs);
        if (strcmp(group->members[i].member_id, us) == 0) {
            look->is_member = true;
            look->given = theirs;
        } else {
            rd_kafka_topic_partition_list_destroy(theirs);
        }
    }
}

/* Of those that could join anew the one with the fewest partitions loses the least by it. */
static void find_turn(struct look *look, const struct rd_kafka_group_info *group, const char *us) {
    int ours = look->given == NULL ? 0 : look->given->cnt;
    for (int i = 0; i < group->member_cnt; i++) {
        rd_kafka_topic_partition_list_t *theirs = partitions_of(&group->members[i]);
        if (theirs->cnt < ours ||
            (theirs->cnt == ours && strcmp(group->members[i].member_id, us) < 0)) {
            look->before_us++;
        }
        rd_kafka_topic_partition_list_destroy(theirs);
    }
}

/*
 * On a pool thread. Who may not ask, or gets no answer, sees nothing. Not by the newer
 * rd_kafka_DescribeConsumerGroups: in librdkafka 2.0 it uses memory that it has freed when the
 * coordinator cannot be asked in time.
 */
static void look_run(void *arg) {
    struct look *look = arg;
    rd_kafka_t *client = look->node->client;
    const struct rd_kafka_group_list *groups = NULL;
    if (rd_kafka_list_groups(client, look->node->group, &groups, LOOK_LIMIT_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        return;
    }
    char *us = rd_kafka_memberid(client);
    look->stable = us != NULL && groups->group_cnt == 1 &&
                   groups->groups[0].err == RD_KAFKA_RESP_ERR_NO_ERROR &&
                   strcmp(groups->groups[0].state, "Stable") == 0;
    if (look->stable) {
        read_group(look, &groups->groups[0], us);
        find_turn(look, &groups->groups[0], us);
    }
    if (us != NULL) {
        rd_kafka_mem_free(client, us);
    }
    rd_kafka_group_list_destroy(groups);
}

/* ---- what is seen ---- */

/* Partitions that are this host's for the group only. */
static size_t count_strange(const struct look *look) {
    size_t n = 0;
    for (int i = 0; look->given != NULL && i < look->given->cnt; i++) {
        const struct source_partition *partition = source_partition_get(
            look->node, look->given->elems[i].topic, look->given->elems[i].partition);
        n += partition == NULL || partition->owned ? 0 : 1;
    }
    return n;
}

/* Who has partitions gives them up by joining anew, and gets none before all members have joined:
 * not while one may be dead, whose end deals everything out, too. */
static size_t session_looks(const struct sl_node *node) {
    char text[24] = "";
    size_t bytes = sizeof(text);
    rd_kafka_conf_get(rd_kafka_conf(node->client), "session.timeout.ms", text, &bytes);
    return (size_t)strtoul(text, NULL, 10) / (SOURCE_LOOK_S * 1000) + 1;
}

static void mend(struct sl_node *node, size_t nobodys, size_t strange) {
    if (nobodys > 0) {
        node->services->log(node->self, SL_LOG_WARN,
                            "%zu of %zu partitions belong to no member of group %s (a member went "
                            "and came back while it was handing them over): this host joins the "
                            "group anew, so that they are dealt out",
                            nobodys, node->n_known, node->group);
    } else {
        node->services->log(node->self, SL_LOG_WARN,
                            "group %s counts on this host for %zu partitions that it does not "
                            "have: it joins the group anew",
                            node->group, strange);
    }
    node->sightings = 0;
    node->rejoins += node->rejoins < DOUBLINGS_MAX ? 1 : 0;
    source_rejoin(node);
}

static void judge(const struct look *look) {
    struct sl_node *node = look->node;
    if (!look->stable || node->rebalancing > 0 || node->rebalances != look->rebalances) {
        node->sightings = 0;
        return;
    }
    size_t nobodys = node->n_known > look->held ? node->n_known - look->held : 0;
    size_t strange = count_strange(look);
    node->services->metric_set(node->nobodys, (int64_t)nobodys);
    bool ours = strange > 0 || !look->is_member;
    if (nobodys == 0 && !ours) {
        node->sightings = 0;
        node->rejoins = 0;
        return;
    }
    node->sightings++;
    bool loses = look->given != NULL && look->given->cnt > 0;
    size_t needed =
        SIGHTINGS_MIN + (ours ? 0 : look->before_us + (loses ? session_looks(node) : 0));
    if (node->sightings >= needed << node->rejoins) {
        mend(node, nobodys, strange);
    }
}

static void look_done(void *arg) {
    struct look *look = arg;
    struct sl_node *node = look->node;
    node->asks_group = false;
    judge(look);
    node->calm = node->sightings > 0 ? 0 : node->calm + 1;
    if (look->given != NULL) {
        rd_kafka_topic_partition_list_destroy(look->given);
    }
    free(look);
}

/* Each broker is asked: often behind a rebalance only, ever more rarely when all is well. */
static bool is_time(struct sl_node *node) {
    unsigned doublings = node->calm < DOUBLINGS_MAX ? node->calm : DOUBLINGS_MAX;
    if (node->skipped + 1 < 1u << doublings) {
        node->skipped++;
        return false;
    }
    node->skipped = 0;
    return true;
}

void source_look_at_group(struct sl_node *node) {
    if (node->section->embedded || node->until_end || node->asks_group || node->group == NULL ||
        source_count_missing(node) == 0 || !is_time(node)) {
        return;
    }
    struct look *look = calloc(1, sizeof(*look));
    if (look == NULL) {
        return; /* there is a next time */
    }
    look->node = node;
    look->rebalances = node->rebalances;
    sl_error *error = node->services->work(node->self, look_run, look_done, look);
    if (error != NULL) {
        sl_error_free(error);
        free(look);
        return;
    }
    node->asks_group = true;
}
