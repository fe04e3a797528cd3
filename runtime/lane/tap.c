/* Taps (see tap.h). A tap's place stays as long as the host, so that a lane may be at it when it is
 * closed: `busy` says whose it is, the lane's and its text's, or the control loop's. */
#include "lane/tap.h"

#include "delivery/stream.h"
#include "host/run.h"

#include <stdlib.h>
#include <time.h>

enum { LOOKS_A_SECOND = 5, LOOK_BYTES = 64 * 1024, LARGE_ROW_BYTES = 16 * 1024 };

struct tap {
    struct host *host;
    uint32_t bit;
    bool taken;       /* control loop */
    bool leaving;     /* closed while it was busy */
    atomic_bool busy; /* a lane is at it, or its text is on the way to the control loop */
    _Atomic int64_t next_us;
    int64_t pause_us;
    int64_t rows; /* of one look */
    struct tap_wish wish;
    char *node;
    char **masked; /* owned, as is each of them */
    size_t n_masked;
    sl_buffer text; /* busy's */
    _Atomic int64_t cpu_us;
    struct loop_message message;
};

/* ---- on the lane ---- */

static void write_name(sl_buffer *out, const char *key, const char *text) {
    sl_buffer_printf(out, "\"%s\":", key);
    sl_buffer_append_json_string(out, text, strlen(text));
    sl_buffer_append_byte(out, ',');
}

static void write_head(const struct host_node *from, uint32_t output, const sl_batch *batch,
                       sl_buffer *out) {
    sl_buffer_append_byte(out, '{');
    write_name(out, "node", from->spec->name);
    write_name(out, "output", from->opened->output_names[output]);
    write_name(out, "source", batch->stream->source);
    write_name(out, "topic", batch->stream->topic);
    sl_buffer_printf(out,
                     "\"partition\":%d,\"first_offset\":%lld,\"next_offset\":%lld,"
                     "\"batch_rows\":%lld,\"updates\":%s,\"rows\":[",
                     (int)batch->stream->partition, (long long)batch->first_offset,
                     (long long)batch->next_offset, (long long)batch->rows,
                     (batch->flags & SL_BATCH_UPDATES) != 0 ? "true" : "false");
}

/* Rows from all over the batch, until there are enough of them or of their bytes. */
static void write_rows(const struct tap *tap, const struct batch *batch, sl_buffer *out) {
    const sl_batch *pub = &batch->pub;
    const sl_list names = {tap->n_masked, (const char *const *)tap->masked};
    const struct tap_mask mask = {.names = &names,
                                  .large = pub->memory_bytes / (size_t)pub->rows > LARGE_ROW_BYTES};
    int64_t wanted = pub->rows < tap->rows ? pub->rows : tap->rows;
    for (int64_t i = 0; i < wanted && out->bytes < LOOK_BYTES && !out->failed; i++) {
        if (i > 0) {
            sl_buffer_append_byte(out, ',');
        }
        if (!tap_append_row(&mask, pub, i * pub->rows / wanted, out)) {
            out->failed = true;
        }
    }
    sl_buffer_append_text(out, "]}");
}

static int64_t thread_cpu_us(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t taps_cpu_us(const struct host *host) {
    int64_t sum_us = 0;
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        sum_us += atomic_load_explicit(&host->taps[i].cpu_us, memory_order_relaxed);
    }
    return sum_us;
}

static void arrived(void *arg);

static void look(struct tap *tap, const struct host_node *from, uint32_t output,
                 const struct batch *batch) {
    int64_t now_us = sl_monotonic_us();
    if (now_us < atomic_load_explicit(&tap->next_us, memory_order_relaxed) ||
        atomic_exchange(&tap->busy, true)) {
        return;
    }
    /* it may have been closed, or closed and opened for another output, since it was looked up */
    if ((atomic_load(&from->tapped[output]) & tap->bit) != 0) {
        atomic_store_explicit(&tap->next_us, now_us + tap->pause_us, memory_order_relaxed);
        int64_t began_us = thread_cpu_us();
        write_head(from, output, &batch->pub, &tap->text);
        write_rows(tap, batch, &tap->text);
        atomic_fetch_add_explicit(&tap->cpu_us, thread_cpu_us() - began_us, memory_order_relaxed);
    }
    loop_post(&tap->host->control, &tap->message, arrived, tap);
}

