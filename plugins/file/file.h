/*
 * The file plugin's configs and operation tables.
 */
#ifndef FILE_H
#define FILE_H

#include "sluice/plugin.h"

struct file_source_config {
    const char *path; /* may be a pattern */
    int64_t scan_us;
    int64_t max_line_bytes;
};

struct file_sink_config {
    const char *path;
    int64_t rotate_bytes;
    int64_t rotate_us;
    int32_t raw; /* sl_lines_raw */
};

extern const sl_node_ops file_source_node_ops;
extern const sl_task_ops file_source_task_ops;
extern const sl_node_ops file_sink_node_ops;
extern const sl_task_ops file_sink_task_ops;

#endif /* FILE_H */
