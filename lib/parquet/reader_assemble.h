/*
 * Structs, lists and maps out of the levels of the columns below them: the assembly half of Dremel,
 * done column-wise on whole batches.
 */
#ifndef SL_PARQUET_READER_ASSEMBLE_H
#define SL_PARQUET_READER_ASSEMBLE_H

#include "parquet/reader_column.h"

/* A chosen node of the schema with the builder of the same place in the batch. */
typedef struct sl_pqr_plan {
    const sl_pqr_node *node;
    sl_builder *builder;
    sl_pqr_column *column; /* leaf: its column; else the first one below, which keeps its levels */
    struct sl_pqr_plan *children;
    size_t n_children;
} sl_pqr_plan;

/*
 * Fills the builders of `plan` and of all below it, the leaves' builders being filled. `rows` is
 * the length that the plan's builder must come to. CORRUPT when columns disagree about the lists
 * they share.
 */
sl_error *sl_pqr_assemble(const sl_pqr_plan *plan, int64_t rows);

#endif /* SL_PARQUET_READER_ASSEMBLE_H */
