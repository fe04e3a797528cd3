/*
 * C11 threads on top of POSIX threads, for ThreadSanitizer builds only: librdkafka starts its
 * threads with thrd_create, which ThreadSanitizer does not see, so that it crashes in them. Linked
 * into a program, these definitions come before libc's. glibc's C11 types are its POSIX types.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

#define SHOWN __attribute__((visibility("default")))

/* librdkafka itself is not built with the sanitizer. */
SHOWN const char *__tsan_default_suppressions(void);
SHOWN const char *__tsan_default_suppressions(void) {
    return "race:librdkafka.so\n";
}

struct start {
    thrd_start_t run;
    void *arg;
};

static void *run(void *arg) {
    struct start start = *(struct start *)arg;
    free(arg);
    return (void *)(intptr_t)start.run(start.arg);
}

static int answer(int code) {
    return code == 0 ? thrd_success : code == EBUSY ? thrd_busy : thrd_error;
}

SHOWN int thrd_create(thrd_t *thread, thrd_start_t start, void *arg) {
    struct start *made = malloc(sizeof(*made));
    if (made == NULL) {
        return thrd_nomem;
    }
    *made = (struct start){start, arg};
    int code = pthread_create((pthread_t *)thread, NULL, run, made);
    if (code != 0) {
        free(made);
    }
    return answer(code);
}

SHOWN int thrd_join(thrd_t thread, int *result) {
    void *value = NULL;
    int code = pthread_join((pthread_t)thread, &value);
    if (result != NULL) {
        *result = (int)(intptr_t)value;
    }
    return answer(code);
}

SHOWN int thrd_detach(thrd_t thread) {
    return answer(pthread_detach((pthread_t)thread));
}

SHOWN int mtx_init(mtx_t *mutex, int type) {
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    if ((type & mtx_recursive) != 0) {
        pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    }
    int code = pthread_mutex_init((pthread_mutex_t *)mutex, &kind);
    pthread_mutexattr_destroy(&kind);
    return answer(code);
}

SHOWN int mtx_lock(mtx_t *mutex) {
    return answer(pthread_mutex_lock((pthread_mutex_t *)mutex));
}

SHOWN int mtx_trylock(mtx_t *mutex) {
    return answer(pthread_mutex_trylock((pthread_mutex_t *)mutex));
}

SHOWN int mtx_unlock(mtx_t *mutex) {
    return answer(pthread_mutex_unlock((pthread_mutex_t *)mutex));
}

SHOWN void mtx_destroy(mtx_t *mutex) {
    pthread_mutex_destroy((pthread_mutex_t *)mutex);
}

SHOWN int cnd_init(cnd_t *condition) {
    return answer(pthread_cond_init((pthread_cond_t *)condition, NULL));
}

SHOWN int cnd_signal(cnd_t *condition) {
    return answer(pthread_cond_signal((pthread_cond_t *)condition));
}

SHOWN int cnd_broadcast(cnd_t *condition) {
    return answer(pthread_cond_broadcast((pthread_cond_t *)condition));
}

SHOWN int cnd_wait(cnd_t *condition, mtx_t *mutex) {
    return answer(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

SHOWN int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *limit) {
    int code = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, limit);
    return code == ETIMEDOUT ? thrd_timedout : answer(code);
}

SHOWN void cnd_destroy(cnd_t *condition) {
    pthread_cond_destroy((pthread_cond_t *)condition);
}
