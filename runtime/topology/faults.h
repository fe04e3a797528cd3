/*
 * The list of faults and warnings that loading a topology fills: each with a place, a JSON path and
 * a sentence. The public view of it is in topology.h.
 */
#ifndef TOPOLOGY_FAULTS_H
#define TOPOLOGY_FAULTS_H

#include "topology/arena.h"
#include "topology/document.h"
#include "topology/topology.h"

/* More faults than this are counted, not kept. */
#define TOPOLOGY_MAX_FAULTS 1000

struct topology_faults *topology_faults_new(void);
bool topology_faults_failed(const struct topology_faults *faults); /* memory ran short */

/* One more error; `path` is copied. */
void topology_fault_add(struct topology_faults *faults, struct json_place place, const char *path,
                        const char *format, ...) SL_PRINTF(4, 5);
void topology_warning_add(struct topology_faults *faults, struct json_place place, const char *path,
                          const char *format, ...) SL_PRINTF(4, 5);
/* By place, those without one first; a stable order for people and tests. */
void topology_faults_sort(struct topology_faults *faults);
/* Replaces what is secret in every text, then control characters. Paths are made of names, which
 * are never secret. */
struct secrets;
void topology_faults_mask(struct topology_faults *faults, const struct secrets *secrets);

#endif /* TOPOLOGY_FAULTS_H */
