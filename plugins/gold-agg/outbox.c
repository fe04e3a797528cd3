/*
 * Results on their way out: emitted once their entry is durable, and again from the chain when a
 * reader resumes below the end, or another host has written to it. Rows of closed windows and late
 * rows are stored in the entries. Updates are not: a reader that missed some gets all open windows
 * anew, in an entry that is durable before it is told to pass over what it missed. So a reader that
 * is at the end has them all.
 */
#include "gold.h"

#include <stdlib.h>
#include <string.h>

/* ---- emitting ---- */

static sl_error *emit_on(sl_node *node, uint32_t output, const sl_stream *stream, uint32_t flags,
                         int64_t first, int64_t next, int64_t max_event_us,
                         struct ArrowArray *columns) {
    sl_emission emission = {.struct_bytes = sizeof(emission),
                            .flags = flags,
                            .stream = stream,
                            .first_offset = first,
                            .next_offset = next,
                            .max_event_time_us =
                                max_event_us == SL_TIME_NONE ? SL_EVENT_TIME_NONE : max_event_us,
                            .columns = columns};
    return node->services->emit(node->self, output, &emission);
}

static sl_error *emit(sl_node *node, uint32_t output, uint32_t flags, int64_t first, int64_t next,
                      int64_t max_event_us, struct ArrowArray *columns) {
    return emit_on(node, output, node->outputs[output].stream, flags, first, next, max_event_us,
                   columns);
}

static sl_error *remember(struct own_stream *own, const struct entry *entry, uint32_t output) {
    if (own->n_items == own->capacity) {
        size_t capacity = own->capacity == 0 ? 64 : own->capacity * 2;
        struct outbox_item *grown = realloc(own->items, capacity * sizeof(*grown));
        if (grown == NULL) {
            return sl_error_no_memory();
        }
        own->items = grown;
        own->capacity = capacity;
    }
    own->items[own->n_items++] =
        (struct outbox_item){entry->number, entry->next[output], entry->rows_bytes[output]};
    own->bytes += entry->rows_bytes[output];
    return NULL;
}

static sl_error *emit_results(sl_node *node, struct prepared *prepared) {
    const struct entry *entry = &prepared->entry;
    int64_t first = entry->first[OUTPUT_RESULTS];
    int64_t middle = first + entry->finals;
    int64_t next = entry->next[OUTPUT_RESULTS];
    sl_error *error = NULL;
    if (middle > first) {
        error =
            emit(node, OUTPUT_RESULTS, 0, first, middle, entry->max_event_us, &prepared->finals);
    }
    if (error == NULL && next > middle) {
        error = emit(node, OUTPUT_RESULTS, SL_BATCH_UPDATES, middle, next,
                     prepared->updates_max_event_us, &prepared->updates);
    }
    return error;
}

static sl_error *emit_late(sl_node *node, struct prepared *prepared) {
    const struct entry *entry = &prepared->entry;
    return emit(node, OUTPUT_LATE, 0, entry->first[OUTPUT_LATE], entry->next[OUTPUT_LATE],
                SL_TIME_NONE, &prepared->late);
}

/* ---- resuming ---- */

/* An entry's results once more; what were updates is covered without rows. */
static sl_error *emit_entry(sl_node *node, uint32_t output, const sl_stream *stream,
                            const struct entry *entry) {
    int64_t first = entry->first[output];
    int64_t next = entry->next[output];
    int64_t middle = output == OUTPUT_LATE ? next : first + entry->finals;
    struct ArrowArray rows = {0};
    sl_error *error = NULL;
    if (middle > first) {
        const struct ArrowSchema *schema =
            output == OUTPUT_LATE ? node->rows_schema : sl_window_plan_results(node->plan);
        error = sl_array_read(schema, entry->rows[output], entry->rows_bytes[output], &rows);
        error = error != NULL
                    ? error
                    : emit_on(node, output, stream, 0, first, middle,
                              output == OUTPUT_LATE ? SL_TIME_NONE : entry->max_event_us, &rows);
    }
    if (error == NULL && next > middle) {
        error = emit_on(node, output, stream, SL_BATCH_UPDATES, middle, next, SL_TIME_NONE, NULL);
    }
    return error;
}

