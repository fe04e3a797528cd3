/*
 * Streams come: each step is a set of calls to nodes that run at the same time. Every reader's
 * position is recovered, the start is resolved where somebody has none, nodes resume, lanes attach:
 * wire → recover → resolve → store starts → resume readers → resume source → attach → (resume the
 * owner of streams) → running.
 */
#include "delivery/accounts.h"
#include "delivery/assignment_steps.h"
#include "delivery/places.h"
#include "lane/branch.h"

#include <stdlib.h>
#include <string.h>

enum { LATE_AGAIN_MS = 500 };

static void step_recover(struct assignment *a);
static void step_resolve(struct assignment *a);
static void step_place(struct assignment *a);
static void step_resume_readers(struct assignment *a);
static void step_resume_source(struct assignment *a);
static void step_attach(struct assignment *a);
static void step_resume_owner(struct assignment *a);
static void step_running(struct assignment *a);

/* ---- positions ---- */

/* Gathers the readers of `node` that `wanted` picks into a call with room for their positions. */
static struct call *gather(struct assignment *a, enum call_kind kind, struct host_node *node,
                           bool (*wanted)(const struct reader *)) {
    size_t n = 0;
    for (size_t s = 0; s < a->n_streams; s++) {
        for (size_t r = 0; r < a->streams[s]->n_readers; r++) {
            const struct reader *reader = &a->streams[s]->readers[r];
            n += reader->node == node && wanted(reader) ? 1 : 0;
        }
    }
    struct call *call = n == 0 ? NULL : call_new(a, kind, node);
    if (call == NULL) {
        return NULL;
    }
    call->readers = calloc(n, sizeof(struct reader *));
    call->positions = calloc(n * (1 + TALLIES), sizeof(*call->positions));
    if (call->readers == NULL || call->positions == NULL) {
        a->error = a->error == NULL ? sl_error_no_memory() : a->error;
        return NULL;
    }
    for (size_t s = 0; s < a->n_streams; s++) {
        for (size_t r = 0; r < a->streams[s]->n_readers; r++) {
            struct reader *reader = &a->streams[s]->readers[r];
            if (reader->node != node || !wanted(reader)) {
                continue;
            }
            call->positions[call->n] = (sl_position){.stream = &reader->stream->pub,
                                                     .key = reader->key,
                                                     .input = reader->input,
                                                     .from = SL_OFFSET_NONE,
                                                     .to = reader->position};
            call->readers[call->n++] = reader;
        }
    }
    call->n_positions = call->n;
    for (size_t i = 0; i < call->n && kind == CALL_RECOVER; i++) {
        call->n_positions += accounts_ask(call->readers[i], call->positions + call->n_positions);
    }
    return call;
}

static bool any_reader(const struct reader *reader) {
    (void)reader;
    return true;
}

static void step_left_alone(struct assignment *a) {
    for (size_t s = 0; s < a->n_streams; s++) {
        assignment_forget_stream(a->streams[s]);
        a->streams[s]->set_aside =
            atomic_load(&a->owner->waiting) && node_assigns(a->owner) && !a->streams[s]->leaving;
    }
    assignment_end(a);
}

/* Who reads the streams is found only now, when it is known who waits. An owner that has failed
 * assigns them anew when it is restarted: it may never have started. */
static void step_wire(struct assignment *a) {
    bool alone = atomic_load(&a->owner->waiting) || atomic_load(&a->owner->failed);
    a->step = alone ? step_left_alone : step_recover;
    for (size_t s = 0; s < a->n_streams && a->error == NULL; s++) {
        a->error = stream_wire(a->streams[s]);
    }
    assignment_go_on(a);
}

static void step_recover(struct assignment *a) {
    struct host *host = a->host;
    a->step = step_resolve;
    for (size_t n = 0; n < host->n_nodes; n++) {
        struct host_node *node = host->nodes[n];
        if (!node->has_cycle || atomic_load(&node->failed) ||
            (node->keeper == NULL && node->ops->recover == NULL)) {
            continue;
        }
        struct call *call = gather(a, CALL_RECOVER, node, any_reader);
        if (call != NULL) {
            call_start(call);
        }
    }
    assignment_go_on(a);
}

/* Some reader has no position, or there is no reader. Those that have failed do not count, but who
 * has still to start may turn out to have none, and begins where it would have begun now. */
