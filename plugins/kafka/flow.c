/*
 * The registry of flows: one list under one mutex. Deliveries are kept as a short log of (end
 * offset, bytes up to there) for each partition, pruned below the slowest reader, so that unread
 * bytes are known exactly however much records differ in size.
 */
#include "flow.h"

#include "wakeup.h"

#include <pthread.h>
#include <stdlib.h>

struct mark {
    int64_t end;
    size_t bytes; /* delivered in all up to `end` */
};

struct partition {
    struct mark *marks; /* a ring without wrap: live from `first` to `n` */
    size_t first;
    size_t n;
    size_t capacity;
    int64_t end;
    size_t bytes;
    size_t forgotten_bytes; /* up to the last pruned mark */
};

struct flow {
    struct flow *next;
    size_t references;
    _Atomic int feeders;
    struct partition *partitions;
    size_t n_partitions;
    struct flow_reader *readers;
    char *topic;
    char cluster[];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct flow *flows;
static int *waiting;
static size_t n_waiting;
static size_t waiting_capacity;
static _Atomic size_t any_waiting;

/* ---- flows ---- */

static struct flow *flow_new(const char *cluster, const char *topic) {
    size_t cluster_bytes = strlen(cluster) + 1;
    size_t topic_bytes = strlen(topic) + 1;
    struct flow *flow = calloc(1, sizeof(*flow) + cluster_bytes + topic_bytes);
    if (flow != NULL) {
        memcpy(flow->cluster, cluster, cluster_bytes);
        flow->topic = flow->cluster + cluster_bytes;
        memcpy(flow->topic, topic, topic_bytes);
        flow->next = flows;
        flows = flow;
    }
    return flow;
}

struct flow *flow_get(const char *cluster, const char *topic) {
    pthread_mutex_lock(&mutex);
    struct flow *flow = flows;
    while (flow != NULL &&
           (strcmp(flow->cluster, cluster) != 0 || strcmp(flow->topic, topic) != 0)) {
        flow = flow->next;
    }
    flow = flow != NULL ? flow : flow_new(cluster, topic);
    if (flow != NULL) {
        flow->references++;
    }
    pthread_mutex_unlock(&mutex);
    return flow;
}

void flow_release(struct flow *flow) {
    pthread_mutex_lock(&mutex);
    if (--flow->references == 0) {
        struct flow **at = &flows;
        while (*at != flow) {
            at = &(*at)->next;
        }
        *at = flow->next;
        for (size_t i = 0; i < flow->n_partitions; i++) {
            free(flow->partitions[i].marks);
        }
        free(flow->partitions);
        free(flow);
    }
    pthread_mutex_unlock(&mutex);
}

/* ---- feeding ---- */

void flow_feed(struct flow *flow) {
    atomic_fetch_add(&flow->feeders, 1);
}

void flow_feed_end(struct flow *flow) {
    atomic_fetch_sub(&flow->feeders, 1);
    pthread_mutex_lock(&mutex);
    for (struct flow_reader *r = flow->readers; r != NULL; r = r->next) {
        int fd = atomic_load(&r->fd);
        if (fd >= 0) {
            wakeup_signal(fd);
        }
    }
    pthread_mutex_unlock(&mutex);
}

bool flow_is_fed(struct flow *flow) {
    return atomic_load(&flow->feeders) > 0;
}

static struct partition *partition_at(struct flow *flow, int32_t number) {
    size_t n = (size_t)number + 1;
    if (n > flow->n_partitions) {
        struct partition *grown = realloc(flow->partitions, n * sizeof(*grown));
        if (grown == NULL) {
            return NULL;
        }
        memset(grown + flow->n_partitions, 0, (n - flow->n_partitions) * sizeof(*grown));
        flow->partitions = grown;
        flow->n_partitions = n;
    }
    return &flow->partitions[number];
}

/* Whether somebody reads the partition, and the offset below which all have read. */
static bool slowest_reader(const struct flow *flow, int32_t number, int64_t *offset) {
    bool found = false;
    *offset = INT64_MAX;
    for (const struct flow_reader *r = flow->readers; r != NULL; r = r->next) {
        if (r->partition == number) {
            int64_t at = atomic_load_explicit(&r->offset, memory_order_relaxed);
            *offset = at < *offset ? at : *offset;
            found = true;
        }
    }
    return found;
}

/* Forgets marks that every reader has passed. */
static void prune(const struct flow *flow, int32_t number, struct partition *partition) {
    int64_t read = 0;
    slowest_reader(flow, number, &read);
    while (partition->first < partition->n && partition->marks[partition->first].end <= read) {
        partition->forgotten_bytes = partition->marks[partition->first++].bytes;
    }
    if (partition->first > 0 && partition->first * 2 >= partition->n) {
        partition->n -= partition->first;
        memmove(partition->marks, partition->marks + partition->first,
                partition->n * sizeof(*partition->marks));
        partition->first = 0;
    }
}

static bool add_mark(struct partition *partition) {
    if (partition->n == partition->capacity) {
        size_t capacity = (partition->capacity + 8) * 2;
        struct mark *grown = realloc(partition->marks, capacity * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        partition->marks = grown;
        partition->capacity = capacity;
    }
    partition->marks[partition->n++] = (struct mark){partition->end, partition->bytes};
    return true;
}

void flow_delivered(struct flow *flow, int32_t number, int64_t end, size_t bytes) {
    pthread_mutex_lock(&mutex);
    struct partition *partition = number < 0 ? NULL : partition_at(flow, number);
    if (partition != NULL) {
        partition->end = end > partition->end ? end : partition->end;
        partition->bytes += bytes;
        prune(flow, number, partition);
        if (!add_mark(partition) && partition->n > partition->first) {
            /* Without memory the last mark grows: its bytes count as unread for longer. */
            partition->marks[partition->n - 1] = (struct mark){partition->end, partition->bytes};
        }
    }
    pthread_mutex_unlock(&mutex);
}

int64_t flow_end(struct flow *flow, int32_t number) {
    pthread_mutex_lock(&mutex);
    int64_t end = (size_t)number < flow->n_partitions ? flow->partitions[number].end : 0;
    pthread_mutex_unlock(&mutex);
    return end;
}

size_t flow_unread_bytes(struct flow *flow) {
    size_t most = 0;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < flow->n_partitions; i++) {
        int64_t read = 0;
        if (slowest_reader(flow, (int32_t)i, &read)) {
            prune(flow, (int32_t)i, &flow->partitions[i]);
            size_t unread = flow->partitions[i].bytes - flow->partitions[i].forgotten_bytes;
            most = unread > most ? unread : most;
        }
    }
    pthread_mutex_unlock(&mutex);
    return most;
}

bool flow_wait(int fd) {
    bool good = true;
    pthread_mutex_lock(&mutex);
    if (n_waiting == waiting_capacity) {
        size_t capacity = (waiting_capacity + 4) * 2;
        int *grown = realloc(waiting, capacity * sizeof(*grown));
        good = grown != NULL;
        waiting = good ? grown : waiting;
        waiting_capacity = good ? capacity : waiting_capacity;
    }
    if (good) {
        waiting[n_waiting++] = fd;
        atomic_store(&any_waiting, n_waiting);
    }
    pthread_mutex_unlock(&mutex);
    return good;
}

/* With the mutex held. */
static void forget_waiting(int fd) {
    size_t kept = 0;
    for (size_t i = 0; i < n_waiting; i++) {
        if (waiting[i] != fd) {
            waiting[kept++] = waiting[i];
        }
    }
    n_waiting = kept;
    atomic_store(&any_waiting, n_waiting);
    if (n_waiting == 0) {
        free(waiting);
        waiting = NULL;
        waiting_capacity = 0;
    }
}

void flow_wait_end(int fd) {
    pthread_mutex_lock(&mutex);
    forget_waiting(fd);
    pthread_mutex_unlock(&mutex);
}

/* ---- reading ---- */

struct flow_reader *flow_reader_new(struct flow *flow, int32_t partition) {
    struct flow_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return NULL;
    }
    reader->flow = flow;
    reader->partition = partition;
    atomic_store(&reader->fd, -1);
    pthread_mutex_lock(&mutex);
    flow->references++;
    reader->next = flow->readers;
    flow->readers = reader;
    pthread_mutex_unlock(&mutex);
    return reader;
}

static void signal_waiting(void) {
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < n_waiting; i++) {
        wakeup_signal(waiting[i]);
    }
    free(waiting);
    waiting = NULL;
    n_waiting = waiting_capacity = 0;
    atomic_store(&any_waiting, 0);
    pthread_mutex_unlock(&mutex);
}

void flow_reader_free(struct flow_reader *reader) {
    pthread_mutex_lock(&mutex);
    struct flow_reader **at = &reader->flow->readers;
    while (*at != reader) {
        at = &(*at)->next;
    }
    *at = reader->next;
    pthread_mutex_unlock(&mutex);
    flow_release(reader->flow);
    free(reader);
    signal_waiting();
}

void flow_reader_advance(struct flow_reader *reader, int64_t offset) {
    atomic_store(&reader->offset, offset);
    if (atomic_load(&any_waiting) > 0) {
        signal_waiting();
    }
}

void flow_reader_watch(struct flow_reader *reader, int fd) {
    pthread_mutex_lock(&mutex); /* nobody may be signalling the old one */
    atomic_store(&reader->fd, fd);
    pthread_mutex_unlock(&mutex);
}