/* The last entry that begins at or before `offset`, or the first that is still there. */
static sl_error *find_entry(sl_node *node, uint32_t output, int64_t offset, int64_t *number,
                            int64_t *begins) {
    for (*number = node->number;; --*number) {
        struct entry entry;
        sl_error *error = entry_get(node->store, CHAIN_FOLDER, *number, &entry);
        if (sl_error_is(error, SL_ERROR_NOT_FOUND) && *number < node->number) {
            sl_error_free(error);
            ++*number;
            return NULL;
        }
        if (error != NULL) {
            return error;
        }
        *begins = entry.first[output];
        entry_free(&entry);
        if (*begins <= offset || *number == 1) {
            return NULL;
        }
    }
}

/* What the entries up to `last` hold from `offset` on. */
static sl_error *emit_again(sl_node *node, uint32_t output, int64_t offset, int64_t last) {
    int64_t number;
    int64_t begins;
    sl_error *error = find_entry(node, output, offset, &number, &begins);
    if (error == NULL && begins > offset) {
        if (offset > 0) {
            return sl_error_new(SL_ERROR_FATAL,
                                "a reader needs results %lld to %lld, but the state keeps them "
                                "from %lld on; raise \"keep\", and make the reader's table anew",
                                (long long)offset, (long long)begins - 1, (long long)begins);
        }
        node->services->log(node->self, SL_LOG_WARN,
                            "a new reader gets results from %lld on; older ones are no longer kept",
                            (long long)begins);
    }
    for (; number <= last && error == NULL; number++) {
        struct entry entry;
        error = entry_get(node->store, CHAIN_FOLDER, number, &entry);
        if (error == NULL) {
            bool needed = entry.next[output] > offset && entry.next[output] > entry.first[output];
            error = needed ? emit_entry(node, output, node->outputs[output].stream, &entry) : NULL;
            if (error == NULL && needed) {
                error = remember(&node->outputs[output], &entry, output);
            }
            entry_free(&entry);
        }
    }
    return error;
}

bool outbox_lacks(const sl_node *node, uint32_t output) {
    const struct own_stream *own = &node->outputs[output];
    return own->stream != NULL && own->emitted < node->next[output];
}

sl_error *outbox_emit(sl_node *node, struct prepared *prepared) {
    const struct entry *entry = &prepared->entry;
    sl_error *error = NULL;
    for (uint32_t i = 0; i < OUTPUTS && error == NULL; i++) {
        struct own_stream *own = &node->outputs[i];
        bool lacks = own->emitted < entry->first[i];
        if (own->stream == NULL || (lacks && i == OUTPUT_RESULTS && !prepared->refreshes)) {
            continue; /* an entry with all open windows has to come first */
        }
        if (lacks) {
            error = emit_again(node, i, own->emitted, entry->number - 1);
        }
        if (error == NULL && entry->next[i] > entry->first[i]) {
            error = i == OUTPUT_LATE ? emit_late(node, prepared) : emit_results(node, prepared);
            error = error != NULL ? error : remember(own, entry, i);
        }
        own->emitted = entry->next[i];
    }
    return error;
}

sl_error *outbox_catch_up(sl_node *node) {
    sl_error *error = NULL;
    for (uint32_t i = 0; i < OUTPUTS && error == NULL; i++) {
        if (outbox_lacks(node, i)) {
            error = emit_again(node, i, node->outputs[i].emitted, node->number);
            node->outputs[i].emitted = node->next[i];
        }
    }
    return error;
}

sl_error *outbox_resume(sl_node *node, uint32_t output, const sl_stream *stream, int64_t offset) {
    struct own_stream *own = &node->outputs[output];
    sl_error *error = node_load(node);
    if (error != NULL) {
        return error;
    }
    if (offset > node->next[output]) { /* another host may have gone on */
        node_unload(node);
        error = node_load(node);
    }
    if (error != NULL) {
        return error;
    }
    if (offset > node->next[output]) {
        return sl_error_new(SL_ERROR_FATAL,
                            "a reader of %s%s has results below %lld, the state only below %lld: "
                            "the state is older than the reader's table, or of something else; "
                            "bring the newer state back, or delete %s and the tables of all "
                            "readers of this node, and everything that its sources still have is "
                            "aggregated anew",
                            node->name, output == OUTPUT_LATE ? ".late" : "", (long long)offset,
                            (long long)node->next[output], node->store->ops->url(node->store));
    }
    own->stream = stream;
    own->n_items = 0;
    own->bytes = 0;
    own->acknowledged = offset; /* the smallest position of its readers */
    own->emitted = offset;
    return outbox_lacks(node, output) && !node_in_group(node) ? commit_alone(node) : NULL;
}

