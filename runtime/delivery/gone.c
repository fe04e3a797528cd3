/*
 * Streams that have gone. A detached stream that no assignment, or call of one, names leaves the
 * host's list, so that nothing looks through the past of a run, and is freed once nobody can refer
 * to it: no batch, message or lane (they use it, see stream_use), and no commit of its readers or
 * its owner. These have pieces in hand that name streams by pointer and index, so each of them must
 * have rested since: nothing flushed that is not committed. Control loop.
 */
#include "delivery/assignment_steps.h"

#include <stdlib.h>

/* Its owner's plugin is told that it goes, and does not name it any more. Others may for ever: what
 * they own stays until the run ends. */
static bool is_told(const struct stream *stream) {
    const struct host_node *owner = stream->owner;
    if (!stream->entered) { /* it was resumed at most */
        return owner->ops->resume == NULL || owner->ops->drop_handle != NULL;
    }
    return owner->ops->suspend != NULL ||
           (owner->spec->kind == TOPOLOGY_SOURCE && owner->task_ops->detach != NULL);
}

static bool has_rested(const struct host_node *node, uint64_t rests) {
    return !node->has_cycle || node->cycle.rests != rests || cycle_rests(&node->cycle);
}

/* One that is closed and opened just now is told of no stream that was never attached: what it
 * knew of it goes with the closing, and until it has started it answers nothing. */
static bool may_be_told(const struct stream *stream, const struct host_node *node) {
    return stream->entered || !node->restart.under_way;
}

static bool is_unused(const struct stream *stream) {
    bool unused = is_told(stream) &&
                  atomic_load_explicit(&stream->uses, memory_order_acquire) == 0 &&
                  has_rested(stream->owner, stream->owner_rests);
    for (size_t r = 0; r < stream->n_readers && unused; r++) {
        const struct reader *reader = &stream->readers[r];
        unused = has_rested(reader->node, reader->rests) && may_be_told(stream, reader->node);
    }
    return unused;
}

static void name_streams(struct assignment *a, bool named) {
    for (size_t i = 0; i < a->n_streams; i++) {
        a->streams[i]->named = named;
    }
    for (struct call *call = a->calls; call != NULL; call = call->next) {
        if (call->stream != NULL) {
            call->stream->named = named;
        }
        for (size_t i = 0; i < call->n; i++) {
            call->readers[i]->stream->named = named;
        }
    }
}

static void name_all(struct host *host, bool named) {
    for (struct assignment *a = host->assignments; a != NULL; a = a->next) {
        name_streams(a, named);
    }
    for (struct assignment *a = host->unheard; a != NULL; a = a->next) {
        name_streams(a, named);
    }
}

/* Those that an assignment names may be its to bring back; those that are set aside come back with
 * their source. */
static void take_out_gone(struct host *host) {
    size_t kept = 0;
    for (size_t i = 0; i < host->n_streams; i++) {
        struct stream *stream = host->streams[i];
        if (stream->state != STREAM_DETACHED || stream->set_aside || stream->named) {
            host->streams[kept++] = stream;
            continue;
        }
        stream->next_gone = host->gone;
        host->gone = stream;
        stream->owner_rests = stream->owner->cycle.rests;
        for (size_t r = 0; r < stream->n_readers; r++) {
            stream->readers[r].rests = stream->readers[r].node->cycle.rests;
        }
    }
    host->n_streams = kept;
}

/* Who was asked about a stream that was never attached has kept something of it, and hears only now
 * that it has gone: until now it may have been asked. */
static void tell_readers(struct stream *stream) {
    stream->told_gone = true;
    for (size_t r = 0; r < stream->n_readers && !stream->entered; r++) {
        attach_suspend_node(stream->readers[r].node, stream);
    }
}

void streams_forget_gone(struct host *host) {
    if (host->finished) {
        return; /* all are being detached */
    }
    name_all(host, true);
    take_out_gone(host);
    name_all(host, false);
    struct stream **at = &host->gone;
    while (*at != NULL) {
        struct stream *stream = *at;
        if (is_unused(stream) && !stream->told_gone) {
            tell_readers(stream);
        }
        if (is_unused(stream)) {
            *at = stream->next_gone;
            stream_free(stream);
        } else {
            at = &stream->next_gone;
        }
    }
}

static void look(void *arg) {
    struct host *host = arg;
    host->looks_at_gone = false;
    streams_forget_gone(host);
}

void streams_look_at_gone(struct host *host) {
    if (!host->looks_at_gone) {
        host->looks_at_gone = true;
        loop_post(&host->control, &host->gone_message, look, host);
    }
}

void streams_free_gone(struct host *host) {
    while (host->gone != NULL) {
        struct stream *stream = host->gone;
        host->gone = stream->next_gone;
        stream_free(stream);
    }
}
