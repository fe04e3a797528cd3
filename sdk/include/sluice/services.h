/*
 * What the host offers a plugin: one const table, reached through the context of `open`.
 *
 * An sl_object is the host's side of one node or one task. Every object lives on one loop: a task
 * on its lane, a node on the control loop, or on a thread of its own when its role is
 * SL_ROLE_BLOCKING. Callbacks of an object run on its loop, one at a time. A function may be called
 * only from there unless it says "any thread".
 */
#ifndef SLUICE_SERVICES_H
#define SLUICE_SERVICES_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/batch.h"
#include "sluice/error.h"
#include "sluice/http.h"
#include "sluice/store.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SL_SDK_PRINTF(format_index, first_arg)                                                     \
    __attribute__((format(printf, format_index, first_arg)))
#else
#define SL_SDK_PRINTF(format_index, first_arg)
#endif

typedef struct sl_object sl_object;
typedef struct sl_request sl_request;
typedef struct sl_timer sl_timer;
typedef struct sl_watch sl_watch;
typedef struct sl_metric sl_metric;

typedef enum sl_log_level { SL_LOG_ERROR, SL_LOG_WARN, SL_LOG_INFO, SL_LOG_DEBUG } sl_log_level;

typedef enum sl_metric_kind { SL_METRIC_COUNTER, SL_METRIC_GAUGE } sl_metric_kind;

/* Columns on their way out of a plugin. */
typedef struct sl_emission {
    uint32_t struct_bytes;
    uint32_t flags; /* SL_BATCH_*; SL_BATCH_UPDATES goes on from the batch at hand by itself */
    const sl_stream *stream;
    int64_t first_offset; /* covers [first_offset, next_offset) */
    int64_t next_offset;
    int64_t max_event_time_us; /* SL_EVENT_TIME_NONE */
    /*
     * A "+s" array of the output's schema. Moved: whatever emit answers, it is released or owned by
     * the host afterwards, and columns->release is NULL. NULL: no rows.
     */
    struct ArrowArray *columns;
} sl_emission;

/* Names a stream that a source offers. */
typedef struct sl_stream_name {
    const char *topic;
    int32_t partition;
} sl_stream_name;

/*
 * A source that knows how many rows a run will read keeps them in a gauge of this name: what is
 * left of each stream is added when it is resumed. The progress bar needs it.
 */
#define SL_METRIC_EXPECTED_ROWS "source_expected_rows"

/* HTTP, by the host's connections, limits and retries. */
typedef struct sl_http_service {
    uint32_t struct_bytes;
    /* Errors: CONFIG (what is missing, and where it can come from), NO_MEMORY. */
    sl_error *(*auth_open)(sl_object *self, const sl_credential *credential, sl_http_auth **out);
    /* No request may use it any more. NULL is allowed. */
    void (*auth_close)(sl_object *self, sl_http_auth *auth);
    /*
     * Sends; done(arg, response, error) is called once on the object's loop, unless an error is
     * returned: either a response, borrowed for the call, or an error (moved): RETRIABLE (no answer
     * within the time), FATAL. Everything but body and auth is copied. The object stays open until
     * then.
     */
    sl_error *(*send)(sl_object *self, const sl_http_request *request,
                      void (*done)(void *arg, const sl_http_response *response, sl_error *error),
                      void *arg);
    /* The value of a header (name in lower case), *bytes long; NULL when there is none. Borrowed.
     */
    const char *(*header)(const sl_http_response *response, const char *name, size_t *bytes);
} sl_http_service;