void tap_offer(struct host_node *from, uint32_t output, uint32_t wanted,
               const struct batch *batch) {
    if (batch->pub.rows == 0 || stream_of(batch->pub.stream)->fed != NULL) {
        return; /* rows that a branch reads once more have been seen */
    }
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        if ((wanted & 1u << i) != 0) {
            look(&from->host->taps[i], from, output, batch);
        }
    }
}

/* ---- on the control loop ---- */

static void free_place(struct tap *tap) {
    for (size_t i = 0; i < tap->n_masked; i++) {
        free(tap->masked[i]);
    }
    free((void *)tap->masked);
    free(tap->node);
    tap->masked = NULL;
    tap->node = NULL;
    tap->n_masked = 0;
    tap->taken = tap->leaving = false;
}

static void arrived(void *arg) {
    struct tap *tap = arg;
    sl_buffer text = tap->text;
    tap->text = (sl_buffer)SL_BUFFER_INIT;
    if (tap->leaving) {
        free_place(tap);
    }
    bool shown = tap->taken && text.bytes > 0 && !text.failed;
    atomic_store(&tap->busy, false);
    if (shown) {
        tap->wish.look(tap->wish.arg, (const char *)text.data, text.bytes);
    }
    sl_buffer_free(&text);
}

struct tap *taps_new(struct host *host) {
    struct tap *taps = calloc(TAPS_MAX, sizeof(*taps));
    for (uint32_t i = 0; taps != NULL && i < TAPS_MAX; i++) {
        taps[i].host = host;
        taps[i].bit = 1u << i;
    }
    return taps;
}

void taps_free(struct tap *taps) {
    for (uint32_t i = 0; taps != NULL && i < TAPS_MAX; i++) {
        sl_buffer_free(&taps[i].text);
        free_place(&taps[i]);
    }
    free(taps);
}

/* False when memory is short. */
static bool copy_masked(struct tap *tap, const sl_list *names) {
    tap->masked = calloc(names->count + 1, sizeof(char *));
    for (size_t i = 0; tap->masked != NULL && i < names->count; i++) {
        tap->masked[i] = strdup(names->items[i]);
        if (tap->masked[i] == NULL) {
            return false;
        }
        tap->n_masked++;
    }
    return tap->masked != NULL;
}

static struct tap *find_place(struct host *host) {
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        if (!host->taps[i].taken) {
            return &host->taps[i];
        }
    }
    return NULL;
}

sl_error *tap_open(struct host *host, const struct tap_wish *wish, struct tap **out) {
    struct tap *tap = find_place(host);
    if (tap == NULL) {
        return sl_error_new(SL_ERROR_CONFLICT, "there are %d taps already", TAPS_MAX);
    }
    tap->node = strdup(wish->node);
    if (tap->node == NULL || !copy_masked(tap, &host->settings->tap_mask)) {
        free_place(tap);
        return sl_error_no_memory();
    }
    int64_t looks = wish->rows < LOOKS_A_SECOND ? wish->rows : LOOKS_A_SECOND;
    tap->wish = *wish;
    tap->rows = wish->rows / looks;
    tap->pause_us = 1000000 / looks;
    tap->taken = true;
    atomic_store(&tap->next_us, 0);
    tap_bind(tap);
    *out = tap;
    return NULL;
}

static struct host_node *find_node(const struct tap *tap) {
    for (size_t n = 0; n < tap->host->n_nodes; n++) {
        if (strcmp(tap->host->nodes[n]->spec->name, tap->node) == 0) {
            return tap->host->nodes[n];
        }
    }
    return NULL;
}

void tap_bind(struct tap *tap) {
    struct host_node *node = find_node(tap);
    if (node != NULL && tap->wish.output < node->opened->n_outputs) {
        atomic_fetch_or(&node->tapped[tap->wish.output], tap->bit);
    }
}

void tap_close(struct tap *tap) {
    struct host_node *node = find_node(tap);
    if (node != NULL && tap->wish.output < node->opened->n_outputs) {
        atomic_fetch_and(&node->tapped[tap->wish.output], ~tap->bit);
    }
    if (atomic_exchange(&tap->busy, true)) {
        tap->leaving = true; /* what is on its way frees the place */
        return;
    }
    free_place(tap);
    atomic_store(&tap->busy, false);
}

void taps_end(struct host *host) {
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        struct tap *tap = &host->taps[i];
        if (tap->taken && !tap->leaving) {
            tap_close(tap);
            tap->wish.ended(tap->wish.arg);
        }
    }
}
