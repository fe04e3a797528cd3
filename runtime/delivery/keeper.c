/*
 * positions/<version>.json holds {"version":1,"positions":{"<key>":<next offset>,...}}. The highest
 * version counts; the one before it stays until the next store, so that a reader of the listing
 * always finds a whole one.
 */
#include "delivery/keeper.h"

#include "host/run.h"
#include "host/versions.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "positions/"

enum { FORMAT_VERSION = 1 };

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
    cJSON *positions; /* what holds once it has succeeded: what was read or stored */
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
        error = sl_error_new(SL_ERROR_UNSUPPORTED,
                             "%s has format version %d, this sluice reads version %d", where,
                             version->valueint, FORMAT_VERSION);
    }
    if (error == NULL) {
        *out = positions;
    } else {
        cJSON_Delete(positions);
    }
    cJSON_Delete(root);
    return error;
}

/* Reads what is stored, unless that is known, into the call: others see it on the loop. */
static sl_error *load(struct keeper *keeper, struct keeper_call *call) {
    if (keeper->store == NULL || keeper->loaded) {
        return NULL;
    }
    int64_t last = 0;
    sl_error *error = versions_last(keeper->store, FOLDER, &last);
    if (error == NULL && last > 0) {
        sl_buffer text = SL_BUFFER_INIT;
        char where[512];
        error = versions_get(keeper->store, FOLDER, last, &text, where, sizeof(where));
        error = error != NULL ? error : parse(&text, where, &call->positions);
        sl_buffer_free(&text);
    }
    if (error == NULL) {
        keeper->version = last;
        keeper->loaded = true;
    }
    return error;
}

static void run_recover(uv_work_t *work) {
    struct keeper *keeper = work->data;
    struct keeper_call *call = keeper->calls;
    call->error = load(keeper, call);
    const cJSON *known = call->positions != NULL ? call->positions : keeper->positions;
    for (size_t i = 0; call->error == NULL && i < call->n; i++) {
        const cJSON *offset = cJSON_GetObjectItemCaseSensitive(known, call->recover[i].key);
        call->recover[i].from =
            cJSON_IsNumber(offset) ? (int64_t)offset->valuedouble : SL_OFFSET_NONE;
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
    } else {
        cJSON_Delete(call->positions);
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
    if (sl_error_is(error, SL_ERROR_EXISTS)) {
        sl_error_free(error);
        keeper->loaded = false; /* what is stored now is read when the node is recovered */
        return sl_error_new(SL_ERROR_CONFLICT,
                            "another host has stored positions of this node: %s/" FOLDER
                            ", number %lld",
                            keeper->store->ops->url(keeper->store), (long long)keeper->version + 1);
    }
    if (error == NULL) {
        keeper->version++;
        if (keeper->version > 2) { /* else the next one tries again */
            sl_error_free(versions_remove(keeper->store, FOLDER, keeper->version - 2));
        }
    }
    return error;
}

static void run_store(uv_work_t *work) {
    struct keeper *keeper = work->data;
    struct keeper_call *call = keeper->calls;
    cJSON *next = cJSON_Duplicate(keeper->positions, 1);
    bool whole = next != NULL;
    for (size_t i = 0; whole && i < call->n; i++) {
        cJSON_DeleteItemFromObjectCaseSensitive(next, call->keep[i].key);
        whole = call->keep[i].to == SL_OFFSET_NONE ||
                cJSON_AddNumberToObject(next, call->keep[i].key, (double)call->keep[i].to) != NULL;
    }
    call->error = whole ? NULL : sl_error_no_memory();
    if (whole && keeper->store != NULL) {
        call->error = put_version(keeper, next);
    }
    call->positions = next;
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
