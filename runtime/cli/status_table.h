/* What /v1/status says, as a table for people: one line for each node, and who waits for whom. */
#ifndef CLI_STATUS_TABLE_H
#define CLI_STATUS_TABLE_H

#include <cjson/cJSON.h>

#include "base/base.h"

/*
 * Appends the table of `status`. Rates are those since `before`, an earlier status of the same run;
 * NULL: since the run began. Errors: FATAL (it is no status).
 */
sl_error *status_table(const cJSON *status, const cJSON *before, bool colours, sl_buffer *out);

#endif /* CLI_STATUS_TABLE_H */
