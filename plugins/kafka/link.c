/*
 * Clients of a cluster: their common configuration, their log, and the patient or impatient first
 * question.
 */
#include "link.h"

#include "properties.h"

#include <stdio.h>
#include <stdlib.h>

/* So many refusals, for so long, are no passing weakness of one broker among several. */
#define REFUSALS_MIN 2
#define REFUSED_FOR_US 1000000

/* A question is asked anew when nobody has answered: first after half a second, then after twice
 * as long. What the brokers say meanwhile is looked at between. */
#define FIRST_QUESTION_MS 500

void kafka_link_init(struct kafka_link *link, const sl_services *services, sl_object *self,
                     const struct kafka_section *section) {
    *link = (struct kafka_link){
        .services = services, .self = self, .section = section, .bootstrap = section->bootstrap};
    pthread_mutex_init(&link->mutex, NULL);
}

void kafka_link_free(struct kafka_link *link, void *owner) {
    pthread_mutex_lock(&link->mutex);
    bool needed = link->left > 0;
    link->owner = owner;
    pthread_mutex_unlock(&link->mutex);
    if (!needed) {
        pthread_mutex_destroy(&link->mutex);
        free(link->trouble);
        free(owner);
    }
}

bool kafka_link_is_left(struct kafka_link *link) {
    pthread_mutex_lock(&link->mutex);
    bool left = link->left > 0;
    pthread_mutex_unlock(&link->mutex);
    return left;
}

/* ---- what clients say ---- */

static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text) {
    struct kafka_link *link = rd_kafka_opaque(client);
    sl_log_level to = level <= 3 ? SL_LOG_ERROR : level <= 4 ? SL_LOG_WARN : SL_LOG_DEBUG;
    if (strcmp(facility, "FAIL") == 0 || strcmp(facility, "SSLCERTVRFY") == 0 ||
        strstr(text, "authorization failed") != NULL) {
        to = SL_LOG_DEBUG; /* said better by the error that follows (kafka_link_hear, rights.c) */
    }
    pthread_mutex_lock(&link->mutex); /* who leaves a client waits for what it is just saying */
    if (link->left == 0) {
        link->services->log(link->self, to, "librdkafka: %s: %s", facility, text);
    }
    pthread_mutex_unlock(&link->mutex);
}

/* Keeps why a certificate is refused: the error that follows does not say it. */
static int on_certificate(rd_kafka_t *client, const char *broker, int32_t broker_id,
                          int *x509_error, int depth, const char *der, size_t bytes, char *why,
                          size_t why_bytes, void *opaque) {
    (void)client, (void)broker, (void)broker_id, (void)depth, (void)der, (void)bytes;
    struct kafka_link *link = opaque;
    if (*x509_error == 0) {
        return 1;
    }
    atomic_store(&link->x509_error, *x509_error);
    snprintf(why, why_bytes, "X.509 error %d", *x509_error);
    return 0;
}

void kafka_link_hear(struct kafka_link *link, const rd_kafka_t *client, rd_kafka_resp_err_t code,
                     const char *text) {
    sl_buffer sentence = SL_BUFFER_INIT;
    enum kafka_verdict verdict = kafka_explain(client, link->bootstrap, code, text,
                                               atomic_load(&link->x509_error), &sentence);
    const char *said = sl_buffer_text(&sentence);
    if (said == NULL || said[0] == '\0') {
        sl_buffer_free(&sentence);
        return;
    }
    pthread_mutex_lock(&link->mutex);
    bool news = link->trouble == NULL || strcmp(link->trouble, said) != 0;
    if (verdict == KAFKA_PASSING && link->verdict == KAFKA_SUSPECT) {
        link->verdict = KAFKA_PASSING; /* a broker that goes down ends connections, too */
        link->refusals = 0;
    } else if (verdict != KAFKA_PASSING && link->refusals++ == 0) {
        link->refused_since_us = sl_monotonic_us();
    }
    if (verdict >= link->verdict) {
        link->verdict = verdict;
        free(link->trouble);
        link->trouble = strdup(said);
    }
    pthread_mutex_unlock(&link->mutex);
    link->services->log(link->self, news ? SL_LOG_WARN : SL_LOG_DEBUG, "%s", said);
    sl_buffer_free(&sentence);
}

