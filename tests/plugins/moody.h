/*
 * What moody and moody-source share: failing at one of the calls, in one of the ways, so many times
 * in the process, however often the node is opened anew.
 */
#ifndef TESTS_PLUGINS_MOODY_H
#define TESTS_PLUGINS_MOODY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base.h"
#include "sluice/plugin.h"

/* AFTER: of a commit that has acted. */
#define MOMENTS(X)                                                                                 \
    X(NEVER, "never")                                                                              \
    X(OPEN, "open")                                                                                \
    X(START, "start")                                                                              \
    X(RECOVER, "recover")                                                                          \
    X(RESOLVE, "resolve")                                                                          \
    X(RESUME, "resume")                                                                            \
    X(TASK, "task")                                                                                \
    X(ATTACH, "attach")                                                                            \
    X(POLL, "poll")                                                                                \
    X(PROCESS, "process")                                                                          \
    X(FLUSH, "flush")                                                                              \
    X(COMMIT, "commit")                                                                            \
    X(AFTER, "after")                                                                              \
    X(ACKNOWLEDGE, "acknowledge")                                                                  \
    X(CLOSE, "close")

/* HANG: the call never returns. SILENT: it returns, and what was asked is never answered. */
#define MOODS(X)                                                                                   \
    X(RETRIABLE, "retriable")                                                                      \
    X(RECORD, "record")                                                                            \
    X(CONFIG, "config")                                                                            \
    X(FATAL, "fatal")                                                                              \
    X(CRASH, "crash")                                                                              \
    X(HANG, "hang")                                                                                \
    X(SILENT, "silent")

#define MOODY_CONSTANT(constant, name) constant,
#define MOODY_NAME(constant, name) name,
enum moment { MOMENTS(MOODY_CONSTANT) };
enum mood_kind { MOODS(MOODY_CONSTANT) };
static const char *const moments[] = {MOMENTS(MOODY_NAME) NULL};
static const char *const moods[] = {MOODS(MOODY_NAME) NULL};

struct mood {
    int32_t at;
    int32_t how;
    int64_t passing;
    int64_t times;
};

static atomic_int_least64_t moody_calls;

/* Whether the failure is due at this call. */
static bool mood_strikes(const struct mood *mood, int32_t moment) {
    int64_t call = mood->at == moment ? atomic_fetch_add(&moody_calls, 1) - mood->passing : -1;
    return call >= 0 && call < mood->times;
}

/* What it fails with; a crash, or a call that hangs, does not return. */
static sl_error *mood_error(const struct mood *mood) {
    static const sl_error_class classes[] = {[RETRIABLE] = SL_ERROR_RETRIABLE,
                                             [RECORD] = SL_ERROR_RECORD,
                                             [CONFIG] = SL_ERROR_CONFIG,
                                             [FATAL] = SL_ERROR_FATAL};
    if (mood->how == CRASH) {
        abort();
    }
    while (mood->how == HANG) {
        (void)pause();
    }
    return mood->how == SILENT ? NULL : sl_error_new(classes[mood->how], "in no mood");
}

/* Of a config struct with a `struct mood mood`. */
#define MOOD_OPTIONS(config)                                                                       \
    {.name = "at",                                                                                 \
     .type = SL_OPTION_ENUM,                                                                       \
     .flags = SL_OPTION_TUNING,                                                                    \
     .offset = offsetof(config, mood.at),                                                          \
     .default_text = "never",                                                                      \
     .enum_names = moments,                                                                        \
     .doc = "the call that fails; after: of a commit that has acted"},                             \
        {.name = "how",                                                                            \
         .type = SL_OPTION_ENUM,                                                                   \
         .flags = SL_OPTION_TUNING,                                                                \
         .offset = offsetof(config, mood.how),                                                     \
         .default_text = "fatal",                                                                  \
         .enum_names = moods,                                                                      \
         .doc = "class of its error, or a crash, or it never returns, or never answers"},          \
        {.name = "passing",                                                                        \
         .type = SL_OPTION_INTEGER,                                                                \
         .flags = SL_OPTION_RANGE | SL_OPTION_TUNING,                                              \
         .offset = offsetof(config, mood.passing),                                                 \
         .default_text = "0",                                                                      \
         .max = 1e9,                                                                               \
         .doc = "how many such calls succeed before"},                                             \
    {                                                                                              \
        .name = "times", .type = SL_OPTION_INTEGER, .flags = SL_OPTION_RANGE | SL_OPTION_TUNING,   \
        .offset = offsetof(config, mood.times), .default_text = "1", .min = 1, .max = 1e9,         \
        .doc = "how often it fails"                                                                \
    }

#endif /* TESTS_PLUGINS_MOODY_H */