/* ---- for a reader that fell behind ---- */

/* What sending an entry costs, whatever it holds. */
enum { ENTRY_BYTES = 1024 };

/* Those of the remembered entries that hold results from `offset` on, until max_bytes are sent. */
static sl_error *emit_items(sl_node *node, uint32_t output, const sl_stream *stream, int64_t offset,
                            size_t max_bytes, bool *at_end) {
    const struct own_stream *own = &node->outputs[output];
    size_t bytes = 0;
    size_t i = 0;
    while (i < own->n_items && own->items[i].next <= offset) {
        i++;
    }
    sl_error *error = NULL;
    for (; i < own->n_items && error == NULL && bytes < max_bytes; i++) {
        struct entry entry;
        error = entry_get(node->store, CHAIN_FOLDER, own->items[i].number, &entry);
        if (error == NULL) {
            bytes += entry.rows_bytes[output] + ENTRY_BYTES;
            error = emit_entry(node, output, stream, &entry);
            entry_free(&entry);
        }
    }
    *at_end = i == own->n_items;
    return error;
}

sl_error *outbox_again(sl_node *node, const sl_stream *stream, int64_t offset, size_t max_bytes) {
    uint32_t output = strcmp(stream->topic, "late") == 0 ? OUTPUT_LATE : OUTPUT_RESULTS;
    bool at_end = false;
    sl_error *error = node_load(node);
    error = error != NULL ? error : emit_items(node, output, stream, offset, max_bytes, &at_end);
    if (error == NULL && at_end && output == OUTPUT_RESULTS && commit_sends_updates(node)) {
        node->refresh = true; /* updates were passed over */
        error = node_in_group(node) ? NULL : commit_alone(node);
    }
    return error;
}

/* ---- bounds ---- */

void outbox_acknowledge(sl_node *node, const sl_stream *stream, int64_t position) {
    for (int i = 0; i < OUTPUTS; i++) {
        struct own_stream *own = &node->outputs[i];
        if (own->stream != stream) {
            continue;
        }
        own->acknowledged = position;
        size_t n = 0;
        while (n < own->n_items && own->items[n].next <= position) {
            own->bytes -= own->items[n++].bytes;
        }
        own->n_items -= n;
        if (n > 0) {
            memmove(own->items, own->items + n, own->n_items * sizeof(*own->items));
        }
    }
}

/* Asks the host to let go of readers that have fallen behind alone, so that a quarter of the outbox
 * is free. */
static void leave_behind(const sl_node *node, const struct own_stream *own) {
    size_t bytes = own->bytes;
    size_t n = 0;
    while (n < own->n_items && bytes > (size_t)node->config->outbox_max_bytes / 4 * 3) {
        bytes -= own->items[n++].bytes;
    }
    if (n > 0) {
        node->services->overtaken(node->self, own->stream, own->items[n - 1].next);
    }
}

sl_error *outbox_check(const sl_node *node) {
    for (int i = 0; i < OUTPUTS; i++) {
        const struct own_stream *own = &node->outputs[i];
        if (own->bytes > (size_t)node->config->outbox_max_bytes && own->stream != NULL) {
            leave_behind(node, own);
            return sl_error_new(SL_ERROR_RETRIABLE,
                                "results %lld to %lld%s wait for their readers, %zu bytes; "
                                "outbox.max is %lld",
                                (long long)own->acknowledged, (long long)node->next[i] - 1,
                                i == OUTPUT_LATE ? " of late" : "", own->bytes,
                                (long long)node->config->outbox_max_bytes);
        }
    }
    return NULL;
}

sl_error *outbox_limit(sl_node *node, int64_t *limit) {
    for (uint32_t i = 0; i < OUTPUTS; i++) {
        const struct own_stream *own = &node->outputs[i];
        if (own->n_items == 0) {
            continue; /* nobody reads it, or all is acknowledged */
        }
        int64_t number;
        int64_t begins;
        sl_error *error = find_entry(node, i, own->acknowledged, &number, &begins);
        if (error != NULL) {
            return error;
        }
        *limit = number < *limit ? number : *limit;
    }
    return NULL;
}
