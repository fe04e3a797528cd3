/*
 * {"format": 1, "number": 7, "time": "2026-11-22T21:00:00Z", "host": …, "who": …, "peer": …,
 * "what": …, "result": "applied", "plan": {…}, "document": {…}}; see history.h.
 */
#include "admin/change/history.h"

#include "host/network.h"
#include "host/versions.h"
#include "topology/edit.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define FOLDER "history/"

enum { FORMAT = 1, KEPT = 200, RACES_MAX = 20 };

struct history {
    sl_store *store;
    int64_t last;
};

/* ---- the store ---- */

static void close_history(struct history *history) {
    if (history->store != NULL) {
        history->store->ops->close(history->store);
    }
}

static sl_error *open_history(const struct topology *topology, struct network *network,
                              struct history *history) {
    *history = (struct history){0};
    sl_error *error = network_store_open(network, topology->state_url, false, &history->store);
    if (error == NULL) {
        error = versions_last(history->store, FOLDER, &history->last);
    }
    if (error != NULL) {
        close_history(history);
    }
    return error;
}

static const char *text_of(const struct json_value *entry, const char *key) {
    const struct json_value *value = json_member(entry, key);
    return value != NULL && value->kind == JSON_STRING ? value->text : "";
}

struct json_value *history_parse(struct arena *arena, const sl_buffer *text) {
    struct json_value *entry = json_read(arena, (const char *)text->data, text->bytes);
    return entry != NULL && entry->kind == JSON_OBJECT ? entry : NULL;
}

/* An entry's text and what it says; *out is NULL where it is none. */
static sl_error *read_entry(struct history *history, int64_t number, struct arena *arena,
                            sl_buffer *text, struct json_value **out) {
    char where[512];
    *out = NULL;
    sl_error *error = versions_get(history->store, FOLDER, number, text, where, sizeof(where));
    if (error != NULL) {
        return error;
    }
    struct json_value *entry = history_parse(arena, text);
    const struct json_value *format = entry == NULL ? NULL : json_member(entry, "format");
    int64_t version;
    if (format == NULL || format->kind != JSON_NUMBER ||
        !sl_parse_i64(format->text, strlen(format->text), &version)) {
        return sl_error_new(SL_ERROR_CORRUPT, "%s is no entry of a history", where);
    }
    if (version != FORMAT) {
        return sl_error_format(where, version, FORMAT, FORMAT);
    }
    *out = entry;
    return NULL;
}

/* ---- adding ---- */

