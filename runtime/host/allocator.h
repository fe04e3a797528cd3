/* How the process's allocator treats memory that was given back. */
#ifndef SLUICE_HOST_ALLOCATOR_H
#define SLUICE_HOST_ALLOCATOR_H

/* Before a run's first allocations of weight; main thread. What the environment says
 * (MIMALLOC_DECOMMIT_DELAY) goes before it. Without mimalloc it does nothing. */
void allocator_keep_pages(void);

#endif
