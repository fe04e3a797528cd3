/* {"format": 1, "nodes": {"bronze": "PAUSED", "gold": "STOPPED"}}; see targets.h. */
#include "host/targets.h"

#include "host/network.h"
#include "host/versions.h"
#include "topology/document.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "targets/"

enum { FORMAT = 1, KEPT_VERSIONS = 10, RACES_MAX = 20 };

static const char *const names[] = {
    [TARGET_RUNNING] = "RUNNING", [TARGET_PAUSED] = "PAUSED", [TARGET_STOPPED] = "STOPPED"};

struct entry {
    char *node;
    enum target target;
    bool dirty; /* set here, and in no version yet */
};

struct targets {
    sl_store *store; /* NULL: nothing is durable */
    pthread_mutex_t lock;
    int64_t number; /* of the version that was read or written last */
    struct entry *entries;
    size_t n_entries;
};

/* ---- in memory; with the lock ---- */

static struct entry *find(const struct targets *targets, const char *node) {
    for (size_t i = 0; i < targets->n_entries; i++) {
        if (strcmp(targets->entries[i].node, node) == 0) {
            return &targets->entries[i];
        }
    }
    return NULL;
}

static struct entry *find_or_add(struct targets *targets, const char *node) {
    struct entry *entry = find(targets, node);
    if (entry != NULL) {
        return entry;
    }
    struct entry *grown =
        realloc(targets->entries, (targets->n_entries + 1) * sizeof(*targets->entries));
    char *name = grown == NULL ? NULL : strdup(node);
    targets->entries = grown == NULL ? targets->entries : grown;
    if (name == NULL) {
        return NULL;
    }
    targets->entries[targets->n_entries] = (struct entry){.node = name};
    return &targets->entries[targets->n_entries++];
}

/* ---- reading ---- */

static sl_error *corrupt(const char *where, const char *why) {
    return sl_error_new(SL_ERROR_CORRUPT, "%s does not say which nodes are paused: %s", where, why);
}

static sl_error *take_node(struct targets *targets, const struct json_value *value,
                           const char *where) {
    for (int target = TARGET_RUNNING; target <= TARGET_STOPPED; target++) {
        if (value->kind == JSON_STRING && strcmp(value->text, names[target]) == 0) {
            struct entry *entry = find_or_add(targets, value->key);
            if (entry == NULL) {
                return sl_error_no_memory();
            }
            entry->target = entry->dirty ? entry->target : (enum target)target;
            return NULL;
        }
    }
    return corrupt(where, "a target is none of \"RUNNING\", \"PAUSED\", \"STOPPED\"");
}

/* Takes in what a version says, but for what was set here since. */
static sl_error *take_version(struct targets *targets, const struct json_value *root,
                              const char *where) {
    const struct json_value *format =
        root->kind == JSON_OBJECT ? json_member(root, "format") : NULL;
    const struct json_value *nodes = root->kind == JSON_OBJECT ? json_member(root, "nodes") : NULL;
    int64_t version;
    if (format == NULL || format->kind != JSON_NUMBER ||
        !sl_parse_i64(format->text, strlen(format->text), &version) || nodes == NULL ||
        nodes->kind != JSON_OBJECT) {
        return corrupt(where, "\"format\" or \"nodes\" is missing");
    }
    if (version != FORMAT) {
        return sl_error_format(where, version, FORMAT, FORMAT);
    }
    for (size_t i = 0; i < targets->n_entries; i++) {
        struct entry *entry = &targets->entries[i];
        entry->target = entry->dirty ? entry->target : TARGET_RUNNING;
    }
    sl_error *error = NULL;
    for (const struct json_value *n = nodes->first; n != NULL && error == NULL; n = n->next) {
        error = take_node(targets, n, where);
    }
    return error;
}

static sl_error *read_last(struct targets *targets) {
    int64_t number;
    sl_error *error = versions_last(targets->store, FOLDER, &number);
    if (error != NULL || number == targets->number) {
        return error;
    }
    sl_buffer text = SL_BUFFER_INIT;
    struct arena arena = {0};
    char where[512];
    error = versions_get(targets->store, FOLDER, number, &text, where, sizeof(where));
    if (error == NULL) {
        const struct json_value *root = json_read(&arena, (const char *)text.data, text.bytes);
        pthread_mutex_lock(&targets->lock);
        error = arena.failed   ? sl_error_no_memory()
                : root == NULL ? corrupt(where, "it is no JSON")
                               : take_version(targets, root, where);
        pthread_mutex_unlock(&targets->lock);
    }
    if (error == NULL) {
        targets->number = number;
    }
    arena_free(&arena);
    sl_buffer_free(&text);
    return error;
}

