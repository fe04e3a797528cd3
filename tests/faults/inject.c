/*
 * The fault tests' shim, for LD_PRELOAD: interposes every call that lib/store makes of the file
 * system, below one folder. It lists them, each as "CALL KIND" (kinds as the crash tests name
 * them), and makes chosen ones fail. Environment:
 *
 *   SLUICE_FAULT_FOLDER  the folder; everything else is passed through
 *
 *   SLUICE_FAULT_LIST    a file that gets a line for each call, "!" in front when it was made to
 *                        fail
 *
 *   SLUICE_FAULT_AT      "CALL KIND N COUNT MODE ERRNO" and more of them behind ';': from the N-th
 *                        such call on COUNT fail (0: all). CALL and KIND may be "*". MODE: "before"
 *                        does not act; "after" acts, and says that it failed; "short" does half
 *
 *   SLUICE_FAULT_CLOCK   "SECONDS PERIOD_MS": the wall clock jumps ahead by so much, back, behind
 *                        by so much, and back, after each period
 */
#include "../crash/interpose.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define MAX_FAULTS 16

enum mode { PASS, REFUSE, ACT_AND_REFUSE, HALF };

struct fault {
    char call[24];
    char kind[32];
    long from;
    long count; /* 0: all */
    enum mode mode;
    int code;
    atomic_long seen;
};

static struct {
    int (*open)(const char *, int, ...);
    int (*close)(int);
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    ssize_t (*pread)(int, void *, size_t, off_t);
    int (*fsync)(int);
    int (*fdatasync)(int);
    int (*link)(const char *, const char *);
    int (*rename)(const char *, const char *);
    int (*renameat2)(int, const char *, int, const char *, unsigned);
    int (*unlink)(const char *);
    int (*unlinkat)(int, const char *, int);
    int (*mkdir)(const char *, mode_t);
    int (*stat)(const char *, struct stat *);
    int (*fstat)(int, struct stat *);
    int (*fstatat)(int, const char *, struct stat *, int);
    DIR *(*opendir)(const char *);
    struct dirent *(*readdir)(DIR *);
    int (*closedir)(DIR *);
    int (*clock_gettime)(clockid_t, struct timespec *);
    int (*gettimeofday)(struct timeval *, void *);
} real;
static char root[512];
static int list_fd = -1;
static struct fault faults[MAX_FAULTS];
static size_t n_faults;
static int64_t jump_s, jump_period_ms;

static void parse_fault(const char *text) {
    struct fault *fault = &faults[n_faults++];
    char mode[8];
    if (n_faults > MAX_FAULTS || sscanf(text, "%23s %31s %ld %ld %7s %d", fault->call, fault->kind,
                                        &fault->from, &fault->count, mode, &fault->code) != 6) {
        _exit(98);
    }
    fault->mode = strcmp(mode, "before") == 0  ? REFUSE
                  : strcmp(mode, "after") == 0 ? ACT_AND_REFUSE
                                               : HALF;
}

static void look_up(void) {
    *(void **)&real.open = next("open");
    *(void **)&real.close = next("close");
    *(void **)&real.write = next("write");
    *(void **)&real.pwrite = next("pwrite");
    *(void **)&real.pread = next("pread");
    *(void **)&real.fsync = next("fsync");
    *(void **)&real.fdatasync = next("fdatasync");
    *(void **)&real.link = next("link");
    *(void **)&real.rename = next("rename");
    *(void **)&real.renameat2 = next("renameat2");
    *(void **)&real.unlink = next("unlink");
    *(void **)&real.unlinkat = next("unlinkat");
    *(void **)&real.mkdir = next("mkdir");
    *(void **)&real.stat = next("stat");
    *(void **)&real.fstat = next("fstat");
    *(void **)&real.fstatat = next("fstatat");
    *(void **)&real.opendir = next("opendir");
    *(void **)&real.readdir = next("readdir");
    *(void **)&real.closedir = next("closedir");
    *(void **)&real.clock_gettime = next("clock_gettime");
    *(void **)&real.gettimeofday = next("gettimeofday");
}

