/* The way out: see network.h. */
#include "host/network.h"

#include "host/http_loop.h"

#include <pthread.h>
#include <stdlib.h>

/* What an entry of "stores" pays with, made when it is needed first. */
struct payer {
    bool made;
    sl_http_auth *auth;
};

struct tally {
    struct tally *next;
    struct snapshot_http count;
    char host[];
};

struct network {
    const struct topology *topology;
    void (*log)(void *arg, bool warning, const char *text);
    void *log_arg;
    pthread_mutex_t tally_lock;
    struct tally *tallies; /* only grows */
    pthread_mutex_t lock;  /* of what follows, until the thread runs and the payer is made */
    bool running;
    struct loop loop;
    sl_http *http;
    struct payer unnamed;  /* for URLs that no entry fits */
    struct payer payers[]; /* by entry */
};

sl_error *network_new(const struct topology *topology,
                      void (*log)(void *arg, bool warning, const char *text), void *log_arg,
                      struct network **out) {
    struct network *network =
        calloc(1, sizeof(*network) + topology->n_stores * sizeof(network->payers[0]));
    if (network == NULL) {
        return sl_error_no_memory();
    }
    network->topology = topology;
    network->log = log;
    network->log_arg = log_arg;
    pthread_mutex_init(&network->lock, NULL);
    pthread_mutex_init(&network->tally_lock, NULL);
    *out = network;
    return NULL;
}

static void close_client(void *arg) {
    struct network *network = arg;
    sl_http_close(network->http);
}

void network_free(struct network *network) {
    if (network == NULL) {
        return;
    }
    if (network->running) {
        struct loop_message message = {0};
        loop_post(&network->loop, &message, close_client, network);
        loop_stop(&network->loop);
        loop_close(&network->loop);
    }
    sl_http_auth_close(network->unnamed.auth);
    for (size_t i = 0; i < network->topology->n_stores; i++) {
        sl_http_auth_close(network->payers[i].auth);
    }
    while (network->tallies != NULL) {
        struct tally *next = network->tallies->next;
        free(network->tallies);
        network->tallies = next;
    }
    pthread_mutex_destroy(&network->tally_lock);
    pthread_mutex_destroy(&network->lock);
    free(network);
}

static void log_line(void *arg, bool warning, const char *text) {
    const struct network *network = arg;
    if (network->log != NULL) {
        network->log(network->log_arg, warning, text);
    }
}

/* ---- what was sent ---- */

/* Under the tallies' lock; NULL when memory is short. */
static struct tally *tally_of(struct network *network, const char *host, int status) {
    for (struct tally *tally = network->tallies; tally != NULL; tally = tally->next) {
        if (tally->count.status == status && strcmp(tally->host, host) == 0) {
            return tally;
        }
    }
    size_t bytes = strlen(host) + 1;
    struct tally *tally = calloc(1, sizeof(*tally) + bytes);
    if (tally != NULL) {
        memcpy(tally->host, host, bytes);
        tally->count.host = tally->host;
        tally->count.status = status;
        tally->next = network->tallies;
        network->tallies = tally;
    }
    return tally;
}

static void count_attempt(void *arg, const char *host, int status, int64_t us) {
    struct network *network = arg;
    pthread_mutex_lock(&network->tally_lock);
    struct tally *tally = tally_of(network, host, status);
    if (tally != NULL) {
        tally->count.attempts++;
        tally->count.us += us;
    }
    pthread_mutex_unlock(&network->tally_lock);
}

bool network_counts(struct network *network, struct snapshot_http **out, size_t *n) {
    pthread_mutex_lock(&network->tally_lock);
    size_t found = 0;
    for (const struct tally *tally = network->tallies; tally != NULL; tally = tally->next) {
        found++;
    }
    struct snapshot_http *counts = calloc(found + 1, sizeof(*counts));
    *n = 0;
    for (const struct tally *tally = network->tallies; tally != NULL && counts != NULL;
         tally = tally->next) {
        counts[(*n)++] = tally->count;
    }
    pthread_mutex_unlock(&network->tally_lock);
    *out = counts;
    return counts != NULL;
}

/* ---- the client ---- */

/* Under the lock. */
static sl_error *start(struct network *network) {
    sl_error *error = loop_init(&network->loop, "network");
    if (error != NULL) {
        return error;
    }
    sl_http_loop loop = http_loop(&network->loop);
    sl_http_options options = {.user_agent = "sluice/" SL_VERSION,
                               .ca_file = network->topology->http_ca_file,
                               .log = log_line,
                               .count = count_attempt,
                               .arg = network};
    error = sl_http_open(&loop, &options, &network->http);
    if (error == NULL) {
        error = loop_start(&network->loop);
        if (error != NULL) {
            sl_http_close(network->http);
        }
    }
    if (error != NULL) {
        loop_close(&network->loop);
        return error;
    }
    network->running = true;
    return NULL;
}