sl_error *targets_open(const struct topology *topology, struct network *network,
                       struct targets **out) {
    struct targets *targets = calloc(1, sizeof(*targets));
    if (targets == NULL) {
        return sl_error_no_memory();
    }
    pthread_mutex_init(&targets->lock, NULL);
    sl_error *error = NULL;
    if (topology->state_url != NULL) {
        error = network_store_open(network, topology->state_url, false, &targets->store);
        error = error != NULL ? error : read_last(targets);
    }
    if (error != NULL) {
        targets_close(targets);
        return error;
    }
    *out = targets;
    return NULL;
}

void targets_close(struct targets *targets) {
    if (targets == NULL) {
        return;
    }
    if (targets->store != NULL) {
        targets->store->ops->close(targets->store);
    }
    for (size_t i = 0; i < targets->n_entries; i++) {
        free(targets->entries[i].node);
    }
    free(targets->entries);
    pthread_mutex_destroy(&targets->lock);
    free(targets);
}

/* ---- what is wanted ---- */

static pthread_mutex_t *lock_of(const struct targets *targets) {
    return &((struct targets *)(uintptr_t)targets)->lock;
}

enum target targets_get(const struct targets *targets, const char *node) {
    pthread_mutex_lock(lock_of(targets));
    const struct entry *entry = find(targets, node);
    enum target target = entry == NULL ? TARGET_RUNNING : entry->target;
    pthread_mutex_unlock(lock_of(targets));
    return target;
}

sl_error *targets_set(struct targets *targets, const char *node, enum target target) {
    pthread_mutex_lock(&targets->lock);
    struct entry *entry = find_or_add(targets, node);
    if (entry != NULL && entry->target != target) {
        entry->target = target;
        entry->dirty = targets->store != NULL;
    }
    pthread_mutex_unlock(&targets->lock);
    return entry == NULL ? sl_error_no_memory() : NULL;
}

bool targets_are_dirty(const struct targets *targets) {
    bool dirty = false;
    pthread_mutex_lock(lock_of(targets));
    for (size_t i = 0; i < targets->n_entries; i++) {
        dirty = dirty || targets->entries[i].dirty;
    }
    pthread_mutex_unlock(lock_of(targets));
    return dirty;
}

/* ---- writing ---- */

/* The version to come. */
static void compose(struct targets *targets, sl_buffer *out) {
    const char *separator = "";
    (void)sl_buffer_printf(out, "{\"format\":%d,\"nodes\":{", FORMAT);
    for (size_t i = 0; i < targets->n_entries; i++) {
        const struct entry *entry = &targets->entries[i];
        if (entry->target != TARGET_RUNNING) {
            (void)sl_buffer_append_text(out, separator);
            (void)sl_buffer_append_json_string(out, entry->node, strlen(entry->node));
            (void)sl_buffer_printf(out, ":\"%s\"", names[entry->target]);
            separator = ",";
        }
    }
    (void)sl_buffer_append_text(out, "}}\n");
}

/* What was composed is durable; what was set since is not. */
static void mark_clean(struct targets *targets, const enum target *written, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct entry *entry = &targets->entries[i];
        entry->dirty = entry->dirty && entry->target != written[i];
    }
}

static sl_error *write_next(struct targets *targets) {
    sl_buffer text = SL_BUFFER_INIT;
    pthread_mutex_lock(&targets->lock);
    size_t n = targets->n_entries;
    enum target *written = calloc(n + 1, sizeof(*written));
    for (size_t i = 0; i < n && written != NULL; i++) {
        written[i] = targets->entries[i].target;
    }
    compose(targets, &text);
    pthread_mutex_unlock(&targets->lock);
    sl_error *error = written == NULL
                          ? sl_error_no_memory()
                          : versions_put(targets->store, FOLDER, targets->number + 1, &text);
    if (error == NULL) {
        targets->number++;
        pthread_mutex_lock(&targets->lock);
        mark_clean(targets, written, n);
        pthread_mutex_unlock(&targets->lock);
        if (targets->number > KEPT_VERSIONS) { /* else it is removed another time */
            sl_error_free(versions_remove(targets->store, FOLDER, targets->number - KEPT_VERSIONS));
        }
    }
    free(written);
    sl_buffer_free(&text);
    return error;
}

sl_error *targets_write(struct targets *targets) {
    sl_error *error = NULL;
    for (int race = 0; race < RACES_MAX; race++) {
        sl_error_free(error);
        error = read_last(targets);
        error = error != NULL ? error : write_next(targets);
        if (!sl_error_is(error, SL_ERROR_EXISTS)) {
            break;
        }
    }
    return error;
}
