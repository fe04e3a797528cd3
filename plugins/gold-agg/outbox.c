/*
 * Results on their way out: emitted once their entry is durable, and again from the chain when a
 * reader resumes below the end, has fallen behind alone, or another host has written to it. Rows of
 * closed windows and late rows are stored in the entries. Updates are not: a reader that missed
 * some gets all open windows anew, in an entry that is durable before it is told to pass over the
 * last that it missed. So a reader that is at the end has them all.
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

/* Once, though it may be asked for what is there already. */
static sl_error *remember(struct own_stream *own, const struct entry *entry, uint32_t output) {
    if (own->n_items > 0 && own->items[own->n_items - 1].number >= entry->number) {
        return NULL;
    }
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

/* What an entry says in rows; emitting takes them. */
struct results {
    struct ArrowArray finals;
    struct ArrowArray updates;
    int64_t updates_max_event_us;
};

static sl_error *emit_results(sl_node *node, const sl_stream *stream, const struct entry *entry,
                              struct results *results) {
    int64_t first = entry->first[OUTPUT_RESULTS];
    int64_t middle = first + entry->finals;
    int64_t next = entry->next[OUTPUT_RESULTS];
    sl_error *error = NULL;
    if (middle > first) {
        error = emit_on(node, OUTPUT_RESULTS, stream, 0, first, middle, entry->max_event_us,
                        &results->finals);
    }
    if (error == NULL && next > middle) {
        error = emit_on(node, OUTPUT_RESULTS, stream, SL_BATCH_UPDATES, middle, next,
                        results->updates_max_event_us, &results->updates);
    }
    return error;
}

static sl_error *emit_late(sl_node *node, struct prepared *prepared) {
    const struct entry *entry = &prepared->entry;
    return emit_on(node, OUTPUT_LATE, node->outputs[OUTPUT_LATE].stream, 0,
                   entry->first[OUTPUT_LATE], entry->next[OUTPUT_LATE], SL_TIME_NONE,
                   &prepared->late);
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
        error = entry_fault(node->store, CHAIN_FOLDER, entry->number, error);
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

/* What was collected before `begins` is the loss of a reader that has had results, and nothing to
 * one that begins. */
static sl_error *cover_collected(sl_node *node, uint32_t output, const sl_stream *stream,
                                 int64_t offset, int64_t begins) {
    if (offset > 0) {
        return sl_error_new(SL_ERROR_FATAL,
                            "a reader needs results %lld to %lld, but the state keeps them from "
                            "%lld on; raise \"keep\", and make the reader's table anew",
                            (long long)offset, (long long)begins - 1, (long long)begins);
    }
    node->services->log(node->self, SL_LOG_WARN,
                        "a new reader gets results from %lld on; older ones are no longer kept",
                        (long long)begins);
    return emit_on(node, output, stream, 0, offset, begins, SL_TIME_NONE, NULL);
}

/* What the entries up to `last` hold and is not sent. A try that fails goes on from where it was.
 */
static sl_error *emit_again(sl_node *node, uint32_t output, int64_t last) {
    struct own_stream *own = &node->outputs[output];
    int64_t number;
    int64_t begins;
    sl_error *error = find_entry(node, output, own->emitted, &number, &begins);
    if (error == NULL && begins > own->emitted) {
        error = cover_collected(node, output, own->stream, own->emitted, begins);
        own->emitted = error == NULL ? begins : own->emitted;
    }
    for (; number <= last && error == NULL; number++) {
        struct entry entry = {0};
        error = entry_get(node->store, CHAIN_FOLDER, number, &entry);
        if (error == NULL && entry.next[output] > own->emitted) {
            error = emit_entry(node, output, own->stream, &entry);
            own->emitted = error == NULL ? entry.next[output] : own->emitted;
            error = error != NULL ? error : remember(own, &entry, output);
        }
        entry_free(&entry);
    }
    return error;
}

bool outbox_lacks(const sl_node *node, uint32_t output) {
    const struct own_stream *own = &node->outputs[output];
    return own->stream != NULL && own->emitted < node->next[output];
}

bool outbox_unsaid(const sl_node *node) {
    bool unsaid = false;
    for (int i = 0; i < OUTPUTS; i++) {
        unsaid = unsaid || (node->outputs[i].stream != NULL && node->sent[i] < node->next[i]);
    }
    return unsaid;
}

/* What sending an entry costs, whatever it holds. */
enum { ENTRY_BYTES = 1024 };

static size_t first_item(const struct own_stream *own, int64_t offset) {
    size_t i = 0;
    while (i < own->n_items && own->items[i].next <= offset) {
        i++;
    }
    return i;
}

/* Those of the remembered entries that hold results from `offset` on and end at `limit` or below,
 * until max_bytes are sent. */
static sl_error *emit_items(sl_node *node, uint32_t output, const sl_stream *stream, int64_t offset,
                            int64_t limit, size_t max_bytes) {
    const struct own_stream *own = &node->outputs[output];
    sl_error *error = NULL;
    size_t bytes = 0;
    for (size_t i = first_item(own, offset);
         i < own->n_items && own->items[i].next <= limit && error == NULL && bytes < max_bytes;
         i++) {
        struct entry entry;
        error = entry_get(node->store, CHAIN_FOLDER, own->items[i].number, &entry);
        if (error != NULL) {
            return error;
        }
        bytes += entry.rows_bytes[output] + ENTRY_BYTES;
        if (entry.first[output] > offset) {
            error = cover_collected(node, output, stream, offset, entry.first[output]);
        }
        error = error != NULL ? error : emit_entry(node, output, stream, &entry);
        offset = entry.next[output];
        entry_free(&entry);
    }
    return error;
}

static void release_results(struct results *results) {
    if (results->finals.release != NULL) {
        results->finals.release(&results->finals);
    }
    if (results->updates.release != NULL) {
        results->updates.release(&results->updates);
    }
}

static sl_error *copy_rows(const struct ArrowSchema *schema, const struct ArrowArray *rows,
                           struct ArrowArray *out) {
    return rows->release == NULL ? NULL : sl_array_copy(schema, rows, 0, rows->length, out);
}

/* A reader that fell behind and an entry with all open windows: it gets everything before, and then
 * these as the others do. */
static sl_error *emit_to_follower(sl_node *node, const struct entry *entry,
                                  struct results *results) {
    struct own_stream *own = &node->outputs[OUTPUT_RESULTS];
    const sl_stream *follower = own->follower;
    own->follower = NULL;
    sl_error *error = emit_items(node, OUTPUT_RESULTS, follower, own->follower_at,
                                 entry->first[OUTPUT_RESULTS], SIZE_MAX);
    return error != NULL ? error : emit_results(node, follower, entry, results);
}

static sl_error *emit_prepared_results(sl_node *node, struct prepared *prepared) {
    const struct entry *entry = &prepared->entry;
    const struct ArrowSchema *schema = sl_window_plan_results(node->plan);
    struct own_stream *own = &node->outputs[OUTPUT_RESULTS];
    bool follows = own->follower != NULL && prepared->refreshes;
    struct results results = {prepared->finals, prepared->updates, prepared->updates_max_event_us};
    struct results copy = {.updates_max_event_us = results.updates_max_event_us};
    sl_error *error = NULL;
    if (follows) {
        error = copy_rows(schema, &results.finals, &copy.finals);
        error = error != NULL ? error : copy_rows(schema, &results.updates, &copy.updates);
    }
    prepared->finals.release = prepared->updates.release = NULL;
    error = error != NULL ? error : emit_results(node, own->stream, entry, &results);
    own->emitted = error == NULL ? entry->next[OUTPUT_RESULTS] : own->emitted;
    error = error != NULL ? error : remember(own, entry, OUTPUT_RESULTS);
    error = error != NULL || !follows ? error : emit_to_follower(node, entry, &copy);
    release_results(&results);
    release_results(&copy);
    return error;
}

sl_error *outbox_emit(sl_node *node, struct prepared *prepared) {
    const struct entry *entry = &prepared->entry;
    sl_error *error = NULL;
    for (uint32_t i = 0; i < OUTPUTS && error == NULL; i++) {
        struct own_stream *own = &node->outputs[i];
        bool lacks = own->emitted < entry->first[i];
        if (own->stream == NULL || entry->sent[i] < entry->next[i] ||
            (lacks && i == OUTPUT_RESULTS && !prepared->refreshes)) {
            continue; /* an entry that says so, and has all open windows, has to come first */
        }
        if (lacks) {
            error = emit_again(node, i, entry->number - 1);
        }
        if (error == NULL && entry->next[i] > entry->first[i]) {
            error = i == OUTPUT_RESULTS ? emit_prepared_results(node, prepared)
                                        : emit_late(node, prepared);
            error = error != NULL || i == OUTPUT_RESULTS ? error : remember(own, entry, i);
        }
        own->emitted = error == NULL ? entry->next[i] : own->emitted;
    }
    return error;
}

sl_error *outbox_catch_up(sl_node *node) {
    sl_error *error = NULL;
    for (uint32_t i = 0; i < OUTPUTS && error == NULL; i++) {
        if (outbox_lacks(node, i)) {
            error = emit_again(node, i, node->number);
        }
    }
    return error;
}

/* What is not sent, but kept for readers that begin apart. */
static sl_error *remember_from(sl_node *node, uint32_t output, int64_t needed, int64_t offset) {
    int64_t number = 0;
    int64_t begins = offset;
    sl_error *error = needed < offset ? find_entry(node, output, needed, &number, &begins) : NULL;
    for (; begins < offset && error == NULL; number++) {
        struct entry entry;
        error = entry_get(node->store, CHAIN_FOLDER, number, &entry);
        if (error == NULL) {
            begins = entry.next[output];
            bool holds = begins > needed && begins > entry.first[output];
            error = holds ? remember(&node->outputs[output], &entry, output) : NULL;
            entry_free(&entry);
        }
    }
    return error;
}

/* Refuses a reader that has results which this state never sent. What is compared is what may have
 * been sent, and not what there is: a state that was restored soon has as many results again, which
 * are not those that the reader has. */
static sl_error *check_reached(sl_node *node, uint32_t output, int64_t reached) {
    sl_error *error = node_load(node);
    if (error == NULL && reached > node->sent[output]) { /* another host may have gone on */
        node_unload(node);
        error = node_load(node);
    }
    if (error != NULL || reached <= node->sent[output]) {
        return error;
    }
    return sl_error_new(SL_ERROR_FATAL,
                        "a reader of %s%s has results below %lld, the state only below %lld: the "
                        "state is older than the reader's table, or of something else; delete %s, "
                        "then bring the newer state back there, or delete the tables of all "
                        "readers of this node as well, and everything that its sources still have "
                        "is aggregated anew",
                        node->name, output == OUTPUT_LATE ? ".late" : "", (long long)reached,
                        (long long)node->sent[output], node->store->ops->url(node->store));
}

sl_error *outbox_resume(sl_node *node, uint32_t output, const sl_stream *stream, int64_t offset,
                        int64_t needed) {
    struct own_stream *own = &node->outputs[output];
    needed = needed == SL_OFFSET_NONE || needed > offset ? offset : needed;
    int64_t reached = stream->reached > offset ? stream->reached : offset;
    sl_error *error = check_reached(node, output, reached);
    if (error != NULL) {
        return error;
    }
    if (own->stream != stream) { /* else a try has failed, maybe behind some of what it sent */
        own->stream = stream;
        own->n_items = 0;
        own->bytes = 0;
        own->acknowledged = needed;
        own->emitted = offset;
        own->follower = NULL;
    }
    error = remember_from(node, output, needed, offset);
    if (error == NULL && node_in_group(node)) {
        group_merge_all(node); /* a run before may have ended between deltas and merging */
    } else if (error == NULL && outbox_lacks(node, output)) {
        error = commit_alone(node);
    }
    return error;
}

/* ---- for a reader that fell behind ---- */

/* Whether max_bytes from `offset` on are all there is. */
static bool reaches_end(const struct own_stream *own, int64_t offset, size_t max_bytes) {
    size_t bytes = 0;
    size_t i = first_item(own, offset);
    while (i < own->n_items && bytes < max_bytes) {
        bytes += own->items[i++].bytes + ENTRY_BYTES;
    }
    return i == own->n_items;
}

/* An entry with all open windows, which goes to the follower as well. Without open windows there is
 * none to make. */
static sl_error *refresh(sl_node *node) {
    sl_error *error = NULL;
    node->refresh = true;
    for (int i = 0; i < 2 && node->refresh && error == NULL;
         i++) { /* one may be prepared already */
        error = node_in_group(node) ? group_merge(node) : commit_alone(node);
    }
    if (error == NULL && node->refresh) {
        error = sl_error_new(SL_ERROR_RETRIABLE, "a commit of the node has to come first");
    }
    if (sl_error_is(error, SL_ERROR_CONFLICT)) { /* its next commit finds out as well */
        sl_error_free(error);
        error = sl_error_new(SL_ERROR_RETRIABLE, "another host goes on with the state");
    }
    return error;
}

sl_error *outbox_again(sl_node *node, const sl_stream *stream, int64_t offset, size_t max_bytes) {
    uint32_t output = strcmp(stream->topic, "late") == 0 ? OUTPUT_LATE : OUTPUT_RESULTS;
    struct own_stream *own = &node->outputs[output];
    sl_error *error = node_load(node);
    if (error != NULL || offset >= own->emitted) {
        return error;
    }
    if (output == OUTPUT_LATE || !commit_sends_updates(node) ||
        !reaches_end(own, offset, max_bytes)) {
        return emit_items(node, output, stream, offset, INT64_MAX, max_bytes);
    }
    own->follower = stream;
    own->follower_at = offset;
    error = refresh(node);
    if (error == NULL && own->follower != NULL) { /* nothing was open */
        error = emit_items(node, output, stream, offset, INT64_MAX, SIZE_MAX);
    }
    own->follower = NULL;
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

sl_error *outbox_limit(sl_node *node, int64_t now_us, int64_t *limit) {
    for (uint32_t i = 0; i < OUTPUTS; i++) {
        const struct own_stream *own = &node->outputs[i];
        if (own->stream == NULL && now_us - own->absent_us < node_keep_us(node)) {
            *limit = 0; /* a reader may be about to come back */
            return NULL;
        }
        if (own->stream == NULL || (own->n_items == 0 && !outbox_lacks(node, i))) {
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
