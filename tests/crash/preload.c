/*
 * The crash tests' shim, for LD_PRELOAD: interposes the calls by which files below one folder
 * become durable, counts each (call, kind of path), and ends or stops the process right before or
 * right after the n-th of one of them. Environment:
 *
 *   SLUICE_CRASH_FOLDER  the folder; everything else is passed through
 *   SLUICE_CRASH_COUNTS  a file of `struct row`s, shared by all runs, which the shim adds to;
 *                        behind them how far the process has read (consumed.c), and a plan for the
 *                        process that runs already
 *   SLUICE_CRASH_AT      "CALL KIND before|after N kill|power|stop"; unset: only count
 *   SLUICE_CRASH_SEED    of what a power cut takes away
 *   SLUICE_CRASH_LIE     "replace:KIND": put-if-absent replaces; "sync:KIND": fsync does nothing,
 *                        on files or folders of that kind. To see that the tests find out.
 */
#include "interpose.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum action { ACTION_NONE, ACTION_KILL, ACTION_POWER, ACTION_STOP };

/* One (call, kind) in the shared file; tests/crash/points.py reads it. */
struct row {
    char name[48]; /* "CALL KIND", empty until it is reached */
    atomic_uint_fast64_t reached;
    atomic_uint_fast64_t fired[2][3]; /* by side, then kill, power, stop */
};

static const char *const call_names[CALLS] = {
#define X(name) #name,
    CALL_LIST(X)
#undef X
};

static struct {
    int (*open)(const char *, int, ...);
    int (*mkostemp)(char *, int);
    int (*close)(int);
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    int (*fsync)(int);
    int (*fdatasync)(int);
    int (*link)(const char *, const char *);
    int (*rename)(const char *, const char *);
    int (*renameat2)(int, const char *, int, const char *, unsigned);
    int (*unlink)(const char *);
    int (*unlinkat)(int, const char *, int);
    int (*mkdir)(const char *, mode_t);
} real;

atomic_int_fast64_t *consumed_next;

static char root[PATH_MAX];
static struct row *rows;
static enum kind lie_replace = KIND_NONE, lie_sync = KIND_NONE;
static struct {
    pthread_mutex_t lock;
    char name[64];
    enum side side;
    enum action action;
    long n;
    long seen;
    unsigned seed;
    uint64_t order; /* the one that it comes from */
} plan = {.lock = PTHREAD_MUTEX_INITIALIZER};
/* In the shared file, behind the rest: a plan for the process that runs, with a number that the
 * harness raises once the text is there. */
static struct order {
    atomic_uint_fast64_t number;
    char text[88];
} * order;
/* Held for reading around each call that changes something, for writing by the power cut. */
static pthread_rwlock_t going_on = PTHREAD_RWLOCK_INITIALIZER;

static void map_rows(const char *path) {
    int fd = real.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    size_t rows_bytes = sizeof(struct row) * CALLS * KINDS;
    size_t consumed_bytes = CONSUMED_PARTITIONS * sizeof(*consumed_next);
    size_t bytes = rows_bytes + consumed_bytes + sizeof(*order);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0) {
        _exit(98);
    }
    rows = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    real.close(fd);
    if (rows == MAP_FAILED) {
        _exit(98);
    }
    consumed_next = (atomic_int_fast64_t *)((char *)rows + rows_bytes);
    order = (struct order *)((char *)rows + rows_bytes + consumed_bytes);
    plan.order = atomic_load(&order->number); /* not for us */
}

static void parse_plan(const char *text) {
    char call[32], kind[32], side[8], action[8];
    if (sscanf(text, "%31s %31s %7s %ld %7s", call, kind, side, &plan.n, action) != 5) {
        _exit(98);
    }
    snprintf(plan.name, sizeof(plan.name), "%s %s", call, kind);
    plan.side = strcmp(side, "before") == 0 ? BEFORE : AFTER;
    plan.action = strcmp(action, "kill") == 0    ? ACTION_KILL
                  : strcmp(action, "power") == 0 ? ACTION_POWER
                                                 : ACTION_STOP;
    plan.seen = 0;
}

static void parse_lie(const char *text) {
    char lie[16], name[32];
    if (sscanf(text, "%15[^:]:%31s", lie, name) != 2) {
        return; /* one of the program's, not of the file system's */
    }
    for (int kind = KIND_NONE + 1; kind < KINDS; kind++) {
        if (strcmp(kind_names[kind], name) == 0) {
            *(strcmp(lie, "sync") == 0 ? &lie_sync : &lie_replace) = (enum kind)kind;
        }
    }
}

/* Is this the moment? */
static bool is_due(const struct row *row, enum side side) {
    pthread_mutex_lock(&plan.lock);
    uint64_t number = atomic_load(&order->number);
    if (number != plan.order) {
        plan.order = number;
        parse_plan(order->text);
    }
    bool due = plan.action != ACTION_NONE && side == plan.side &&
               strcmp(row->name, plan.name) == 0 && ++plan.seen == plan.n;
    pthread_mutex_unlock(&plan.lock);
    return due;
}