static bool needs_start(const struct stream *stream) {
    bool any = false;
    for (size_t r = 0; r < stream->n_readers; r++) {
        const struct reader *reader = &stream->readers[r];
        if (!atomic_load(&reader->node->failed) || reader->node->restart.first) {
            any = true;
            if (reader->stored == SL_OFFSET_NONE) {
                return true;
            }
        }
    }
    return !any;
}

static bool has_position(const struct stream *stream) {
    for (size_t r = 0; r < stream->n_readers; r++) {
        if (stream->readers[r].stored != SL_OFFSET_NONE) {
            return true;
        }
    }
    return false;
}

/* Some reader of another node may have a position that it could not be asked for. */
static bool has_unknown_position(const struct stream *stream, const struct host_node *beside) {
    for (size_t r = 0; r < stream->n_readers; r++) {
        const struct host_node *node = stream->readers[r].node;
        if (node != beside && atomic_load(&node->failed)) {
            return true;
        }
    }
    return false;
}

/* Where somebody begins depends on the positions of a node that has still to start. */
static bool depends_on_late(const struct stream *stream) {
    bool late = false;
    bool depends = false;
    for (size_t r = 0; r < stream->n_readers; r++) {
        const struct reader *reader = &stream->readers[r];
        bool failed = atomic_load(&reader->node->failed);
        late = late || (reader->node->restart.first && failed);
        depends = depends || (!failed && reader->stored == SL_OFFSET_NONE &&
                              reader->node->spec->start != TOPOLOGY_START_SOURCE);
    }
    return late && depends;
}

static bool waits_for_late(struct assignment *a);

/* Asked where they are as long as nobody else waits for his turn: each turn is of new streams. */
static void ask_again(void *arg) {
    struct assignment *a = arg;
    a->outstanding--;
    if (a->unheard || a->next != NULL || !waits_for_late(a)) {
        a->put_off = true;
        assignment_go_on(a);
    }
}

/* The streams get their turn again, behind the node if it has started meanwhile. */
static bool waits_for_late(struct assignment *a) {
    bool waits = false;
    for (size_t s = 0; s < a->n_streams && !a->host->draining; s++) {
        waits = waits || depends_on_late(a->streams[s]);
    }
    if (waits && host_later(a->host, LATE_AGAIN_MS, ask_again, a)) {
        a->outstanding++;
        return true;
    }
    return false;
}

static void ask_owner(struct assignment *a, struct stream *stream, bool can, enum call_kind kind) {
    struct call *call = can ? call_new(a, kind, a->owner) : NULL;
    if (call != NULL) {
        call->stream = stream;
        call_start(call);
    }
}

static void step_resolve(struct assignment *a) {
    if (waits_for_late(a)) {
        return;
    }
    a->step = step_place;
    for (size_t s = 0; s < a->n_streams; s++) {
        struct stream *stream = a->streams[s];
        stream->offset = 0;
        stream->earliest = 0;
        stream->latest = SL_OFFSET_NONE;
        bool own = (a->owner->flags & SL_ROLE_OWNS_STREAMS) != 0; /* these begin at 0 */
        stream->start_known = own || needs_start(stream);
        if (stream->start_known && !own) {
            ask_owner(a, stream, a->owner->ops->resolve != NULL, CALL_RESOLVE);
            ask_owner(a, stream, a->owner->ops->bounds != NULL, CALL_BOUNDS);
        }
        a->owner->was_read = a->owner->was_read || has_position(stream);
    }
    assignment_go_on(a);
}

