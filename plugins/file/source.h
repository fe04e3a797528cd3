/*
 * The file source's two halves: the node finds files and offers each as a stream, the tasks read
 * them by chunks that pool threads fetch.
 */
#ifndef FILE_SOURCE_H
#define FILE_SOURCE_H

#include "file.h"

#include "base/base.h"

struct sl_node {
    const sl_services *services;
    sl_object *self;
    const struct file_source_config *config;
    int until_end;
    int scanning;
    sl_timer *timer;
    char **files; /* known ones */
    size_t n_files;
};

/* An opened file on its way to the lane. */
struct source_file {
    char *path;
    int fd;
    int64_t end; /* --until-end: its size when the run began */
};
void source_file_free(struct source_file *file);

#endif /* FILE_SOURCE_H */