static void start(void) {
    *(void **)&real.open = next("open");
    *(void **)&real.mkostemp = next("mkostemp");
    *(void **)&real.close = next("close");
    *(void **)&real.write = next("write");
    *(void **)&real.pwrite = next("pwrite");
    *(void **)&real.fsync = next("fsync");
    *(void **)&real.fdatasync = next("fdatasync");
    *(void **)&real.link = next("link");
    *(void **)&real.rename = next("rename");
    *(void **)&real.renameat2 = next("renameat2");
    *(void **)&real.unlink = next("unlink");
    *(void **)&real.unlinkat = next("unlinkat");
    *(void **)&real.mkdir = next("mkdir");
    const char *folder = getenv("SLUICE_CRASH_FOLDER"), *counts = getenv("SLUICE_CRASH_COUNTS");
    const char *at = getenv("SLUICE_CRASH_AT"), *lie = getenv("SLUICE_CRASH_LIE");
    const char *seed = getenv("SLUICE_CRASH_SEED");
    if (folder == NULL || counts == NULL) {
        return;
    }
    map_rows(counts);
    plan.seed = seed == NULL ? 1 : (unsigned)strtoul(seed, NULL, 10);
    if (at != NULL) {
        parse_plan(at);
    }
    if (lie != NULL) {
        parse_lie(lie);
    }
    snprintf(root, sizeof(root), "%s", folder);
}

static enum kind kind_at(const char *path, bool folder) {
    pthread_once(&once, start);
    return path == NULL ? KIND_NONE : kind_of(root, path, folder);
}

static void fire(struct row *row) {
    atomic_fetch_add(&row->fired[plan.side][plan.action - ACTION_KILL], 1);
    if (plan.action == ACTION_STOP) {
        /* to this thread: of the process another one would take it, some time later */
        pthread_kill(pthread_self(), SIGSTOP);
        return;
    }
    if (plan.action == ACTION_POWER) {
        pthread_rwlock_wrlock(&going_on);
        power_cut(plan.seed);
    }
    kill(getpid(), SIGKILL);
}

/* To be called without `going_on`. */
void pass(enum call call, enum kind kind, enum side side) {
    pthread_once(&once, start);
    if (rows == NULL) {
        return;
    }
    int code = errno;
    struct row *row = &rows[(size_t)call * KINDS + kind];
    if (side == BEFORE) {
        if (atomic_fetch_add(&row->reached, 1) == 0) {
            snprintf(row->name, sizeof(row->name), "%s %s", call_names[call], kind_names[kind]);
        }
        pthread_rwlock_rdlock(&going_on);
        pthread_rwlock_unlock(&going_on);
    }
    if (is_due(row, side)) {
        fire(row);
    }
    errno = code;
}

/* Runs `call`, an expression that sets `result`, as a point; then `done` when it succeeded. */
#define AT_POINT(which, kind, call, done)                                                          \
    do {                                                                                           \
        pass(which, kind, BEFORE);                                                                 \
        pthread_rwlock_rdlock(&going_on);                                                          \
        result = (call);                                                                           \
        if (result >= 0) {                                                                         \
            done;                                                                                  \
        }                                                                                          \
        pthread_rwlock_unlock(&going_on);                                                          \
        pass(which, kind, AFTER);                                                                  \
    } while (0)

static void remember(int fd, const char *path, int flags, enum kind kind) {
    if (fd < MAX_FD) {
        atomic_store(&fd_kinds[fd], (unsigned char)kind);
        slow_opened(fd, path);
    }
    if ((flags & O_CREAT) != 0) {
        power_made(fd, path);
    }
}

static int open_here(const char *path, int flags, mode_t mode) {
    enum kind kind = kind_at(path, (flags & O_DIRECTORY) != 0);
    bool writes = (flags & (O_CREAT | O_WRONLY | O_RDWR)) != 0;
    int result;
    if (kind == KIND_NONE || (!writes && (flags & O_DIRECTORY) == 0)) {
        return real.open(path, flags, mode);
    }
    if ((flags & O_CREAT) != 0) {
        AT_POINT(CALL_create, kind, real.open(path, flags, mode),
                 remember(result, path, flags, kind));
        return result;
    }
    result = real.open(path, flags, mode);
    if (result >= 0) {
        remember(result, path, flags, kind);
    }
    return result;
}

INTERPOSED int mkostemp(char *path, int flags) {
    enum kind kind = kind_at(path, false);
    int result;
    if (kind == KIND_NONE) {
        return real.mkostemp(path, flags);
    }
    AT_POINT(CALL_create, kind, real.mkostemp(path, flags),
             remember(result, path, flags | O_CREAT, kind));
    return result;
}

INTERPOSED int close(int fd) {
    if (kind_of_fd(fd) != KIND_NONE) {
        atomic_store(&fd_kinds[fd], KIND_NONE);
        power_closed(fd);
    }
    return real.close(fd);
}

