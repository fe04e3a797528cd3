/*
 * Taps: a sampled look at the rows that flow over an edge, while somebody wants to see them. The
 * lane that happens to send the next batch writes a few of its rows as JSON, with what is to be
 * masked masked already, and posts the text to the control loop; then the tap is deaf for a while.
 * An output that nobody looks at costs one relaxed load a batch. Nothing ever waits for a tap.
 */
#ifndef LANE_TAP_H
#define LANE_TAP_H

#include "host/object.h"

enum { TAPS_MAX = 8, TAP_ROWS_MAX = 500 };

struct tap;

/* What somebody wants to see. */
struct tap_wish {
    const char *node; /* copied */
    uint32_t output;
    int64_t rows; /* at most so many a second; 1 to TAP_ROWS_MAX */
    /* One look: a JSON object, borrowed for the call. Control loop. */
    void (*look)(void *arg, const char *json, size_t bytes);
    /* The host ends it; the tap is gone when this returns. Control loop. */
    void (*ended)(void *arg);
    void *arg;
};

/* The host's taps; freed after the lanes have ended. NULL: memory is short. */
struct tap *taps_new(struct host *host);
void taps_free(struct tap *taps);

/* CPU time that lanes have spent on looks, since the run began. Any thread. */
int64_t taps_cpu_us(const struct host *host);

/* Control loop, all of them. Errors: CONFLICT (there are TAPS_MAX already), NO_MEMORY. */
sl_error *tap_open(struct host *host, const struct tap_wish *wish, struct tap **out);
/* Finds the node again by its name, should it have been replaced. */
void tap_bind(struct tap *tap);
void tap_close(struct tap *tap);
/* Ends every tap: what is masked has changed. */
void taps_end(struct host *host);

/* A batch leaves on an output of which the taps `wanted` (bits) want to see something. On the lane.
 */
void tap_offer(struct host_node *from, uint32_t output, uint32_t wanted, const struct batch *batch);

/* ---- tap_text.c ---- */

/* What a row may show. */
struct tap_mask {
    const sl_list *names; /* of columns, fields and members, at any depth */
    bool large;           /* rows are large: nested columns are left out */
};

/* Appends row `row` of the batch as a JSON object. False when memory is short. */
bool tap_append_row(const struct tap_mask *mask, const sl_batch *batch, int64_t row,
                    sl_buffer *out);

#endif /* LANE_TAP_H */