typedef struct sl_services {
    uint32_t struct_bytes;

    /* A new error with a copy of `message`. Any thread. */
    sl_error *(*error_new)(sl_error_class error_class, const char *message);

    /*
     * Ends a request that an operation was called with: once, with NULL or an error (moved). May be
     * called inside the operation. What the operation's out-pointers receive must be there before.
     * Any thread.
     */
    void (*done)(sl_request *request, sl_error *error);

    /* ---- batches ---- */

    void (*retain)(const sl_batch *batch);  /* any thread */
    void (*release)(const sl_batch *batch); /* any thread */

    /*
     * Sends columns down output `output`. From a task, inside poll or process or later on its lane:
     * `stream` must be attached to it. From the node of a stateful transform (its own streams
     * only): any time after `start`. An error means that the columns do not fit the output's schema
     * (FATAL), or memory is short; the node then fails.
     */
    sl_error *(*emit)(sl_object *self, uint32_t output, sl_emission *emission);
    /* Sends an input batch on as it is; its schema must equal the output's. Tasks only. */
    sl_error *(*forward)(sl_object *self, uint32_t output, const sl_batch *batch);
    /* Accounts for `rows` input rows that will leave on no output, by reason ("duplicate"). Tasks
     * of transforms. */
    void (*dropped)(sl_object *self, const sl_stream *stream, const char *reason, int64_t rows);
    /* Memory that the task holds of what it took (encoded pages, say), as a total that replaces the
       last one. The host counts it against the input's buffer; batches that are retained need not
       be included. */
    void (*hold)(sl_object *self, size_t bytes);
    /* "Not now" and "go on": while on, process is not called. Tasks. */
    void (*pause)(sl_object *self, int on);

    /* ---- sources ---- */

    /* The node now owns these streams; the host recovers each, then calls resolve (if no position
     * is stored anywhere), resume, attach. */
    void (*assign)(sl_object *node, const sl_stream_name *names, size_t n);
    /*
     * The node must give these streams up. The host stops reading, commits what was read, detaches,
     * then calls revoked(arg) on the node's loop: only then may the node let go. `lost`: somebody
     * else may have them already, so nothing of them is acknowledged any more; what was read is
     * committed all the same, unless their positions have moved. The names may be assigned again at
     * once.
     */
    void (*revoke)(sl_object *node, const sl_stream_name *names, size_t n, int lost,
                   void (*revoked)(void *arg), void *arg);
    /* The stream has data again: poll it. Coalesces. From the task's lane. */
    void (*wake)(sl_object *task, const sl_stream *stream);
    /* --until-end: the node will assign nothing more. A run ends when every source has said so and
     * every stream has ended. */
    void (*all_assigned)(sl_object *node);

    /* ---- I/O ---- */

    /* Opens a store for a URL (a LOCATION option); credentials are the host's. Does no I/O. Close
     * with store->ops->close. Any thread. */
    sl_error *(*store_open)(sl_object *self, const char *url, sl_store **out);
    /* The node's own folder of the state store; borrowed, lives as long as the node. NULL: the
     * topology names no state store. Any thread. */
    sl_store *(*state_store)(sl_object *self);
    /* Runs run(arg) on a pool thread, then done(arg) on the object's loop: both, also while
     * closing; neither where an error is returned. Errors: NO_MEMORY, FATAL. */
    sl_error *(*work)(sl_object *self, void (*run)(void *arg), void (*done)(void *arg), void *arg);
    /* Since ABI 1.1; NULL before, and while a topology is only validated. */
    const sl_http_service *http;

    /* ---- loop ---- */

    /* Calls back once after delay_ms, or each repeat_ms when that is not 0. Stop frees the timer;
       one that has fired once without repeat must be stopped, too. Errors: NO_MEMORY. */
    sl_error *(*timer_start)(sl_object *self, uint64_t delay_ms, uint64_t repeat_ms,
                             void (*fire)(void *arg), void *arg, sl_timer **out);
    void (*timer_stop)(sl_timer *timer);
    /* Calls back whenever `fd` is readable (level-triggered). The fd stays the caller's; unwatch
     * before closing it. */
    sl_error *(*watch)(sl_object *self, int fd, void (*readable)(void *arg), void *arg,
                       sl_watch **out);
    void (*unwatch)(sl_watch *watch);
    /* Runs fn(arg) on the object's loop soon; not where an error is returned. Any thread; keep the
     * object open until it has run. Errors: NO_MEMORY. */
    sl_error *(*post)(sl_object *self, void (*fn)(void *arg), void *arg);
    /* Unix time in microseconds; virtual in the test harness. Any thread. */
    int64_t (*now_us)(sl_object *self);

    /* ---- telling ---- */

    void (*log)(sl_object *self, sl_log_level level, const char *format, ...)
        SL_SDK_PRINTF(3, 4); /* any thread */
    /* A counter or gauge of this object; name by Prometheus' conventions without the sluice_ prefix
       ("files_written_total"). NULL when memory is short, which add and set allow. Lives as long as
       the object. One writer: the object's loop. */
    sl_metric *(*metric)(sl_object *self, sl_metric_kind kind, const char *name, const char *help);
    void (*metric_add)(sl_metric *metric, int64_t amount);
    void (*metric_set)(sl_metric *metric, int64_t value);
    /* The node cannot go on: it stops with this error (moved), others go on. RETRIABLE: it could if
       it were made anew, so the host closes, opens and starts it again, at first at once, then
       after ever longer pauses, until retry.timeout has passed since the first such failure. Any
       thread.
     */
    void (*fail)(sl_object *self, sl_error *error);

    /* ---- since ABI 1.1 ---- */

    /*
     * Row `row` of the batch that process is working on is at fault and goes no further. The host
     * does what errors.tolerance says. `all`: the record is counted, logged (errors.log.enable),
     * and of a transform with an output SL_REJECT_OUTPUT (whose schema is that of rejects) it
     * leaves there when process returns; NULL is returned: go on with the next row. `none`: the
     * answer is an error (RECORD) that says where the record is: return it. Tasks, inside process.
     */
    sl_error *(*reject)(sl_object *self, const sl_batch *batch, int64_t row, const sl_reject *why);

    /*
     * Of the `total` streams that the source's config names, `missing` are not (yet) assigned to
     * this host: nodes with SL_ROLE_WHOLE wait for them. To be said whenever it changes: before the
     * assign that changes it, after the revoke. A source that never says it misses none.
     */
    void (*missing)(sl_object *node, size_t missing, size_t total);

    /* While on, the source of this stream is not polled: what it has is to wait for other streams.
     * Ends by itself when the stream is detached or the node fails. Tasks, for streams that are
     * attached to them. */
    void (*hold_back)(sl_object *task, const sl_stream *stream, int on);

    /*
     * Results of the node's own `stream` below `offset` are more than it can keep. Readers that
     * fell behind alone (`when_full: detach`) and still need them fail, and acknowledge follows;
     * for others nothing happens: the node has to wait for them. Any thread.
     */
    void (*overtaken)(sl_object *node, const sl_stream *stream, int64_t offset);

    /*
     * The offset behind the last record that the source's `stream` has, read or not, as far as the
     * source knows (of Kafka, the partition's high watermark): lag is counted to there. To be said
     * again as it grows, once a second or so. Sources; any thread, while the stream is assigned.
     */
    void (*log_end_offset)(sl_object *self, const sl_stream *stream, int64_t offset);

    /*
     * The stream ends at `offset` now (INT64_MAX: somewhere behind what has been read), which the
     * source has just learned. For sources whose streams grow elsewhere, as on a broker: to be said
     * every two seconds or so for as long as it is learned, whether the end has moved or not. Who
     * has begun to say it and is silent does not know: none of its streams is taken for idle.
     * Sources; any thread, while the stream is assigned.
     */
    void (*end_seen)(sl_object *self, const sl_stream *stream, int64_t offset);
    /*
     * How long ago, by a clock that is never set, end_seen was last said of the stream, and the
     * offset; -1, and no offset, when never: such a source always knows where its streams end.
     * Any thread, while the stream is there.
     */
    int64_t (*end_seen_ago_us)(sl_object *self, const sl_stream *stream, int64_t *offset);
} sl_services;

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_SERVICES_H */
