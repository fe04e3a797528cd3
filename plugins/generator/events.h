/*
 * Retail events as a pure function: the event at (seed, partition, offset) is always the same, so
 * that a source of them can be read again from any offset. Knows nothing of the SDK but errors.
 */
#ifndef GENERATOR_EVENTS_H
#define GENERATOR_EVENTS_H

#include <stddef.h>
#include <stdint.h>

/* Faults that make an event invalid.  X(constant, name in metrics and truth) */
#define EVENT_FAULT_MAP(X)                                                                         \
    X(FAULT_TRUNCATED, "truncated")                                                                \
    X(FAULT_MISSING_EVENT_ID, "missing_event_id")                                                  \
    X(FAULT_BAD_ENUM, "bad_enum")                                                                  \
    X(FAULT_NEGATIVE_AMOUNT, "negative_amount")                                                    \
    X(FAULT_BAD_TS, "bad_ts")                                                                      \
    X(FAULT_WRONG_TYPE, "wrong_type")                                                              \
    X(FAULT_GARBAGE, "garbage")

enum event_fault {
#define EVENT_FAULT_ENUM(constant, name) constant,
    EVENT_FAULT_MAP(EVENT_FAULT_ENUM)
#undef EVENT_FAULT_ENUM
        FAULTS,
    FAULT_NONE = FAULTS
};
extern const char *const event_fault_names[FAULTS];

enum { EVENT_TYPES = 5 };
extern const char *const event_type_names[EVENT_TYPES];

/* What an event's offset is compared with; made once from the options. */
struct event_plan {
    uint64_t seed;
    int64_t partitions;
    int64_t start_ms;     /* arrival of the first event, Unix time */
    int64_t event_rate;   /* events per second of event time, all partitions together */
    int64_t late_by_ms;   /* late events are less than this behind their arrival */
    int64_t span_offsets; /* a duplicate copies an event at most so many offsets back */
    uint32_t invalid;     /* shares of 2^32 */
    uint32_t duplicates;
    uint32_t late;
    uint32_t too_late;
};

enum event_lateness { LATENESS_NONE, LATENESS_LATE, LATENESS_TOO_LATE };

/* What is true of one event before any byte of it is written. */
struct event_facts {
    int64_t origin; /* the offset whose content it has; its own unless it is a duplicate */
    int64_t arrival_ms;
    int64_t event_ms;
    uint32_t device;
    uint32_t customer;
    uint32_t cents;
    uint32_t type; /* index of event_type_names */
    enum event_fault fault;
    enum event_lateness lateness;
    int is_duplicate;
};

/* The longest event that event_write makes, faults included, and the longest key. */
enum { EVENT_MAX_BYTES = 448, EVENT_KEY_MAX_BYTES = 40 };

/* The date text of the last day that was formatted; zero-initialise, one a thread. */
struct event_calendar {
    int64_t day;
    char date[12]; /* "2026-11-22T", empty at first */
};

void event_look(const struct event_plan *plan, int32_t partition, int64_t offset,
                struct event_facts *facts);

/* Writes the event's bytes (no terminator) to `out`, which has room for EVENT_MAX_BYTES; returns
 * how many. `facts` are event_look's. */
size_t event_write(const struct event_plan *plan, int32_t partition,
                   const struct event_facts *facts, struct event_calendar *calendar, char *out);

enum event_key { KEY_DEVICE_ID, KEY_CUSTOMER_ID, KEY_EVENT_ID, KEY_NONE };

/* Writes the Kafka key; `out` has room for EVENT_KEY_MAX_BYTES. */
size_t event_write_key(const struct event_plan *plan, int32_t partition,
                       const struct event_facts *facts, enum event_key kind, char *out);

#endif /* GENERATOR_EVENTS_H */
