/*
 * What the parts of the crash tests' shim share: the calls and the kinds of path by which a point
 * is named (kinds.c), and what a power cut would take away (power.c). preload.c interposes the
 * calls.
 */
#ifndef TESTS_CRASH_PRELOAD_H
#define TESTS_CRASH_PRELOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kind {
    KIND_NONE, /* not below the watched folder */
    KIND_DATA_FILE,
    KIND_DATA_TEMPORARY,
    KIND_LOG_ENTRY,
    KIND_LOG_TEMPORARY, /* an entry, a checkpoint or its pointer, before it has its name */
    KIND_CHECKPOINT,
    KIND_LAST_CHECKPOINT,
    KIND_SEGMENT,
    KIND_SEGMENT_TEMPORARY,
    KIND_CHAIN_ENTRY,
    KIND_CHAIN_TEMPORARY,
    KIND_BASE,
    KIND_BASE_TEMPORARY,
    KIND_DELTA, /* of an aggregation's host, for the one that merges */
    KIND_DELTA_TEMPORARY,
    KIND_POSITIONS,
    KIND_POSITIONS_TEMPORARY,
    KIND_EDITION, /* of the configuration */
    KIND_EDITION_TEMPORARY,
    KIND_RUN, /* a run that has not ended level */
    KIND_RUN_TEMPORARY,
    KIND_SEEN, /* a record that the source has read */
    KIND_SEEN_TEMPORARY,
    KIND_TARGETS, /* which nodes are paused */
    KIND_TARGETS_TEMPORARY,
    KIND_HISTORY, /* of the topology's changes */
    KIND_HISTORY_TEMPORARY,
    KIND_CLOSE,
    KIND_CLOSE_TEMPORARY,
    KIND_PLAIN_FILE,
    KIND_PLAIN_TEMPORARY,
    KIND_KNOWN, /* that a kafka sink has a position */
    KIND_KNOWN_TEMPORARY,
    KIND_KAFKA,    /* no path: the producer of a kafka sink */
    KIND_TOPOLOGY, /* the file that an operator's PATCH replaces */
    KIND_TOPOLOGY_TEMPORARY,
    KIND_TOP_FOLDER, /* which it lies in, above lake and state */
    KIND_TABLE_FOLDER,
    KIND_LOG_FOLDER,
    KIND_STATE_FOLDER,
    KIND_OTHER,
    KINDS
};

extern const char *const kind_names[KINDS];

/* The functions of librdkafka are named without "rd_kafka_" (transactions.c). */
#define CALL_LIST(X)                                                                               \
    X(create)                                                                                      \
    X(write)                                                                                       \
    X(fsync)                                                                                       \
    X(fdatasync)                                                                                   \
    X(link)                                                                                        \
    X(rename)                                                                                      \
    X(renameat2)                                                                                   \
    X(unlink)                                                                                      \
    X(unlinkat)                                                                                    \
    X(mkdir)                                                                                       \
    X(init_transactions)                                                                           \
    X(begin_transaction)                                                                           \
    X(produceva)                                                                                   \
    X(send_offsets_to_transaction)                                                                 \
    X(commit_transaction)                                                                          \
    X(abort_transaction)

enum call {
#define X(name) CALL_##name,
    CALL_LIST(X)
#undef X
        CALLS
};
enum side { BEFORE, AFTER };

/* Counts the point, and ends or stops the process when its moment is there. Keeps errno. Any
 * thread. */
void pass(enum call call, enum kind kind, enum side side);

/* A function of librdkafka itself, behind the one that the shim has in its place. */
void *librdkafka_function(const char *name);

/* The kind of an absolute path; `folder` says that it is one. KIND_NONE outside of `root`. */
enum kind kind_of(const char *root, const char *path, bool folder);

/* In the shared file, behind its rows: next offset to read of each partition, 0 before the first.
 * NULL when nothing is to be counted. */
#define CONSUMED_PARTITIONS 64
extern atomic_int_fast64_t *consumed_next;

/* ---- what is not yet durable; any thread ---- */

/* A file was made at `path`, open as `fd`. */
void power_made(int fd, const char *path);
/* The file that is open as `fd` was synced. */
void power_synced(int fd);
/* `fd` was closed. */
void power_closed(int fd);
/* What was at `from` is now at `to`, its name not synced. */
void power_named(const char *from, const char *to);
/* What was at `path` is removed. */
void power_removed(const char *path);
/* The folder at `path` was synced. */
void power_folder_synced(const char *path);
/* Takes away what a power cut could: names not synced (each with even odds), bytes not synced. No
 * other of these functions may run any more. */
void power_cut(unsigned seed);

/* ---- slow.c: what has to be slow, or late, so that something can happen ---- */

/* A file was opened as `fd`. */
void slow_opened(int fd, const char *path);
/* Takes its time where the disk is slow that `fd` lies on. */
void slow_sync(int fd);
/* A log entry has got its name. */
void slow_entry_written(void);

#endif
