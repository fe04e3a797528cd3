/*
 * An edition of the configuration: what decided which rows came out of a run, as text that is kept
 * in the state store (runtime/host/editions.h): nodes, their plugins' versions, their options with
 * defaults, the contents of files that are configuration. Nothing secret is in it. Parsing one,
 * comparing it with the topology of today, and making it a topology again.
 */
#ifndef TOPOLOGY_EDITION_H
#define TOPOLOGY_EDITION_H

#include "topology/topology.h"

struct edition;

/* Appends the topology's edition. Errors: NO_MEMORY. */
sl_error *edition_write(const struct topology *topology, sl_buffer *out);

/* Appends {OPTION: contents} of the node's files that are configuration, those that can be read. */
void edition_write_files(const struct topology_node *node, sl_buffer *out);

/* Reads one; `where` names it in errors. Errors: CORRUPT, UNSUPPORTED (a format version that is not
 * ours), NO_MEMORY. */
sl_error *edition_parse(const char *text, size_t bytes, const char *where, struct edition **out);
/* Frees it; topologies that were restored from it are freed before. NULL is allowed. */
void edition_free(struct edition *edition);

/* What makes a difference between an edition and a topology. Borrowed from the edition. */
struct edition_change {
    bool same;        /* nothing at all has changed */
    bool alike;       /* the same nodes, sinks too, with the same options but for tuning */
    const char *text; /* NULL: the same rows come out; else the nodes, each with what of it */
    const char *const *nodes; /* those compared that are in both and have changed */
    size_t n_nodes;
    const char *plugins; /* those of them whose plugin is of another version now; NULL: none */
};
/*
 * Compares sources and transforms by name. What cannot change rows is passed over: sinks (each goes
 * on from its own position) but those whose rejects are read, options that are SL_OPTION_TUNING,
 * all keys of the host. A value that came from a reference is compared by the reference. Errors:
 * NO_MEMORY.
 */
sl_error *edition_compare(struct edition *then, const struct topology *now,
                          struct edition_change *out);

/*
 * The edition as a topology that can run: its nodes, with the secrets of `now` where they stand at
 * the same place; everything else (stores, sections, lanes) is `now`'s. On failure *faults lists
 * what is wrong. Errors: CONFIG, NO_MEMORY.
 */
sl_error *edition_restore(struct edition *then, const struct topology *now,
                          struct plugin_registry *registry, struct topology **out,
                          struct topology_faults **faults);

#endif /* TOPOLOGY_EDITION_H */