INTERPOSED ssize_t write(int fd, const void *data, size_t bytes) {
    enum kind kind = kind_of_fd(fd);
    ssize_t result;
    if (kind == KIND_NONE) {
        return real.write(fd, data, bytes);
    }
    AT_POINT(CALL_write, kind, real.write(fd, data, bytes), (void)0);
    return result;
}

static ssize_t write_here(int fd, const void *data, size_t bytes, off_t offset) {
    enum kind kind = kind_of_fd(fd);
    ssize_t result;
    if (kind == KIND_NONE) {
        return real.pwrite(fd, data, bytes, offset);
    }
    AT_POINT(CALL_write, kind, real.pwrite(fd, data, bytes, offset), (void)0);
    return result;
}

static bool is_folder(enum kind kind) {
    return kind == KIND_TABLE_FOLDER || kind == KIND_LOG_FOLDER || kind == KIND_STATE_FOLDER ||
           kind == KIND_TOP_FOLDER;
}

static void note_folder_synced(int fd) {
    char link_path[40], path[PATH_MAX];
    snprintf(link_path, sizeof(link_path), "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link_path, path, sizeof(path) - 1);
    if (bytes > 0) {
        path[bytes] = 0;
        power_folder_synced(path);
    }
}

static int sync_with(int (*sync)(int), int fd, enum kind kind) {
    bool lies = kind == lie_sync;
    slow_sync(fd);
    int result = lies ? 0 : sync(fd);
    if (result == 0 && !lies) {
        is_folder(kind) ? note_folder_synced(fd) : power_synced(fd);
    }
    return result;
}

INTERPOSED int fsync(int fd) {
    enum kind kind = kind_of_fd(fd);
    int result;
    if (kind == KIND_NONE) {
        return real.fsync(fd);
    }
    AT_POINT(CALL_fsync, kind, sync_with(real.fsync, fd, kind), (void)0);
    return result;
}

INTERPOSED int fdatasync(int fd) {
    enum kind kind = kind_of_fd(fd);
    int result;
    if (kind == KIND_NONE) {
        return real.fdatasync(fd);
    }
    AT_POINT(CALL_fdatasync, kind, sync_with(real.fdatasync, fd, kind), (void)0);
    return result;
}

INTERPOSED int link(const char *from, const char *to) {
    enum kind kind = kind_at(to, false);
    int result;
    if (kind == KIND_NONE) {
        return real.link(from, to);
    }
    AT_POINT(CALL_link, kind,
             kind == lie_replace ? real.rename(from, to) : real.link(from, to),
             power_named(from, to));
    return result;
}

INTERPOSED int rename(const char *from, const char *to) {
    enum kind kind = kind_at(to, false);
    int result;
    if (kind == KIND_NONE) {
        return real.rename(from, to);
    }
    /* what was replaced does not come back by a power cut, and a topology there has to be */
    AT_POINT(CALL_rename, kind, real.rename(from, to),
             kind == KIND_TOPOLOGY ? (void)0 : power_named(from, to));
    return result;
}

INTERPOSED int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
    enum kind kind = kind_at(to, false);
    int result;
    if (kind == KIND_NONE) {
        return real.renameat2(from_fd, from, to_fd, to, flags);
    }
    unsigned taken = kind == lie_replace ? flags & ~(unsigned)RENAME_NOREPLACE : flags;
    AT_POINT(CALL_renameat2, kind, real.renameat2(from_fd, from, to_fd, to, taken),
             power_named(from, to));
    if (kind == KIND_LOG_ENTRY) {
        slow_entry_written();
    }
    return result;
}

INTERPOSED int unlink(const char *path) {
    enum kind kind = kind_at(path, false);
    int result;
    if (kind == KIND_NONE) {
        return real.unlink(path);
    }
    AT_POINT(CALL_unlink, kind, real.unlink(path), power_removed(path));
    return result;
}

/* What a listing removes, relative to a folder: leftovers of killed processes. */
INTERPOSED int unlinkat(int folder_fd, const char *name, int flags) {
    char link_path[40], path[PATH_MAX + 256];
    snprintf(link_path, sizeof(link_path), "/proc/self/fd/%d", folder_fd);
    ssize_t bytes = readlink(link_path, path, PATH_MAX - 1);
    path[bytes > 0 ? bytes : 0] = 0;
    snprintf(path + strlen(path), 256, "/%s", name);
    enum kind kind = kind_at(path, false);
    int result;
    if (kind == KIND_NONE) {
        return real.unlinkat(folder_fd, name, flags);
    }
    AT_POINT(CALL_unlinkat, kind, real.unlinkat(folder_fd, name, flags), power_removed(path));
    return result;
}

INTERPOSED int mkdir(const char *path, mode_t mode) {
    enum kind kind = kind_at(path, true);
    int result;
    if (kind == KIND_NONE) {
        return real.mkdir(path, mode);
    }
    AT_POINT(CALL_mkdir, kind, real.mkdir(path, mode), (void)0);
    return result;
}
