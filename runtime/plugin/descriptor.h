/*
 * The host's own copy of a plugin's descriptor: the checks of the ABI's version and of everything
 * that the host relies on, and the copying of min(sizes) bytes of each struct into zeroed memory.
 */
#ifndef PLUGIN_DESCRIPTOR_H
#define PLUGIN_DESCRIPTOR_H

#include <stddef.h>

#include "base/base.h"
#include "sluice/plugin.h"

struct descriptor_copy;

/*
 * Checks and copies the descriptor at `symbol`, of which `symbol_bytes` may be read (0: not known).
 * `name` is the file's name without ".so", `file` its path for messages. On success *out is owned
 * by the caller; it points to names and functions of the shared object, which must stay mapped.
 * Errors: CONFIG, one sentence that begins with the plugin and its file.
 */
sl_error *descriptor_copy_new(const void *symbol, size_t symbol_bytes, const char *name,
                              const char *file, struct descriptor_copy **out);
/* Borrowed: full size, with roles, operations and option tables that are full size, too. */
const sl_plugin *descriptor_copy_get(const struct descriptor_copy *copy);
void descriptor_copy_free(struct descriptor_copy *copy);

#endif /* PLUGIN_DESCRIPTOR_H */
