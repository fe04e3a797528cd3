/*
 * The Azure Blob store's reading of many objects: their requests are under way together, a round of
 * them at a time, so that a start does not wait for one answer after the other.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/azure.h"

enum { READS_AT_A_TIME = 16 };

struct round {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    size_t under_way;
    const char *range; /* NULL: whole objects */
};

struct read {
    struct round *round;
    azure_call call;
    sl_http_answer answer;
    sl_error *error;
};

/* On the client's loop. */
static void answered(void *arg, const sl_http_response *response, sl_error *error) {
    struct read *read = arg;
    struct round *round = read->round;
    read->error = error != NULL ? error : sl_http_answer_copy(response, &read->answer);
    pthread_mutex_lock(&round->lock);
    round->under_way--;
    pthread_cond_signal(&round->ended);
    pthread_mutex_unlock(&round->lock); /* the waiter's frame may be gone from here on */
}

static sl_error *send_read(const azure_store *azure, const char *path, struct read *read) {
    read->call = (azure_call){.method = "GET", .action = "read", .path = path};
    char *url = NULL;
    sl_error *error = sl_store_check_path(azure->url, path);
    error = error != NULL ? error : sl_azure_url(azure, &read->call, &url);
    if (error != NULL) {
        return error;
    }
    sl_http_request request;
    sl_azure_header(&read->call, "x-ms-version", AZURE_VERSION);
    if (read->round->range != NULL) {
        sl_azure_header(&read->call, "x-ms-range", read->round->range);
    }
    sl_azure_request(azure, &read->call, url, &request);
    pthread_mutex_lock(&read->round->lock);
    read->round->under_way++;
    pthread_mutex_unlock(&read->round->lock);
    error = sl_http_send(azure->http, &request, answered, read);
    free(url);
    if (error != NULL) {
        pthread_mutex_lock(&read->round->lock);
        read->round->under_way--;
        pthread_mutex_unlock(&read->round->lock);
    }
    return error;
}

/* Moves what was read to `out`, up to the first error, which is returned. */
static sl_error *take_round(const azure_store *azure, struct read *reads, size_t n,
                            sl_store_bytes *out, size_t *n_read) {
    sl_error *first = NULL;
    *n_read = 0;
    for (size_t i = 0; i < n; i++) {
        struct read *read = &reads[i];
        sl_error *error = read->error;
        if (error == NULL && first == NULL) {
            error = sl_azure_take_body(azure, &read->call, &read->answer, &out[i]);
            *n_read += error == NULL;
        }
        if (first == NULL) {
            first = error;
        } else {
            sl_error_free(error);
        }
        sl_http_answer_free(&read->answer);
    }
    return first;
}

static sl_error *read_round(const azure_store *azure, const char *const *paths, size_t n,
                            const char *range, sl_store_bytes *out, size_t *n_read) {
    struct round round = {.range = range};
    struct read reads[READS_AT_A_TIME] = {0};
    pthread_mutex_init(&round.lock, NULL);
    pthread_cond_init(&round.ended, NULL);
    for (size_t i = 0; i < n; i++) {
        reads[i].round = &round;
        sl_error *error = send_read(azure, paths[i], &reads[i]);
        if (error != NULL) {
            reads[i].error = error; /* it has no answer that could set it */
            n = i + 1;
        }
    }
    pthread_mutex_lock(&round.lock);
    while (round.under_way > 0) {
        pthread_cond_wait(&round.ended, &round.lock);
    }
    pthread_mutex_unlock(&round.lock);
    pthread_cond_destroy(&round.ended);
    pthread_mutex_destroy(&round.lock);
    return take_round(azure, reads, n, out, n_read);
}

sl_error *sl_azure_get_all(sl_store *store, const char *const *paths, size_t n, int64_t length,
                           sl_store_bytes *out, size_t *n_read) {
    const azure_store *azure = (const azure_store *)store;
    char range[64];
    snprintf(range, sizeof(range), "bytes=0-%lld", (long long)length - 1);
    sl_error *error = NULL;
    for (*n_read = 0; *n_read < n && error == NULL;) {
        size_t rest = n - *n_read;
        size_t done = 0;
        error = read_round(azure, paths + *n_read, rest < READS_AT_A_TIME ? rest : READS_AT_A_TIME,
                           length > 0 ? range : NULL, out + *n_read, &done);
        *n_read += done;
    }
    return error;
}
