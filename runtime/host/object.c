/* Entering and leaving plugin code: see object.h. */
#include "host/object.h"

#include <stdlib.h>
#include <time.h>

_Thread_local const char *object_running;

static int64_t thread_cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct object_clock object_enter(const sl_object *object) {
    struct object_clock clock = {object_running, thread_cpu_us()};
    object_running = object->node->spec->name;
    return clock;
}

void object_leave(sl_object *object, struct object_clock clock) {
    object_running = clock.outer;
    atomic_fetch_add_explicit(&object->cpu_us, thread_cpu_us() - clock.started_us,
                              memory_order_relaxed);
}

void object_free_metrics(sl_object *object) {
    struct sl_metric *metric = atomic_load(&object->metrics);
    while (metric != NULL) {
        struct sl_metric *next = metric->next;
        free(metric->name);
        free(metric->help);
        free(metric);
        metric = next;
    }
    atomic_store(&object->metrics, NULL);
}

void object_reset_gauges(sl_object *object) {
    for (struct sl_metric *m = atomic_load(&object->metrics); m != NULL; m = m->next) {
        if (m->kind == SL_METRIC_GAUGE) {
            atomic_store_explicit(&m->value, 0, memory_order_relaxed);
        }
    }
}

void object_work_ended(sl_object *object) {
    struct loop_message *message = object->when_idle;
    if (--object->works == 0 && message != NULL) {
        object->when_idle = NULL;
        loop_post(object->loop, message, object->idle_run, object->idle_arg);
    }
}

bool object_is_idle(sl_object *object, struct loop_message *message, void (*run)(void *arg),
                    void *arg) {
    if (object->works == 0) {
        return true;
    }
    object->when_idle = message;
    object->idle_run = run;
    object->idle_arg = arg;
    return false;
}
