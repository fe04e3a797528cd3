/*
 * positions/<version>.json holds {"version":1,"positions":{"<key>":<next offset>,...}}. The highest
 * version counts; some before it stay, for those who have just listed them.
 *
 * The hosts of a group share the file, each with partitions of its own: when another was faster,
 * the positions are put on top of its version, as long as they still are what the commit goes on
 * from. Versions are removed, so that the next number is free proves nothing unless the one before
 * it is still there.
 */
#include "delivery/keeper.h"

#include "host/run.h"
#include "host/versions.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "positions/"

enum {
    FORMAT_VERSION = 1,
    KEPT_VERSIONS = 8,
    RACES_MAX = 16 /* lost in a row, before the host backs off */
};

struct keeper {
    struct host_node *node;
    sl_store *store;
    cJSON *positions; /* key → next offset */
    int64_t version;  /* stored last; 0: none */
    bool loaded;
    uv_work_t work;
    struct keeper_call *calls; /* the first is under way, the others wait */
};

struct keeper_call {
    struct keeper_call *next;
    struct keeper *keeper;
    sl_position *recover; /* or */
    const sl_position *keep;
    size_t n;
    sl_request *request;
    sl_error *error;
    cJSON *positions; /* what holds once it has succeeded; NULL: what held before */
};

sl_error *keeper_new(struct host_node *node, sl_store *store, struct keeper **out) {
    struct keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL) {
        return sl_error_no_memory();
    }
    keeper->node = node;
    keeper->store = store;
    keeper->positions = cJSON_CreateObject();
    if (keeper->positions == NULL) {
        free(keeper);
        return sl_error_no_memory();
    }
    *out = keeper;
    return NULL;
}

static sl_error *parse(const sl_buffer *text, const char *where, cJSON **out) {
    cJSON *root = cJSON_ParseWithLength((const char *)text->data, text->bytes);
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(root, "version");
    cJSON *positions = cJSON_DetachItemFromObjectCaseSensitive(root, "positions");
    sl_error *error = NULL;
    if (!cJSON_IsNumber(version) || !cJSON_IsObject(positions)) {
        error = sl_error_new(SL_ERROR_CORRUPT, "%s does not hold positions", where);
    } else if (version->valueint != FORMAT_VERSION) {
        error = sl_error_format(where, version->valueint, FORMAT_VERSION, FORMAT_VERSION);
    }
    if (error == NULL) {
        *out = positions;
    } else {
        cJSON_Delete(positions);
    }
    cJSON_Delete(root);
    return error;
}

/* *newer: what is stored, unless that is known already; else it stays NULL. */
static sl_error *look(struct keeper *keeper, cJSON **newer) {
    sl_error *error = NULL;
    int64_t last = 0;
    for (int race = 0; race < RACES_MAX; race++) {
        sl_buffer text = SL_BUFFER_INIT;
        char where[512];
        sl_error_free(error); /* it was removed behind newer ones */
        error = versions_last(keeper->store, FOLDER, &last);
        if (error != NULL || (keeper->loaded && last == keeper->version)) {
            return error;
        }
        if (last == 0) {
            *newer = cJSON_CreateObject();
            error = *newer == NULL ? sl_error_no_memory() : NULL;
        } else {
            error = versions_get(keeper->store, FOLDER, last, &text, where, sizeof(where));
            error = error != NULL ? error : parse(&text, where, newer);
        }
        sl_buffer_free(&text);
        if (!sl_error_is(error, SL_ERROR_NOT_FOUND)) {
            break;
        }
    }
    if (error == NULL) {
        keeper->version = last;
        keeper->loaded = true;
    }
    return error;
}

static int64_t offset_of(const cJSON *positions, const char *key) {
    const cJSON *offset = cJSON_GetObjectItemCaseSensitive(positions, key);
    return cJSON_IsNumber(offset) ? (int64_t)offset->valuedouble : SL_OFFSET_NONE;
}