static void start(void) {
    look_up();
    const char *clock = getenv("SLUICE_FAULT_CLOCK");
    if (clock != NULL && sscanf(clock, "%ld %ld", &jump_s, &jump_period_ms) != 2) {
        _exit(98);
    }
    const char *folder = getenv("SLUICE_FAULT_FOLDER"), *list = getenv("SLUICE_FAULT_LIST");
    if (folder == NULL || list == NULL) {
        return;
    }
    list_fd = real.open(list, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    const char *at = getenv("SLUICE_FAULT_AT");
    char *copy = at == NULL ? NULL : strdup(at), *rest = copy;
    for (char *part; rest != NULL && (part = strsep(&rest, ";")) != NULL;) {
        parse_fault(part);
    }
    free(copy);
    snprintf(root, sizeof(root), "%s", folder);
}

static enum kind kind_at(const char *path, bool folder) {
    pthread_once(&once, start);
    return path == NULL || path[0] != '/' ? KIND_NONE : kind_of(root, path, folder);
}

static bool is(const char *pattern, const char *name) {
    return strcmp(pattern, "*") == 0 || strcmp(pattern, name) == 0;
}

/* Lists a call, and says what is to become of it; errno is what it is to answer. */
static enum mode meet(const char *call, enum kind kind) {
    if (kind == KIND_NONE) {
        return PASS;
    }
    enum mode mode = PASS;
    int code = 0;
    for (size_t i = 0; i < n_faults; i++) {
        struct fault *fault = &faults[i];
        if (!is(fault->call, call) || !is(fault->kind, kind_names[kind])) {
            continue;
        }
        long n = atomic_fetch_add(&fault->seen, 1) + 1;
        if (n >= fault->from && (fault->count == 0 || n < fault->from + fault->count)) {
            mode = fault->mode;
            code = fault->code;
        }
    }
    char line[80];
    int bytes =
        snprintf(line, sizeof(line), "%s%s %s\n", mode == PASS ? "" : "!", call, kind_names[kind]);
    (void)!real.write(list_fd, line, (size_t)bytes);
    errno = code;
    return mode;
}

/* What the caller gets of a call that was made; errno of a refusal is in `code`. */
static int answer(enum mode mode, int code, int result) {
    if (mode == ACT_AND_REFUSE && result >= 0) {
        errno = code;
        return -1;
    }
    return result;
}

/* Runs a call that answers 0 or -1. */
#define MAKE(name, kind, call)                                                                     \
    do {                                                                                           \
        enum mode mode_ = meet(name, kind);                                                        \
        int code_ = errno;                                                                         \
        return mode_ == REFUSE ? -1 : answer(mode_, code_, (call));                                \
    } while (0)

/* ---- files ---- */

static int open_here(const char *path, int flags, mode_t mode) {
    enum kind kind = kind_at(path, (flags & O_DIRECTORY) != 0);
    const char *call = (flags & O_CREAT) != 0       ? "create"
                       : (flags & O_DIRECTORY) != 0 ? "open-folder"
                                                    : "open";
    enum mode todo = meet(call, kind);
    int code = errno;
    if (todo == REFUSE) {
        return -1;
    }
    int fd = real.open(path, flags, mode);
    if (fd >= 0 && todo == ACT_AND_REFUSE) {
        real.close(fd);
        errno = code;
        return -1;
    }
    if (fd >= 0 && fd < MAX_FD) {
        atomic_store(&fd_kinds[fd], (unsigned char)kind);
    }
    return fd;
}

/* close(2): whatever it answers, the descriptor is gone. */
INTERPOSED int close(int fd) {
    enum kind kind = kind_of_fd(fd);
    if (kind == KIND_NONE) {
        return real.close(fd);
    }
    enum mode mode = meet("close", kind);
    int code = errno;
    atomic_store(&fd_kinds[fd], KIND_NONE);
    return answer(mode == PASS ? PASS : ACT_AND_REFUSE, code, real.close(fd));
}

static ssize_t write_here(int fd, const void *data, size_t bytes, off_t offset) {
    enum mode mode = meet("write", kind_of_fd(fd));
    int code = errno;
    if (mode == REFUSE) {
        return -1;
    }
    size_t part = mode == HALF && bytes > 1 ? bytes / 2 : bytes;
    ssize_t written = real.pwrite(fd, data, part, offset);
    if (mode == ACT_AND_REFUSE && written >= 0) {
        errno = code;
        return -1;
    }
    return written;
}

static ssize_t read_at(int fd, void *data, size_t bytes, off_t offset) {
    enum mode mode = meet("pread", kind_of_fd(fd));
    if (mode == REFUSE || mode == ACT_AND_REFUSE) {
        return -1;
    }
    return real.pread(fd, data, mode == HALF && bytes > 1 ? bytes / 2 : bytes, offset);
}

INTERPOSED ssize_t pread(int fd, void *data, size_t bytes, off_t offset) {
    return read_at(fd, data, bytes, offset);
}

INTERPOSED ssize_t pread64(int fd, void *data, size_t bytes, off_t offset) {
    return read_at(fd, data, bytes, offset);
}

INTERPOSED int fsync(int fd) {
    MAKE("fsync", kind_of_fd(fd), real.fsync(fd));
}

INTERPOSED int fdatasync(int fd) {
    MAKE("fdatasync", kind_of_fd(fd), real.fdatasync(fd));
}

/* ---- names ---- */

INTERPOSED int link(const char *from, const char *to) {
    MAKE("link", kind_at(to, false), real.link(from, to));
}

INTERPOSED int rename(const char *from, const char *to) {
    MAKE("rename", kind_at(to, false), real.rename(from, to));
}

INTERPOSED int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
    MAKE("renameat2", kind_at(to, false), real.renameat2(from_fd, from, to_fd, to, flags));
}

