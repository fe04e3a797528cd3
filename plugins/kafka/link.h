/*
 * A node's link to its cluster: the configuration that all its clients share, making clients, and
 * what they say of themselves. librdkafka tries for ever to reach brokers that will never let it
 * in; the link keeps what it says meanwhile (trouble.c), so that a start ends within seconds with
 * one sentence that says what is wrong, where, and what to do. Nor does it always end (ending.c).
 */
#ifndef KAFKA_LINK_H
#define KAFKA_LINK_H

#include "kafka.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"

/* What an error of a client proves. */
enum kafka_verdict {
    KAFKA_PASSING, /* nothing: brokers come and go */
    KAFKA_SUSPECT, /* nothing, but it looks like a wrong setting: a connection that ends early */
    KAFKA_REFUSED, /* the broker will not let us in, and says so */
    KAFKA_HOPELESS /* the same, and it will not be tried again soon */
};

struct kafka_link {
    const sl_services *services;
    sl_object *self;
    const struct kafka_section *section;
    const char *bootstrap;      /* in use; borrowed from the section or the embedded broker */
    _Atomic int x509_error;     /* the last certificate that was refused; 0: none */
    pthread_mutex_t mutex;      /* guards what follows */
    char *trouble;              /* what is in the way, as a sentence; NULL: nothing was heard */
    enum kafka_verdict verdict; /* the gravest */
    unsigned refusals;          /* errors in a row that are no passing ones */
    int64_t refused_since_us;   /* the first of them */
    unsigned left;              /* clients that live on: what they say is not passed on any more */
    void *owner;                /* what the link is in, to be freed with it once they have ended */
};

void kafka_link_init(struct kafka_link *link, const sl_services *services, sl_object *self,
                     const struct kafka_section *section);
/* Frees what the link is in, too, by free(): later, if a client still needs the link. */
void kafka_link_free(struct kafka_link *link, void *owner);

/*
 * A configuration with what every client of the link has: brokers, secrets, the section's
 * properties, log, certificate check, tokens. Owned by the caller; NULL with *error (CONFIG) set.
 */
rd_kafka_conf_t *kafka_link_conf(struct kafka_link *link, sl_error **error);

/* Makes a client; takes `conf` in any case. Errors: CONFIG. */
sl_error *kafka_link_client(struct kafka_link *link, rd_kafka_type_t type, rd_kafka_conf_t *conf,
                            rd_kafka_t **out);

/*
 * Ends a consumer without leaving its group, on a thread of its own, since librdkafka sets no limit
 * to that: waits for at most limit_s. If it has not ended then, there is a warning, the link is
 * silent, and kafka_link_free leaves it alone until the client has ended.
 */
void kafka_link_end(struct kafka_link *link, rd_kafka_t *client, int limit_s);

/*
 * Asks for metadata of one topic, or of `all` or the client's known topics (`topic` NULL), until a
 * broker answers. Blocks for at most limit_ms; ends earlier when the brokers refuse us for good,
 * but not when they refuse connections: one that is started anew does so for seconds, and a run
 * that is told to end meanwhile asks once more only, and would end with an error. Nothing else may
 * serve the client's main queue meanwhile. Errors: CONFIG (refused: credentials, certificates,
 * protocol), RETRIABLE.
 */
sl_error *kafka_link_ask(struct kafka_link *link, rd_kafka_t *client, bool all,
                         rd_kafka_topic_t *topic, int limit_ms,
                         const struct rd_kafka_metadata **out);

/* An error that a client reported: kept as the link's trouble, and logged. Any thread. */
void kafka_link_hear(struct kafka_link *link, const rd_kafka_t *client, rd_kafka_resp_err_t code,
                     const char *text);

/* A client lives on without its node. Any thread. */
bool kafka_link_is_left(struct kafka_link *link);

/* ---- trouble.c ---- */

/*
 * Says what a client's error means: appends one sentence to `out`, or none when it means nothing
 * new. x509_error: of the certificate that was refused before, or 0.
 */
enum kafka_verdict kafka_explain(const rd_kafka_t *client, const char *bootstrap,
                                 rd_kafka_resp_err_t code, const char *text, int x509_error,
                                 sl_buffer *out);

/* ---- token.c ---- */

/* Sets up tokens for SASL OAUTHBEARER from the section's token file, when it names one. */
sl_error *kafka_token_conf(const struct kafka_section *section, rd_kafka_conf_t *conf);

#endif /* KAFKA_LINK_H */
