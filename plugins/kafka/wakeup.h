/*
 * Event descriptors, by which librdkafka's threads and other loops wake a loop.
 */
#ifndef KAFKA_WAKEUP_H
#define KAFKA_WAKEUP_H

#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* -1 when there are no descriptors left. */
static inline int wakeup_new(void) {
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

/* Any thread. A descriptor that is full is readable already. */
static inline void wakeup_signal(int fd) {
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof(one));
    (void)written;
}

static inline void wakeup_clear(int fd) {
    uint64_t count = 0;
    ssize_t got = read(fd, &count, sizeof(count));
    (void)got;
}

#endif /* KAFKA_WAKEUP_H */
