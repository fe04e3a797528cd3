/* `${env:NAME}`, `${env:NAME:-default}` and `${file:/path}` in the strings of a document. */
#ifndef TOPOLOGY_SUBSTITUTE_H
#define TOPOLOGY_SUBSTITUTE_H

#include "topology/document.h"
#include "topology/faults.h"
#include "topology/secrets.h"

/*
 * Replaces the references in every string below `value` whose path is `path`. "$${" stands for a
 * plain "${". Relative file names start at `directory`; one line break at a file's end is dropped.
 * Values that were put in are added to `secrets`; the strings keep the references in `shown`.
 */
void substitute(struct json_value *value, const char *path, const char *directory,
                struct arena *arena, struct secrets *secrets, struct topology_faults *faults);

#endif /* TOPOLOGY_SUBSTITUTE_H */