/* ---- making clients ---- */

rd_kafka_conf_t *kafka_link_conf(struct kafka_link *link, sl_error **error) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, link);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_ssl_cert_verify_cb(conf, on_certificate);
    *error = kafka_conf_common(conf, link->section, link->bootstrap);
    if (*error == NULL) {
        *error = kafka_token_conf(link->section, conf);
    }
    if (*error != NULL) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

sl_error *kafka_link_client(struct kafka_link *link, rd_kafka_type_t type, rd_kafka_conf_t *conf,
                            rd_kafka_t **out) {
    char why[400] = "";
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof(why));
    if (client == NULL) {
        rd_kafka_conf_destroy(conf);
        return sl_error_new(SL_ERROR_CONFIG, "librdkafka cannot make a %s: %s",
                            type == RD_KAFKA_PRODUCER ? "producer" : "consumer", why);
    }
    if (link->section->token_file != NULL) {
        /* Tokens are fetched by a thread of librdkafka: no queue of ours has to be served. */
        rd_kafka_error_destroy(rd_kafka_sasl_background_callbacks_enable(client));
    }
    *out = client;
    return NULL;
}

/* ---- the first question ---- */

static void hear_all(struct kafka_link *link, rd_kafka_t *client, rd_kafka_queue_t *queue) {
    rd_kafka_event_t *event = NULL;
    while ((event = rd_kafka_queue_poll(queue, 0)) != NULL) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR) {
            kafka_link_hear(link, client, rd_kafka_event_error(event),
                            rd_kafka_event_error_string(event));
        }
        rd_kafka_event_destroy(event);
    }
}

/* The trouble as an error; `code` is what the question itself ended with. */
static sl_error *refusal(struct kafka_link *link, rd_kafka_resp_err_t code) {
    pthread_mutex_lock(&link->mutex);
    sl_error *error =
        link->trouble == NULL
            ? sl_error_new(SL_ERROR_RETRIABLE, "no broker of %s answers: %s", link->bootstrap,
                           rd_kafka_err2str(code))
            : sl_error_new(link->verdict >= KAFKA_REFUSED ? SL_ERROR_CONFIG : SL_ERROR_RETRIABLE,
                           "%s", link->trouble);
    pthread_mutex_unlock(&link->mutex);
    return error;
}

static unsigned refusals_of(struct kafka_link *link, bool *for_good) {
    pthread_mutex_lock(&link->mutex);
    unsigned refusals = link->refusals;
    unsigned enough = link->verdict == KAFKA_HOPELESS ? 1 : REFUSALS_MIN;
    *for_good = refusals >= enough && sl_monotonic_us() - link->refused_since_us >= REFUSED_FOR_US;
    pthread_mutex_unlock(&link->mutex);
    return refusals;
}

static void forget_trouble(struct kafka_link *link) {
    pthread_mutex_lock(&link->mutex);
    free(link->trouble);
    link->trouble = NULL;
    link->refusals = 0;
    link->verdict = KAFKA_PASSING;
    pthread_mutex_unlock(&link->mutex);
    atomic_store(&link->x509_error, 0);
}

sl_error *kafka_link_ask(struct kafka_link *link, rd_kafka_t *client, bool all,
                         rd_kafka_topic_t *topic, int limit_ms,
                         const struct rd_kafka_metadata **out) {
    rd_kafka_queue_t *queue = rd_kafka_queue_get_main(client);
    int64_t end_us = sl_monotonic_us() + (int64_t)limit_ms * 1000;
    sl_error *error = NULL;
    forget_trouble(link);
    for (int wait_ms = FIRST_QUESTION_MS;;) {
        rd_kafka_resp_err_t code = rd_kafka_metadata(client, all, topic, out, wait_ms);
        hear_all(link, client, queue);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            forget_trouble(link);
            break;
        }
        bool for_good = false;
        unsigned refusals = refusals_of(link, &for_good);
        if (for_good || sl_monotonic_us() >= end_us) {
            error = refusal(link, code);
            break;
        }
        wait_ms = refusals > 0 ? FIRST_QUESTION_MS : wait_ms * 2;
    }
    rd_kafka_queue_destroy(queue);
    return error;
}
