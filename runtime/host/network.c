/* The way out: see network.h. */
#include "host/network.h"

#include "host/http_loop.h"

#include <pthread.h>
#include <stdlib.h>

/* Tokens of one credential, and how many hold them. */
struct account {
    struct account *next;
    sl_http_auth *auth;
    size_t users;
};

/* What an entry of "stores" pays with, made when it is needed first. */
struct payer {
    bool made;
    bool by_token; /* an account's */
    sl_http_auth *auth;
};

struct tally {
    struct tally *next;
    struct snapshot_http count;
    char host[];
};

struct network {
    const struct topology *topology;
    pthread_mutex_t log_lock;
    network_log log;
    void *log_arg;
    network_log log_to; /* NULL: to `log` */
    void *log_to_arg;
    pthread_mutex_t tally_lock;
    struct tally *tallies; /* only grows */
    pthread_mutex_t lock;  /* of what follows, until the thread runs and the payer is made */
    bool running;
    struct loop loop;
    sl_http *http;
    struct account *accounts;
    struct payer payers[]; /* by entry, and one more for URLs that none fits */
};

sl_error *network_new(const struct topology *topology, network_log log, void *log_arg,
                      struct network **out) {
    struct network *network =
        calloc(1, sizeof(*network) + (topology->n_stores + 1) * sizeof(network->payers[0]));
    if (network == NULL) {
        return sl_error_no_memory();
    }
    network->topology = topology;
    network->log = log;
    network->log_arg = log_arg;
    pthread_mutex_init(&network->lock, NULL);
    pthread_mutex_init(&network->log_lock, NULL);
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
    for (size_t i = 0; i <= network->topology->n_stores; i++) {
        if (!network->payers[i].by_token) {
            sl_http_auth_close(network->payers[i].auth);
        }
    }
    while (network->accounts != NULL) {
        struct account *next = network->accounts->next;
        sl_http_auth_close(network->accounts->auth);
        free(network->accounts);
        network->accounts = next;
    }
    while (network->tallies != NULL) {
        struct tally *next = network->tallies->next;
        free(network->tallies);
        network->tallies = next;
    }
    pthread_mutex_destroy(&network->tally_lock);
    pthread_mutex_destroy(&network->log_lock);
    pthread_mutex_destroy(&network->lock);
    free(network);
}

void network_log_to(struct network *network, network_log log, void *log_arg) {
    pthread_mutex_lock(&network->log_lock);
    network->log_to = log;
    network->log_to_arg = log_arg;
    pthread_mutex_unlock(&network->log_lock);
}

static void log_line(void *arg, bool warning, const char *text) {
    struct network *network = arg;
    pthread_mutex_lock(&network->log_lock); /* so that nobody is called who has gone */
    if (network->log_to != NULL) {
        network->log_to(network->log_to_arg, warning, text);
    } else if (network->log != NULL) {
        network->log(network->log_arg, warning, text);
    }
    pthread_mutex_unlock(&network->log_lock);
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

/* ---- tokens ---- */

/* Under the lock. */
static sl_error *open_account(struct network *network, const sl_credential *credential,
                              sl_http_auth **out) {
    sl_error *error = sl_http_token_auth(credential, out);
    if (error != NULL) {
        return error;
    }
    for (struct account *known = network->accounts; known != NULL; known = known->next) {
        if (sl_http_token_auth_same(known->auth, *out)) {
            sl_http_auth_close(*out);
            *out = known->auth;
            known->users++;
            return NULL;
        }
    }
    struct account *account = malloc(sizeof(*account));
    if (account == NULL) {
        sl_http_auth_close(*out);
        *out = NULL;
        return sl_error_no_memory();
    }
    *account = (struct account){.next = network->accounts, .auth = *out, .users = 1};
    network->accounts = account;
    return NULL;
}

sl_error *network_auth_open(struct network *network, const sl_credential *credential,
                            sl_http_auth **out) {
    pthread_mutex_lock(&network->lock);
    sl_error *error = open_account(network, credential, out);
    pthread_mutex_unlock(&network->lock);
    return error;
}

/* The account's record when this was its last user, taken out of the list. Under the lock. */
static struct account *leave_account(struct network *network, const sl_http_auth *auth) {
    struct account **link = &network->accounts;
    while (*link != NULL && (*link)->auth != auth) {
        link = &(*link)->next;
    }
    struct account *account = *link;
    if (account == NULL || --account->users > 0) {
        return NULL;
    }
    *link = account->next;
    return account;
}

static void close_account(void *arg) {
    struct account *account = arg;
    sl_http_auth_close(account->auth);
    free(account);
}

void network_auth_close(struct network *network, sl_http_auth *auth) {
    pthread_mutex_lock(&network->lock);
    bool running = network->running;
    struct account *account = leave_account(network, auth);
    pthread_mutex_unlock(&network->lock);
    if (account != NULL && running) {
        /* without memory for the message it stays until the process ends */
        sl_error_free(loop_post_new(&network->loop, close_account, account));
    } else if (account != NULL) {
        close_account(account);
    }
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

/* Under the lock. */
static sl_error *make_token(struct network *network, const char *url,
                            const struct topology_store *entry, struct payer *payer) {
    const sl_credential credential =
        sl_credential_of(entry->credential, "https://storage.azure.com/.default", &entry->login);
    sl_error *error = open_account(network, &credential, &payer->auth);
    payer->by_token = error == NULL;
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

/* Under the lock. */
static sl_error *make_auth(struct network *network, const char *url,
                           const struct topology_store *entry, struct payer *payer) {
    switch (entry->auth) {
    case TOPOLOGY_AUTH_NONE:
    case TOPOLOGY_AUTH_SAS:
        return NULL;
    case TOPOLOGY_AUTH_SHARED_KEY:
        return sl_store_shared_key_auth(url, entry->key, &payer->auth);
    default:
        return make_token(network, url, entry, payer);
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
    struct payer *payer = &network->payers[i];
    error = check_private(url, entry);
    if (error != NULL) {
        return error;
    }
    pthread_mutex_lock(&network->lock);
    if (!payer->made) {
        error = make_auth(network, named ? entry->url : url, entry, payer);
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