static int compare_offsets(const void *a, const void *b) {
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static int64_t with_others(const struct stream *stream, int64_t otherwise) {
    int64_t smallest = INT64_MAX;
    for (size_t r = 0; r < stream->n_readers; r++) {
        int64_t stored = stream->readers[r].stored;
        smallest = stored != SL_OFFSET_NONE && stored < smallest ? stored : smallest;
    }
    return smallest == INT64_MAX ? otherwise : smallest;
}

/* Where a reader without a position begins. `start` is what the source's config says; a stream that
 * has appeared since the source was first read begins with its first record. */
static int64_t start_of(const struct reader *reader, int64_t start) {
    const struct stream *stream = reader->stream;
    if (!has_position(stream) && stream->owner->was_read) {
        return stream->earliest;
    }
    if (!has_position(stream) && !has_unknown_position(stream, reader->node)) {
        return start;
    }
    switch (reader->node->spec->start) {
    case TOPOLOGY_START_EARLIEST:
        return stream->earliest;
    case TOPOLOGY_START_LATEST:
        return stream->latest;
    case TOPOLOGY_START_WITH_OTHERS:
        return with_others(stream, start);
    case TOPOLOGY_START_SOURCE:
        break;
    }
    return start;
}

static int64_t place_of(const struct reader *reader, int64_t start) {
    int64_t place = reader->stored;
    place = place != SL_OFFSET_NONE ? place : places_find(reader);
    return place != SL_OFFSET_NONE ? place : start_of(reader, start);
}

static sl_error *no_end_error(const struct stream *stream) {
    return sl_error_new(SL_ERROR_CONFIG,
                        "\"start\": \"latest\" cannot be: the plugin of source %s does not tell "
                        "where its streams end; allowed are \"earliest\" and \"with_others\"",
                        stream->owner->spec->name);
}

static void use_smaller(int64_t *smallest, int64_t other) {
    *smallest = other < *smallest ? other : *smallest;
}

/* The smallest position of the readers behind the node, whose outputs have it again by the node. */
static void look_below(const struct stream *stream, const struct host_node *node,
                       int64_t *smallest) {
    for (uint32_t o = 0; node->passes && o < node->opened->n_outputs; o++) {
        for (size_t i = 0; i < node->n_routes[o]; i++) {
            const struct route *route = &node->routes[o][i];
            const struct reader *reader = stream->reader_by_edge[route->edge];
            if (!stream->on_edge[route->edge]) {
                continue;
            }
            if (reader != NULL && !atomic_load(&reader->node->failed)) {
                use_smaller(smallest, reader->position);
            }
            look_below(stream, route->to, smallest);
        }
    }
}

/* A node with SL_ROLE_REPLAYS sees again what somebody behind it lacks, others nothing: who reads
 * the stream beside it does not make it load older state. */
static void set_begins(struct stream *stream) {
    for (size_t r = 0; r < stream->n_readers; r++) {
        struct reader *reader = &stream->readers[r];
        const struct lane_edge *edge = &reader->node->tasks[0].inputs[reader->input];
        int64_t edge_begins = branches_begin(stream, edge->index);
        int64_t smallest = reader->position;
        look_below(stream, reader->node, &smallest);
        bool replays = (reader->node->flags & SL_ROLE_REPLAYS) != 0;
        reader->begins = replays && smallest > edge_begins ? smallest : edge_begins;
    }
}

static sl_error *note_places(const struct stream *stream) {
    sl_error *error = NULL;
    for (size_t r = 0; r < stream->n_readers && error == NULL; r++) {
        error = places_note(&stream->readers[r]);
    }
    return error;
}

/* Sets where reading begins, each reader's first offset, and the cuts between them. stream->offset
 * comes in as the resolved start. */
static sl_error *place(struct stream *stream) {
    int64_t start = stream->offset;
    int64_t smallest = stream->n_readers == 0 ? start : INT64_MAX;
    free(stream->cuts);
    stream->cuts = calloc(stream->n_readers + 1, sizeof(int64_t));
    if (stream->cuts == NULL) {
        return sl_error_no_memory();
    }
    stream->n_cuts = stream->next_cut = 0;
    for (size_t r = 0; r < stream->n_readers; r++) {
        struct reader *reader = &stream->readers[r];
        reader->position = place_of(reader, start);
        if (reader->position == SL_OFFSET_NONE && !atomic_load(&reader->node->failed)) {
            host_node_failed(reader->node, no_end_error(stream));
        }
        reader->covered = reader->position;
        if (atomic_load(&reader->node->failed)) {
            continue; /* reading need not begin for it */
        }
        smallest = reader->position < smallest ? reader->position : smallest;
        stream->cuts[stream->n_cuts++] = reader->position;
    }
    accounts_begin(stream);
    qsort(stream->cuts, stream->n_cuts, sizeof(int64_t), compare_offsets);
    smallest = smallest == INT64_MAX ? start : smallest; /* everybody has failed */
    sl_error *error = stream->start_known ? note_places(stream) : NULL;
    if (error == NULL && stream->n_branches > 0) {
        error = branches_place(stream, &smallest);
    }
    stream->offset = smallest;
    set_begins(stream);
    return error;
}

/* While catching up: reading ends where the farthest of the nodes is that are to become level, and
 * all of them have the rest of it. */
static sl_error *set_stop(struct stream *stream) {
    const struct host_options *options = stream->host->options;
    if (options->catch_up == NULL || stream->owner->spec->kind != TOPOLOGY_SOURCE) {
        return NULL;
    }
    int64_t smallest = INT64_MAX;
    stream->stop = stream->offset;
    for (size_t r = 0; r < stream->n_readers; r++) {
        const struct reader *reader = &stream->readers[r];
        if (options->catch_up[reader->node->index] && !atomic_load(&reader->node->failed)) {
            smallest = reader->position < smallest ? reader->position : smallest;
            stream->stop = reader->position > stream->stop ? reader->position : stream->stop;
        }
    }
    if (smallest >= stream->stop || options->catch_up_refused == NULL) {
        return NULL;
    }
    return sl_error_new(
        SL_ERROR_CONFIG,
        "offsets %lld to %lld of %s partition %d are done in some tables and not in "
        "others, and must be read again as they were read first: %s",
        (long long)smallest, (long long)stream->stop - 1, stream->topic, (int)stream->pub.partition,
        options->catch_up_refused);
}

/* A start other than the very first offset must survive a crash, or `latest` would skip what came
 * meanwhile; that of a stream which is empty, too. */
static bool start_must_be_kept(const struct reader *reader) {
    return reader->stored == SL_OFFSET_NONE &&
           (reader->position != 0 || reader->stream->latest == 0);
}

static void step_place(struct assignment *a) {
    struct host *host = a->host;
    a->step = step_resume_readers;
    for (size_t s = 0; s < a->n_streams && a->error == NULL; s++) {
        a->error = place(a->streams[s]);
        a->error = a->error != NULL ? a->error : set_stop(a->streams[s]);
    }
    for (size_t n = 0; n < host->n_nodes && a->error == NULL; n++) {
        struct host_node *node = host->nodes[n];
        if (!node->has_cycle || atomic_load(&node->failed) ||
            (node->keeper == NULL && node->ops->commit == NULL)) {
            continue;
        }
        struct call *call = gather(a, CALL_STORE_START, node, start_must_be_kept);
        if (call == NULL) {
            continue;
        }
        call->commit = (sl_commit){.struct_bytes = sizeof(call->commit),
                                   .positions = call->positions,
                                   .n_positions = call->n_positions};
        call_start(call);
    }
    assignment_go_on(a);
}

/* ---- resuming ---- */

static void step_resume_readers(struct assignment *a) {
    a->step = (a->owner->flags & SL_ROLE_OWNS_STREAMS) != 0 ? step_attach : step_resume_source;
    for (size_t s = 0; s < a->n_streams; s++) {
        struct stream *stream = a->streams[s];
        for (size_t r = 0; r < stream->n_readers; r++) {
            struct reader *reader = &stream->readers[r];
            if (reader->node->ops->resume == NULL || atomic_load(&reader->node->failed)) {
                continue;
            }
            struct call *call = call_new(a, CALL_RESUME, reader->node);
            if (call != NULL) {
                call->stream = stream;
                call->reader = reader;
                call->offset = reader->stored;
                call_start(call);
            }
        }
    }
    assignment_go_on(a);
}

/* What the owner of results has to keep, also for readers that begin apart. */
static int64_t smallest_needed(const struct stream *stream) {
    int64_t smallest = stream->offset;
    for (size_t r = 0; r < stream->n_readers; r++) {
        const struct reader *reader = &stream->readers[r];
        if (!atomic_load(&reader->node->failed) && reader->position < smallest) {
            smallest = reader->position;
        }
    }
    return smallest;
}

/* What some reader of the results has already. */
static int64_t largest_stored(const struct stream *stream) {
    int64_t largest = 0;
    for (size_t r = 0; r < stream->n_readers; r++) {
        const struct reader *reader = &stream->readers[r];
        if (!atomic_load(&reader->node->failed) && reader->stored > largest) {
            largest = reader->stored;
        }
    }
    return largest;
}

static void resume_owner(struct assignment *a) {
    bool own = (a->owner->flags & SL_ROLE_OWNS_STREAMS) != 0;
    for (size_t s = 0; s < a->n_streams && a->owner->ops->resume != NULL; s++) {
        if (own && a->streams[s]->n_readers == 0) {
            continue; /* nobody reads these results: they need not be sent from the first on */
        }
        struct call *call = call_new(a, CALL_RESUME, a->owner);
        if (call != NULL) {
            a->streams[s]->pub.reached = own ? largest_stored(a->streams[s]) : 0;
            call->stream = a->streams[s];
            call->offset = own ? smallest_needed(a->streams[s]) : SL_OFFSET_NONE;
            call_start(call);
        }
    }
    assignment_go_on(a);
}

static void step_resume_source(struct assignment *a) {
    a->step = step_attach;
    resume_owner(a);
}

static void step_attach(struct assignment *a) {
    a->step = (a->owner->flags & SL_ROLE_OWNS_STREAMS) != 0 ? step_resume_owner : step_running;
    a->outstanding = (unsigned)a->n_streams;
    for (size_t s = 0; s < a->n_streams; s++) {
        a->streams[s]->state = STREAM_ATTACHING;
        attach_stream(a->streams[s], assignment_answered, a);
    }
    assignment_go_on(a);
}

/* A transform's own results flow only once its readers are attached. */
static void step_resume_owner(struct assignment *a) {
    a->step = step_running;
    resume_owner(a);
}

static void step_running(struct assignment *a) {
    for (size_t s = 0; s < a->n_streams; s++) {
        struct stream *stream = a->streams[s];
        stream->state = STREAM_RUNNING;
        for (size_t r = 0; r < stream->n_readers; r++) {
            stream->readers[r].node->overtaken = 0;
        }
        host_log(a->host, SL_LOG_DEBUG, a->owner->spec->name,
                 "reads %s partition %d from offset %lld", stream->topic,
                 (int)stream->pub.partition, (long long)stream->offset);
        assignment_acknowledge(stream); /* what all had before: a run may be too short for more */
    }
    assignment_end(a);
}

/* ---- taking streams in ---- */

static sl_error *add_stream(struct host *host, struct stream *stream) {
    if (host->n_streams == host->capacity_streams) {
        size_t capacity = host->capacity_streams == 0 ? 64 : host->capacity_streams * 2;
        struct stream **grown = realloc(host->streams, capacity * sizeof(struct stream *));
        if (grown == NULL) {
            return sl_error_no_memory();
        }
        host->streams = grown;
        host->capacity_streams = capacity;
    }
    host->streams[host->n_streams++] = stream;
    return NULL;
}

sl_error *assignment_add(struct host_node *owner, uint32_t output, const sl_stream_name *names,
                         size_t n) {
    if (owner->host->draining || !node_is_open(owner)) {
        return NULL; /* nothing will be read any more */
    }
    struct assignment *a = assignment_new(owner->host, owner, n, step_wire);
    if (a == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = NULL;
    for (size_t i = 0; i < n && error == NULL; i++) {
        const struct stream *there = stream_find(owner, names[i].topic, names[i].partition);
        if (there != NULL && !there->leaving) {
            error = sl_error_new(SL_ERROR_FATAL, "%s partition %d is assigned twice",
                                 names[i].topic, (int)names[i].partition);
            break;
        }
        struct stream *stream;
        error = stream_new(owner, output, names[i].topic, names[i].partition, &stream);
        if (error == NULL && (error = add_stream(a->host, stream)) != NULL) {
            stream_free(stream);
        }
        if (error == NULL) {
            a->streams[a->n_streams++] = stream;
            owner->n_streams++;
            owner->open_streams++;
        }
    }
    if (error != NULL) {
        for (size_t i = 0; i < a->n_streams; i++) {
            a->streams[i]->state = STREAM_DETACHED;
        }
        owner->n_streams -= a->n_streams;
        owner->open_streams -= a->n_streams;
        assignment_free(a);
        return error;
    }
    assignment_queue(a);
    return NULL;
}

/* What was set aside of its streams. */
static sl_error *add_back(struct host_node *owner) {
    sl_error *error = NULL;
    size_t n = owner->host->n_streams; /* those before are older */
    for (size_t s = 0; s < n && error == NULL; s++) {
        struct stream *stream = owner->host->streams[s];
        if (stream->owner == owner && stream->set_aside) {
            const sl_stream_name name = {stream->topic, stream->pub.partition};
            stream->set_aside = false;
            error = assignment_add(owner, stream->output, &name, 1);
        }
    }
    return error;
}

sl_error *assignment_add_own(struct host_node *owner) {
    if (node_assigns(owner)) {
        return add_back(owner);
    }
    if ((owner->flags & SL_ROLE_OWNS_STREAMS) == 0) {
        return NULL;
    }
    sl_error *error = NULL;
    for (uint32_t o = 0; o < owner->opened->n_outputs && error == NULL; o++) {
        const sl_stream_name name = {owner->opened->output_names[o], 0};
        if (stream_find(owner, name.topic, name.partition) == NULL) {
            error = assignment_add(owner, o, &name, 1);
        }
    }
    return error;
}