sl_error *network_http(struct network *network, sl_http **out) {
    pthread_mutex_lock(&network->lock);
    sl_error *error = network->running ? NULL : start(network);
    pthread_mutex_unlock(&network->lock);
    if (error == NULL) {
        *out = network->http;
    }
    return error;
}

static void close_auth(void *arg) {
    sl_http_auth_close(arg);
}

void network_auth_close(struct network *network, sl_http_auth *auth) {
    pthread_mutex_lock(&network->lock);
    bool running = network->running;
    pthread_mutex_unlock(&network->lock);
    sl_error *error = running ? loop_post_new(&network->loop, close_auth, auth) : NULL;
    if (!running) {
        sl_http_auth_close(auth);
    }
    sl_error_free(error); /* without memory for the message it stays until the process ends */
}

/* ---- stores ---- */

/* The entry with the longest prefix of the URL that ends where a part of it ends. */
static size_t entry_for(const struct topology *topology, const char *url) {
    size_t found = topology->n_stores;
    size_t longest = 0;
    for (size_t i = 0; i < topology->n_stores; i++) {
        const char *prefix = topology->stores[i].url;
        size_t bytes = strlen(prefix);
        bool fits = strncmp(url, prefix, bytes) == 0 &&
                    (prefix[bytes - 1] == '/' || url[bytes] == '/' || url[bytes] == 0);
        /* "…/folder/" names "…/folder", too */
        fits = fits || (strlen(url) == bytes - 1 && strncmp(url, prefix, bytes - 1) == 0 &&
                        prefix[bytes - 1] == '/');
        if (fits && bytes > longest) {
            found = i;
            longest = bytes;
        }
    }
    return found;
}

static sl_error *make_token(const char *url, const struct topology_store *entry,
                            sl_http_auth **out) {
    const sl_credential credential =
        sl_credential_of(entry->credential, "https://storage.azure.com/.default", &entry->login);
    sl_error *error = sl_http_token_auth(&credential, out);
    return error == NULL ? NULL : sl_error_wrap(error, "the credential of %s", url);
}

static sl_error *check_private(const char *url, const struct topology_store *entry) {
    if (entry->credential == SL_CREDENTIAL_NONE || sl_url_is_private(url)) {
        return NULL;
    }
    return sl_error_new(SL_ERROR_CONFIG,
                        "%s: a token would travel unencrypted; use https:// or abfss://, or say "
                        "\"auth\": \"none\" or \"shared-key\" in \"stores\"",
                        url);
}

static sl_error *make_auth(const char *url, const struct topology_store *entry,
                           sl_http_auth **out) {
    switch (entry->auth) {
    case TOPOLOGY_AUTH_NONE:
    case TOPOLOGY_AUTH_SAS:
        return NULL;
    case TOPOLOGY_AUTH_SHARED_KEY:
        return sl_store_shared_key_auth(url, entry->key, out);
    default:
        return make_token(url, entry, out);
    }
}

sl_error *network_store_open(struct network *network, const char *url, bool read_only,
                             sl_store **out) {
    sl_store_options options = {.read_only = read_only};
    if (!sl_store_is_remote(url)) {
        return sl_store_open(url, &options, out);
    }
    sl_error *error = network_http(network, &options.http);
    if (error != NULL) {
        return error;
    }
    static const struct topology_store unnamed = {.auth = TOPOLOGY_AUTH_DEFAULT,
                                                  .credential = SL_CREDENTIAL_DEFAULT};
    size_t i = entry_for(network->topology, url);
    bool named = i < network->topology->n_stores;
    const struct topology_store *entry = named ? &network->topology->stores[i] : &unnamed;
    struct payer *payer = named ? &network->payers[i] : &network->unnamed;
    error = check_private(url, entry);
    if (error != NULL) {
        return error;
    }
    pthread_mutex_lock(&network->lock);
    if (!payer->made) {
        error = make_auth(named ? entry->url : url, entry, &payer->auth);
        payer->made = error == NULL;
    }
    pthread_mutex_unlock(&network->lock);
    if (error != NULL) {
        return error;
    }
    options.auth = payer->auth;
    options.sas = entry->auth == TOPOLOGY_AUTH_SAS ? entry->sas : NULL;
    return sl_store_open(url, &options, out);
}
