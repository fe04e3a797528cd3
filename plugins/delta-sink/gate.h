/*
 * What a task's rows pass before they are written: rows at fault are rejected, and rows that are
 * written already, which come again for those who read what is rejected, go no further. Of
 * delta-sink's task and of bronze-sink's.
 */
#ifndef DELTA_SINK_GATE_H
#define DELTA_SINK_GATE_H

#include "columns/replayed.h"
#include "delta/row_fault.h"
#include "sluice/plugin.h"

struct sink_gate {
    const sl_services *services;
    sl_object *self;
    sl_replayed replayed;
};

/* How a batch's rows are looked at. */
struct sink_look {
    sl_delta_row_rules rules;
    int64_t delete_column;         /* rows that are null there delete: they are not written, and so
                                      never at fault; -1: none do */
    const struct ArrowArray *rows; /* of rules.schema; row i is row i of the batch */
};

/* What is left of a batch; zero-initialise. */
struct sink_passed {
    const struct ArrowArray *rows; /* NULL: nothing is to be written */
    struct ArrowArray kept;        /* when some are at fault: the others, which `rows` then is */
    struct ArrowArray faulty;      /* and these themselves */
};
void sink_passed_free(struct sink_passed *passed);

/*
 * Looks at a batch that has come on `input`. Rows of open windows are left out without a word when
 * they are at fault: each is replaced, and what is final is what counts. Inside process; errors:
 * what reject answers, NO_MEMORY.
 */
sl_error *sink_gate_pass(struct sink_gate *gate, uint32_t input, const sl_batch *came,
                         const struct sink_look *look, struct sink_passed *out);

#endif /* DELTA_SINK_GATE_H */
