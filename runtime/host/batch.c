/* Making, cutting and counting batches: see batch.h. */
#include "host/batch.h"

#include "delivery/stream.h"
#include "host/run.h"

#include <stdlib.h>
#include <string.h>

#include "columns/columns.h"

static void drop_columns(struct ArrowArray *columns) {
    if (columns != NULL && columns->release != NULL) {
        columns->release(columns);
    }
}

/* Columns from a plugin: shape only; the plugin answers for the bytes inside. */
static sl_error *check_shape(const struct ArrowSchema *schema, const struct ArrowArray *columns) {
    if (columns->n_children != schema->n_children) {
        return sl_error_new(SL_ERROR_FATAL,
                            "emitted %lld columns where the output's schema has %lld",
                            (long long)columns->n_children, (long long)schema->n_children);
    }
    for (int64_t i = 0; i < columns->n_children; i++) {
        if (columns->children[i]->length < columns->offset + columns->length) {
            return sl_error_new(SL_ERROR_FATAL,
                                "emitted column %s with %lld rows in a batch of %lld rows",
                                schema->children[i]->name, (long long)columns->children[i]->length,
                                (long long)columns->length);
        }
    }
    return NULL;
}

static bool has_offset(const struct ArrowArray *array) {
    if (array->offset != 0) {
        return true;
    }
    for (int64_t i = 0; i < array->n_children; i++) {
        if (has_offset(array->children[i])) {
            return true;
        }
    }
    return false;
}

/* Takes over `columns` with every offset 0. */
static sl_error *normalise(const struct ArrowSchema *schema, struct ArrowArray *columns,
                           struct ArrowArray *out) {
    if (!has_offset(columns)) {
        *out = *columns;
        columns->release = NULL;
        return NULL;
    }
    sl_error *error = sl_array_copy(schema, columns, columns->offset, columns->length, out);
    drop_columns(columns);
    return error;
}

static struct batch *batch_alloc(const struct ArrowSchema *schema, const sl_stream *stream,
                                 int64_t read_us) {
    struct batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL) {
        return NULL;
    }
    batch->pub.struct_bytes = sizeof(batch->pub);
    batch->pub.schema = schema;
    batch->pub.columns = &batch->columns;
    batch->pub.stream = stream;
    stream_use(stream_of(stream));
    batch->pub.epoch = stream->epoch;
    batch->pub.max_event_time_us = SL_EVENT_TIME_NONE;
    batch->read_us = read_us;
    batch->age_us = -1;
    atomic_init(&batch->references, 1);
    return batch;
}

static void batch_free(struct batch *batch) {
    stream_let_go(stream_of(batch->pub.stream));
    free(batch);
}

/* Charges the run with the batch's memory until it is released. */
static void charge(struct batch *batch, size_t columns_bytes) {
    batch->pub.memory_bytes = columns_bytes + sizeof(*batch);
    host_charge(stream_of(batch->pub.stream)->host, (int64_t)batch->pub.memory_bytes);
}

sl_error *batch_new(const struct ArrowSchema *schema, const sl_emission *emission, int64_t read_us,
                    struct batch **out) {
    if (emission->columns == NULL || emission->columns->release == NULL) {
        return batch_new_empty(schema, emission->stream, emission->flags, emission->first_offset,
                               emission->next_offset, read_us, out);
    }
    struct batch *batch = batch_alloc(schema, emission->stream, read_us);
    if (batch == NULL) {
        drop_columns(emission->columns);
        return sl_error_no_memory();
    }
    sl_error *error = check_shape(schema, emission->columns);
    if (error == NULL) {
        error = normalise(schema, emission->columns, &batch->columns);
    } else {
        drop_columns(emission->columns);
    }
    if (error != NULL) {
        batch_free(batch);
        return error;
    }
    batch->pub.flags = emission->flags;
    batch->pub.rows = batch->columns.length;
    batch->pub.first_offset = emission->first_offset;
    batch->pub.next_offset = emission->next_offset;
    batch->pub.max_event_time_us = emission->max_event_time_us;
    charge(batch, sl_array_bytes(schema, &batch->columns));
    *out = batch;
    return NULL;
}

