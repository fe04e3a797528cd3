/* See editions.h. */
#include "host/editions.h"

#include "host/network.h"
#include "host/versions.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/base.h"

#define CONFIG "config/"
#define RUNS "runs/"

enum { NAME_BYTES = 160, MAX_RUNS = 1000 };

struct run_name {
    char text[NAME_BYTES]; /* with the folder */
};

struct editions {
    const struct topology *topology;
    sl_store *store;
    int64_t number;
    struct edition *last;
    struct run_name *runs; /* there when this was opened */
    size_t n_runs;
    struct run_name own; /* empty: not begun */
};

/* ---- reading ---- */

static sl_error *read_edition(struct editions *editions, int64_t number, struct edition **out) {
    sl_buffer text = SL_BUFFER_INIT;
    char where[512];
    sl_error *error = versions_get(editions->store, CONFIG, number, &text, where, sizeof(where));
    if (error == NULL) {
        error = edition_parse((const char *)text.data, text.bytes, where, out);
    }
    sl_buffer_free(&text);
    return error;
}

static sl_error *read_last(struct editions *editions) {
    sl_error *error = versions_last(editions->store, CONFIG, &editions->number);
    return error != NULL || editions->number == 0
               ? error
               : read_edition(editions, editions->number, &editions->last);
}

static int keep_run(const sl_store_entry *entry, void *arg) {
    struct editions *editions = arg;
    if (strlen(entry->path) < NAME_BYTES) {
        (void)snprintf(editions->runs[editions->n_runs].text, NAME_BYTES, "%s", entry->path);
        editions->n_runs++;
    }
    return editions->n_runs == MAX_RUNS;
}

static sl_error *read_runs(struct editions *editions) {
    editions->runs = calloc(MAX_RUNS, sizeof(*editions->runs));
    return editions->runs == NULL
               ? sl_error_no_memory()
               : editions->store->ops->list(editions->store, RUNS, NULL, 0, keep_run, editions);
}

sl_error *editions_open(const struct topology *topology, struct network *network,
                        struct editions **out) {
    struct editions *editions = calloc(1, sizeof(*editions));
    if (editions == NULL) {
        return sl_error_no_memory();
    }
    editions->topology = topology;
    sl_error *error = network_store_open(network, topology->state_url, false, &editions->store);
    error = error != NULL ? error : read_last(editions);
    error = error != NULL ? error : read_runs(editions);
    if (error != NULL) {
        editions_close(editions);
        return error;
    }
    *out = editions;
    return NULL;
}

void editions_close(struct editions *editions) {
    if (editions == NULL) {
        return;
    }
    edition_free(editions->last);
    if (editions->store != NULL) {
        editions->store->ops->close(editions->store);
    }
    free(editions->runs);
    free(editions);
}

struct edition *editions_last(const struct editions *editions, int64_t *number) {
    *number = editions->number;
    return editions->last;
}

bool editions_uneven(const struct editions *editions) {
    return editions->n_runs > 0;
}

/* ---- writing ---- */

/* Somebody stored an edition of this number: whether it is the same, but for what each host may
 * have its own of (names of members and writers). */
static sl_error *check_same(struct editions *editions, int64_t number) {
    struct edition *theirs = NULL;
    struct edition_change change = {0};
    sl_error *error = read_edition(editions, number, &theirs);
    if (error == NULL) {
        error = edition_compare(theirs, editions->topology, &change);
    }
    edition_free(theirs);
    if (error != NULL || change.alike) {
        return error;
    }
    return sl_error_new(SL_ERROR_CONFLICT,
                        "another sluice has started with another configuration at this moment "
                        "(%s/" CONFIG ", number %lld): start one of them again",
                        editions->store->ops->url(editions->store), (long long)number);
}

sl_error *editions_add(struct editions *editions) {
    sl_buffer text = SL_BUFFER_INIT;
    sl_error *error = edition_write(editions->topology, &text);
    if (error == NULL) {
        error = versions_put(editions->store, CONFIG, editions->number + 1, &text);
    }
    if (sl_error_is(error, SL_ERROR_EXISTS)) {
        sl_error_free(error);
        error = check_same(editions, editions->number + 1);
    }
    editions->number += error == NULL ? 1 : 0;
    sl_buffer_free(&text);
    return error;
}

/* Whether two topologies are of one edition. */
static sl_error *compare_texts(const struct topology *a, const struct topology *b, bool *same) {
    sl_buffer texts[2] = {SL_BUFFER_INIT, SL_BUFFER_INIT};
    sl_error *error = edition_write(a, &texts[0]);
    error = error != NULL ? error : edition_write(b, &texts[1]);
    *same = error == NULL && texts[0].bytes == texts[1].bytes &&
            memcmp(texts[0].data, texts[1].data, texts[0].bytes) == 0;
    sl_buffer_free(&texts[0]);
    sl_buffer_free(&texts[1]);
    return error;
}

sl_error *editions_follow(struct editions *editions, const struct topology *next) {
    const struct topology *now = editions->topology;
    bool same;
    sl_error *error = compare_texts(now, next, &same);
    editions->topology = next;
    if (error == NULL && !same) {
        error = versions_last(editions->store, CONFIG, &editions->number);
        error = error != NULL ? error : editions_add(editions);
    }
    if (error != NULL) {
        editions->topology = now;
    }
    return error;
}

/* This host's name as a part of a path; what could end or split it is replaced. */
static void host_name(char *out, size_t bytes) {
    if (gethostname(out, bytes) != 0) {
        (void)snprintf(out, bytes, "host");
    }
    out[bytes - 1] = 0;
    for (char *c = out; *c != 0; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || *c == '.';
        *c = plain ? *c : '_';
    }
    if (out[0] == 0 || out[0] == '.') {
        (void)snprintf(out, bytes, "host");
    }
}

sl_error *editions_run_begins(struct editions *editions) {
    char host[65];
    uint64_t token = 0;
    host_name(host, sizeof(host));
    if (getrandom(&token, sizeof(token), 0) != (ssize_t)sizeof(token)) {
        token = (uint64_t)sl_now_us();
    }
    struct run_name name;
    (void)snprintf(name.text, NAME_BYTES, RUNS "%s-%ld-%016" PRIx64, host, (long)getpid(), token);
    sl_error *error =
        editions->store->ops->put(editions->store, name.text, "", 0, SL_STORE_IF_ABSENT);
    if (error == NULL) {
        editions->own = name;
    }
    return error;
}

/* Whether the run was of a process of this host that is no more. */
static bool is_dead(const struct run_name *name) {
    char host[65];
    long pid = 0;
    host_name(host, sizeof(host));
    size_t bytes = strlen(RUNS) + strlen(host);
    return strncmp(name->text + strlen(RUNS), host, strlen(host)) == 0 &&
           sscanf(name->text + bytes, "-%ld-", &pid) == 1 && pid > 0 &&
           (pid == (long)getpid() || (kill((pid_t)pid, 0) != 0 && errno == ESRCH));
}

sl_error *editions_run_ended_level(struct editions *editions) {
    sl_error *error = editions->store->ops->remove(editions->store, editions->own.text);
    for (size_t i = 0; i < editions->n_runs && error == NULL; i++) {
        if (is_dead(&editions->runs[i])) {
            error = editions->store->ops->remove(editions->store, editions->runs[i].text);
        }
    }
    return error;
}