INTERPOSED int unlink(const char *path) {
    MAKE("unlink", kind_at(path, false), real.unlink(path));
}

INTERPOSED int unlinkat(int folder_fd, const char *name, int flags) {
    MAKE("unlinkat", kind_of_fd(folder_fd), real.unlinkat(folder_fd, name, flags));
}

INTERPOSED int mkdir(const char *path, mode_t mode) {
    MAKE("mkdir", kind_at(path, true), real.mkdir(path, mode));
}

/* ---- looking ---- */

INTERPOSED int stat(const char *path, struct stat *out) {
    MAKE("stat", kind_at(path, false), real.stat(path, out));
}

INTERPOSED int fstat(int fd, struct stat *out) {
    MAKE("fstat", kind_of_fd(fd), real.fstat(fd, out));
}

INTERPOSED int fstatat(int folder_fd, const char *name, struct stat *out, int flags) {
    MAKE("fstatat", kind_of_fd(folder_fd), real.fstatat(folder_fd, name, out, flags));
}

INTERPOSED DIR *opendir(const char *path) {
    enum kind kind = kind_at(path, true);
    if (meet("opendir", kind) != PASS) {
        return NULL;
    }
    DIR *dir = real.opendir(path);
    if (dir != NULL && dirfd(dir) < MAX_FD) {
        atomic_store(&fd_kinds[dirfd(dir)], (unsigned char)kind);
    }
    return dir;
}

INTERPOSED struct dirent *readdir(DIR *dir) {
    return meet("readdir", kind_of_fd(dirfd(dir))) == PASS ? real.readdir(dir) : NULL;
}

INTERPOSED int closedir(DIR *dir) {
    if (kind_of_fd(dirfd(dir)) != KIND_NONE) {
        atomic_store(&fd_kinds[dirfd(dir)], KIND_NONE);
    }
    return real.closedir(dir);
}

/* ---- the wall clock ---- */

static int64_t jumped_s(void) {
    static const int64_t SIGNS[] = {1, 0, -1, 0};
    struct timespec now;
    if (jump_s == 0 || real.clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        return 0;
    }
    int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    return SIGNS[(ms / jump_period_ms) % 4] * jump_s;
}

INTERPOSED int clock_gettime(clockid_t clock, struct timespec *out) {
    pthread_once(&once, start);
    int result = real.clock_gettime(clock, out);
    if (result == 0 && clock == CLOCK_REALTIME) {
        out->tv_sec += jumped_s();
    }
    return result;
}

INTERPOSED int gettimeofday(struct timeval *out, void *zone) {
    pthread_once(&once, start);
    int result = real.gettimeofday(out, zone);
    if (result == 0) {
        out->tv_sec += jumped_s();
    }
    return result;
}

INTERPOSED time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}