sl_error *batch_new_empty(const struct ArrowSchema *schema, const sl_stream *stream, uint32_t flags,
                          int64_t first, int64_t next, int64_t read_us, struct batch **out) {
    struct batch *batch = batch_alloc(schema, stream, read_us);
    if (batch == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = sl_array_empty(schema, &batch->columns);
    if (error != NULL) {
        batch_free(batch);
        return error;
    }
    batch->pub.flags = flags;
    batch->pub.first_offset = first;
    batch->pub.next_offset = next;
    charge(batch, 0);
    *out = batch;
    return NULL;
}

/* Rows of `batch` whose offset is below `offset`. */
static int64_t rows_below(const struct batch *batch, int64_t offset) {
    int64_t column = sl_schema_find(batch->pub.schema, "offset");
    if (column < 0) {
        int64_t n = offset - batch->pub.first_offset;
        return n < batch->pub.rows ? n : batch->pub.rows;
    }
    const int64_t *offsets = batch->columns.children[column]->buffers[1];
    int64_t low = 0;
    int64_t high = batch->pub.rows;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (offsets[middle] < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static sl_error *batch_slice(const struct batch *batch, int64_t first_row, int64_t rows,
                             int64_t first, int64_t next, uint32_t flags, struct batch **out) {
    struct batch *slice = batch_alloc(batch->pub.schema, batch->pub.stream, batch->read_us);
    if (slice == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error =
        sl_array_copy(batch->pub.schema, &batch->columns, first_row, rows, &slice->columns);
    if (error != NULL) {
        batch_free(slice);
        return error;
    }
    slice->age_us = batch->age_us;
    slice->pub.flags = flags;
    slice->pub.rows = rows;
    slice->records = rows; /* only a source's own batches are cut */
    slice->pub.first_offset = first;
    slice->pub.next_offset = next;
    slice->pub.max_event_time_us = batch->pub.max_event_time_us;
    charge(slice, sl_array_bytes(batch->pub.schema, &slice->columns));
    *out = slice;
    return NULL;
}

sl_error *batch_cut(const struct batch *batch, int64_t offset, struct batch **head,
                    struct batch **tail) {
    const sl_batch *pub = &batch->pub;
    int64_t rows = rows_below(batch, offset);
    sl_error *error = batch_slice(batch, 0, rows, pub->first_offset, offset,
                                  pub->flags & ~(uint32_t)SL_BATCH_AT_END, head);
    if (error != NULL) {
        return error;
    }
    error = batch_slice(batch, rows, pub->rows - rows, offset, pub->next_offset, pub->flags, tail);
    if (error != NULL) {
        batch_release(&(*head)->pub);
    }
    return error;
}

sl_error *batch_relabel(struct batch *batch, const sl_stream *stream, struct batch **out) {
    struct batch *copy = batch_alloc(batch->pub.schema, stream, batch->read_us);
    if (copy == NULL) {
        return sl_error_no_memory();
    }
    copy->age_us = batch->age_us;
    copy->columns = batch->columns;
    copy->pub.flags = batch->pub.flags;
    copy->pub.rows = batch->pub.rows;
    copy->pub.first_offset = batch->pub.first_offset;
    copy->pub.next_offset = batch->pub.next_offset;
    copy->pub.max_event_time_us = batch->pub.max_event_time_us;
    copy->pub.memory_bytes = batch->pub.memory_bytes;
    copy->records = batch->records;
    copy->dropped = batch->dropped;
    copy->parent = batch;
    batch_retain(&batch->pub);
    *out = copy;
    return NULL;
}

void batch_retain(const sl_batch *pub) {
    atomic_fetch_add_explicit(&batch_of(pub)->references, 1, memory_order_relaxed);
}

void batch_release(const sl_batch *pub) {
    struct batch *batch = batch_of(pub);
    if (atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (batch->parent != NULL) {
        batch_release(&batch->parent->pub);
    } else {
        host_charge(stream_of(pub->stream)->host, -(int64_t)pub->memory_bytes);
        drop_columns(&batch->columns);
    }
    batch_free(batch);
}