/* What the call sees; others see it on the loop, once it has succeeded. */
static const cJSON *known(const struct keeper *keeper, const struct keeper_call *call) {
    return call->positions != NULL ? call->positions : keeper->positions;
}

static void run_recover(uv_work_t *work) {
    struct keeper *keeper = work->data;
    struct keeper_call *call = keeper->calls;
    call->error = keeper->store == NULL ? NULL : look(keeper, &call->positions);
    for (size_t i = 0; call->error == NULL && i < call->n; i++) {
        call->recover[i].from = offset_of(known(keeper, call), call->recover[i].key);
    }
}

static void run_store(uv_work_t *work);
static void begin(struct keeper *keeper);

static void finished(uv_work_t *work, int status) {
    struct keeper *keeper = work->data;
    struct keeper_call *call = keeper->calls;
    (void)status;
    if (call->error == NULL && call->positions != NULL) {
        cJSON_Delete(keeper->positions);
        keeper->positions = call->positions;
    } else if (call->positions != NULL) {
        cJSON_Delete(call->positions);
        keeper->loaded = false; /* what was read is gone again */
    }
    keeper->calls = call->next;
    host_done(call->request, call->error);
    free(call);
    begin(keeper);
}

static void begin(struct keeper *keeper) {
    struct keeper_call *call = keeper->calls;
    if (call == NULL) {
        return;
    }
    keeper->work.data = keeper;
    int status = uv_queue_work(&keeper->node->host->control.uv, &keeper->work,
                               call->keep != NULL ? run_store : run_recover, finished);
    if (status != 0) {
        call->error = sl_error_new(SL_ERROR_FATAL, "cannot queue work: %s", uv_strerror(status));
        finished(&keeper->work, status);
    }
}

static void queue(struct keeper *keeper, sl_position *recover, const sl_position *keep, size_t n,
                  sl_request *request) {
    struct keeper_call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        host_done(request, sl_error_no_memory());
        return;
    }
    *call = (struct keeper_call){
        .keeper = keeper, .recover = recover, .keep = keep, .n = n, .request = request};
    struct keeper_call **tail = &keeper->calls;
    while (*tail != NULL) {
        tail = &(*tail)->next;
    }
    *tail = call;
    if (keeper->calls == call) {
        begin(keeper);
    }
}

void keeper_recover(struct keeper *keeper, sl_position *positions, size_t n, sl_request *request) {
    queue(keeper, positions, NULL, n, request);
}

/* Whether the next version is this text: then it is ours, and its answer got lost. */
static bool is_stored(struct keeper *keeper, const sl_buffer *text) {
    sl_buffer stored = SL_BUFFER_INIT;
    sl_error *error = versions_get(keeper->store, FOLDER, keeper->version + 1, &stored, NULL, 0);
    bool same = error == NULL && stored.bytes == text->bytes &&
                memcmp(stored.data, text->data, text->bytes) == 0;
    sl_error_free(error);
    sl_buffer_free(&stored);
    return same;
}

/* Puts the next version. EXISTS: another host was faster. */
static sl_error *put_version(struct keeper *keeper, const cJSON *positions) {
    cJSON *root = cJSON_CreateObject();
    char *text = NULL;
    if (root != NULL && cJSON_AddNumberToObject(root, "version", FORMAT_VERSION) != NULL &&
        cJSON_AddItemReferenceToObject(root, "positions", (cJSON *)(uintptr_t)positions)) {
        text = cJSON_PrintUnformatted(root);
    }
    cJSON_Delete(root);
    if (text == NULL) {
        return sl_error_no_memory();
    }
    const sl_buffer next = {.data = (uint8_t *)text, .bytes = strlen(text)};
    sl_error *error = versions_put(keeper->store, FOLDER, keeper->version + 1, &next);
    if (sl_error_is(error, SL_ERROR_EXISTS) && is_stored(keeper, &next)) {
        sl_error_free(error);
        error = NULL;
    }
    cJSON_free(text);
    if (error == NULL) {
        keeper->version++;
        if (keeper->version > KEPT_VERSIONS) { /* one that stays harms nobody */
            sl_error_free(versions_remove(keeper->store, FOLDER, keeper->version - KEPT_VERSIONS));
        }
    }
    return error;
}

