/*
 * mimalloc gives free pages back to the system after 25 ms. A lane's batches, the files that it
 * writes and the broker's answers come and go in tens of milliseconds to a commit interval, so that
 * nearly every page was faulted in and cleared again: a quarter of a run's CPU time. Kept for two
 * seconds, most are used again before; a pipeline that has little to do still gives them back.
 */
#include "host/allocator.h"

#if defined(__has_include)
#if __has_include(<mimalloc.h>)
#include <mimalloc.h>
#endif
#endif

#if defined(MI_MALLOC_VERSION) && MI_MALLOC_VERSION >= 200

#define KEEP_MS 2000

#if MI_MALLOC_VERSION >= 210
#define DELAY_OPTION mi_option_purge_delay
#else
#define DELAY_OPTION mi_option_decommit_delay
#endif

/* Sanitizer builds have the header, but do not link the library. */
#pragma weak mi_option_set_default

void allocator_keep_pages(void) {
    if (mi_option_set_default) {
        mi_option_set_default(DELAY_OPTION, KEEP_MS);
    }
}

#else

void allocator_keep_pages(void) {
}

#endif