static void format_time(char out[32]) {
    time_t now = (time_t)(sl_now_us() / 1000000);
    struct tm utc;
    (void)gmtime_r(&now, &utc);
    (void)strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static void compose(const struct history_entry *entry, int64_t number, sl_buffer *text) {
    struct json_out out = {0};
    char when[32];
    char host[65] = "";
    (void)gethostname(host, sizeof(host) - 1);
    format_time(when);
    json_out_object(&out);
    json_out_member_integer(&out, "format", FORMAT);
    json_out_member_integer(&out, "number", number);
    json_out_member(&out, "time", when);
    json_out_member(&out, "host", host);
    json_out_member(&out, "who", entry->who);
    json_out_member(&out, "peer", entry->peer);
    json_out_member(&out, "what", entry->what);
    json_out_member(&out, "result", entry->result);
    json_out_key(&out, "plan");
    json_out_raw(&out, entry->plan != NULL ? entry->plan : "null");
    json_out_key(&out, "document");
    json_print(&out, entry->document);
    json_out_end_object(&out);
    *text = out.text;
}

static sl_error *put(struct history *history, const struct history_entry *entry) {
    sl_error *error = NULL;
    for (int i = 0; i < RACES_MAX; i++) {
        sl_buffer text = SL_BUFFER_INIT;
        compose(entry, history->last + 1, &text);
        error = versions_put(history->store, FOLDER, history->last + 1, &text);
        sl_buffer_free(&text);
        history->last += error == NULL || sl_error_is(error, SL_ERROR_EXISTS) ? 1 : 0;
        if (!sl_error_is(error, SL_ERROR_EXISTS) || i + 1 == RACES_MAX) {
            break;
        }
        sl_error_free(error);
        error = NULL;
    }
    if (error == NULL && history->last > KEPT) {
        sl_error_free(versions_remove(history->store, FOLDER, history->last - KEPT));
    }
    return error;
}

/* Whether the last entry that took effect holds this document. */
static sl_error *is_known(struct history *history, const struct json_value *document, bool *known) {
    *known = false;
    for (int64_t number = history->last; number > 0; number--) {
        struct arena arena = {0};
        sl_buffer text = SL_BUFFER_INIT;
        struct json_value *entry;
        sl_error *error = read_entry(history, number, &arena, &text, &entry);
        bool applied = error == NULL && strcmp(text_of(entry, "result"), "applied") == 0;
        const struct json_value *then = error == NULL ? json_member(entry, "document") : NULL;
        *known = applied && then != NULL && json_same(then, document);
        bool gone = sl_error_is(error, SL_ERROR_NOT_FOUND);
        sl_buffer_free(&text);
        arena_free(&arena);
        if (error != NULL || applied) {
            sl_error_free(gone ? error : NULL);
            return gone ? NULL : error;
        }
    }
    return NULL;
}

sl_error *history_add(const struct topology *topology, struct network *network,
                      const struct json_value *before, const struct history_entry *entry,
                      int64_t *number) {
    *number = 0;
    if (topology->state_url == NULL) {
        return NULL;
    }
    struct history history;
    sl_error *error = open_history(topology, network, &history);
    if (error != NULL) {
        return error;
    }
    bool known = false;
    error = is_known(&history, before, &known);
    if (error == NULL && !known) {
        const struct history_entry found = {.who = "",
                                            .peer = "",
                                            .what = "found in the file",
                                            .result = "applied",
                                            .document = before};
        error = put(&history, &found);
    }
    error = error != NULL ? error : put(&history, entry);
    *number = error == NULL ? history.last : 0;
    close_history(&history);
    return error;
}

/* ---- reading ---- */

static void write_summary(struct json_out *out, int64_t number, const struct json_value *entry) {
    static const char *const keys[] = {"time", "host", "who", "peer", "what", "result"};
    json_out_object(out);
    json_out_member_integer(out, "number", number);
    for (size_t i = 0; i < SL_ARRAY_LENGTH(keys); i++) {
        json_out_member(out, keys[i], text_of(entry, keys[i]));
    }
    json_out_end_object(out);
}

sl_error *history_list(const struct topology *topology, struct network *network, size_t limit,
                       struct json_out *out) {
    json_out_array(out);
    struct history history;
    sl_error *error =
        topology->state_url == NULL ? NULL : open_history(topology, network, &history);
    if (error == NULL && topology->state_url != NULL) {
        for (int64_t n = history.last; n > 0 && limit > 0 && error == NULL; n--, limit--) {
            struct arena arena = {0};
            sl_buffer text = SL_BUFFER_INIT;
            struct json_value *entry;
            error = read_entry(&history, n, &arena, &text, &entry);
            if (error == NULL) {
                write_summary(out, n, entry);
            } else if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
                sl_error_free(error); /* it was the oldest one a moment ago */
                error = NULL;
                limit = 1;
            }
            sl_buffer_free(&text);
            arena_free(&arena);
        }
        close_history(&history);
    }
    json_out_end_array(out);
    return error;
}

sl_error *history_get(const struct topology *topology, struct network *network, int64_t number,
                      sl_buffer *out) {
    if (topology->state_url == NULL) {
        return sl_error_new(SL_ERROR_NOT_FOUND, "without \"state\" the topology has no history");
    }
    struct history history;
    struct arena arena = {0};
    struct json_value *entry;
    sl_error *error = open_history(topology, network, &history);
    if (error == NULL) {
        error = read_entry(&history, number, &arena, out, &entry);
        close_history(&history);
    }
    arena_free(&arena);
    if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        sl_error_free(error);
        error = sl_error_new(SL_ERROR_NOT_FOUND, "the history has no version %" PRId64, number);
    }
    return error;
}