/* The call's positions on top of what it sees. */
static sl_error *store_once(struct keeper *keeper, struct keeper_call *call) {
    cJSON *next = cJSON_Duplicate(known(keeper, call), 1);
    bool whole = next != NULL;
    for (size_t i = 0; whole && i < call->n; i++) {
        cJSON_DeleteItemFromObjectCaseSensitive(next, call->keep[i].key);
        whole = call->keep[i].to == SL_OFFSET_NONE ||
                cJSON_AddNumberToObject(next, call->keep[i].key, (double)call->keep[i].to) != NULL;
    }
    sl_error *error = whole ? NULL : sl_error_no_memory();
    if (error == NULL && keeper->store != NULL) {
        error = put_version(keeper, next);
    }
    if (error != NULL) {
        cJSON_Delete(next);
        return error;
    }
    cJSON_Delete(call->positions);
    call->positions = next;
    return NULL;
}

/* *ahead: another host may have stored versions that are not known here. */
static sl_error *are_others_ahead(const struct keeper *keeper, bool *ahead) {
    *ahead = keeper->store != NULL && (!keeper->loaded || keeper->version == 0);
    if (keeper->store == NULL || *ahead) {
        return NULL;
    }
    bool there = false;
    sl_error *error = versions_has(keeper->store, FOLDER, keeper->version, &there);
    *ahead = !there;
    return error;
}

/* Takes in what other hosts have stored. *done: with what the call has to store, by an earlier try
 * whose answer was lost. */
static sl_error *follow(struct keeper *keeper, struct keeper_call *call, bool *done) {
    cJSON *newer = NULL;
    sl_error *error = look(keeper, &newer);
    if (newer == NULL) {
        return error;
    }
    cJSON_Delete(call->positions);
    call->positions = newer;
    *done = true;
    for (size_t i = 0; i < call->n; i++) {
        *done = *done && offset_of(newer, call->keep[i].key) == call->keep[i].to;
    }
    for (size_t i = 0; i < call->n && !*done; i++) {
        int64_t stored = offset_of(newer, call->keep[i].key);
        if (stored != call->keep[i].from) {
            return sl_error_new(SL_ERROR_CONFLICT,
                                "another host has stored a position of this node: %s/" FOLDER
                                ", number %lld, has %lld for %s, and this goes on from %lld",
                                keeper->store->ops->url(keeper->store), (long long)keeper->version,
                                (long long)stored, call->keep[i].key,
                                (long long)call->keep[i].from);
        }
    }
    return NULL;
}

static void run_store(uv_work_t *work) {
    struct keeper *keeper = work->data;
    struct keeper_call *call = keeper->calls;
    bool ahead = false;
    bool done = false;
    sl_error *error = are_others_ahead(keeper, &ahead);
    for (int race = 0; error == NULL && !done; race++) {
        error = ahead ? follow(keeper, call, &done) : NULL;
        if (error != NULL || done) {
            break;
        }
        error = store_once(keeper, call);
        done = error == NULL;
        ahead = sl_error_is(error, SL_ERROR_EXISTS);
        if (ahead) {
            sl_error_free(error);
            error = race < RACES_MAX
                        ? NULL
                        : sl_error_new(SL_ERROR_RETRIABLE,
                                       "other hosts have stored positions %d times in a row",
                                       RACES_MAX);
        }
    }
    call->error = error;
}

void keeper_store(struct keeper *keeper, const sl_position *positions, size_t n,
                  sl_request *request) {
    queue(keeper, NULL, positions, n, request);
}

void keeper_each(const struct keeper *keeper,
                 void (*take)(void *arg, const char *key, int64_t offset), void *arg) {
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, keeper->positions) {
        take(arg, item->string, (int64_t)item->valuedouble);
    }
}

void keeper_free(struct keeper *keeper) {
    if (keeper != NULL) {
        cJSON_Delete(keeper->positions);
        free(keeper);
    }
}
