/*
 * Ending consumers. librdkafka 2.0 waits without a limit for a rebalance that nobody answers (its
 * issue 4527), for references that nobody gives back (4187), and as long as a session for commits
 * when the brokers are away. Neither may hold up the end of a host.
 */
#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* Of the thread and of who waits for it. */
struct ending {
    struct kafka_link *link;
    rd_kafka_t *client;
    pthread_cond_t changed;
    bool ended; /* both under the link's mutex */
    bool left;  /* nobody waits any more: the thread frees what it is the last to need */
};

static void free_ending(struct ending *ending) {
    pthread_cond_destroy(&ending->changed);
    free(ending);
}

static void *end_client(void *arg) {
    struct ending *ending = arg;
    struct kafka_link *link = ending->link;
    rd_kafka_destroy_flags(ending->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    pthread_mutex_lock(&link->mutex);
    ending->ended = true;
    bool left = ending->left;
    bool last = left && --link->left == 0 && link->owner != NULL;
    pthread_cond_signal(&ending->changed);
    pthread_mutex_unlock(&link->mutex);
    if (left) {
        free_ending(ending);
    }
    if (last) {
        kafka_link_free(link, link->owner);
    }
    return NULL;
}

/* NULL: without memory or threads it is not begun. */
static struct ending *begin(struct kafka_link *link, rd_kafka_t *client) {
    struct ending *ending = calloc(1, sizeof(*ending));
    if (ending == NULL) {
        return NULL;
    }
    ending->link = link;
    ending->client = client;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&ending->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_t thread;
    if (pthread_create(&thread, NULL, end_client, ending) != 0) {
        free_ending(ending);
        return NULL;
    }
    pthread_detach(thread);
    return ending;
}

static bool wait_for(struct ending *ending, int limit_s) {
    struct kafka_link *link = ending->link;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += limit_s;
    pthread_mutex_lock(&link->mutex);
    int code = 0;
    while (!ending->ended && code != ETIMEDOUT) {
        code = pthread_cond_timedwait(&ending->changed, &link->mutex, &until);
    }
    bool ended = ending->ended;
    ending->left = !ended;
    link->left += ended ? 0 : 1;
    pthread_mutex_unlock(&link->mutex);
    if (ended) {
        free_ending(ending);
    }
    return ended;
}

void kafka_link_end(struct kafka_link *link, rd_kafka_t *client, int limit_s) {
    struct ending *ending = begin(link, client);
    if (ending == NULL) {
        rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    } else if (!wait_for(ending, limit_s)) {
        link->services->log(link->self, SL_LOG_WARN,
                            "a consumer of %s has not ended after %d s: librdkafka waits for "
                            "something; it is left to itself, and nothing is lost by that",
                            link->bootstrap, limit_s);
    }
}
