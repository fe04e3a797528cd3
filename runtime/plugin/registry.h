/*
 * The plugin registry: finds shared objects by name on the plugin path, checks their ABI, keeps
 * them loaded.
 */
#ifndef PLUGIN_REGISTRY_H
#define PLUGIN_REGISTRY_H

#include <stddef.h>

#include "base/base.h"
#include "sluice/plugin.h"

/* A loaded plugin; `descriptor` is the host's own copy: full size, zero where the plugin's was
 * shorter, its roles and operation tables too. */
struct plugin {
    sl_plugin descriptor;
    const char *file; /* path of the shared object */
};

struct plugin_registry;

/*
 * paths: folders, searched in order; after them those of the installed tree
 * ($PREFIX/lib/sluice/plugins beside the executable) and of a build tree (plugins/ beside the
 * executable). On success *out is owned by the caller. CONFIG: a path is no folder.
 */
sl_error *plugin_registry_new(const char *const *paths, size_t n_paths,
                              struct plugin_registry **out);
/* Adds a folder that comes before the default ones ("plugin.path" of a topology). CONFIG when there
 * is none. */
sl_error *plugin_registry_add_path(struct plugin_registry *registry, const char *path);

/*
 * The plugin called `name`, loaded at its first use and resident from then on; borrowed. Errors
 * (CONFIG, one sentence): missing (with the folders searched and the nearest name), not a shared
 * object, no descriptor, another ABI major or a newer minor (with both versions and the remedy), a
 * descriptor that does not hold together.
 */
sl_error *plugin_registry_get(struct plugin_registry *registry, const char *name,
                              const struct plugin **out);

/* Names of all plugins that the path holds, sorted, each once; borrowed until the next call. */
sl_error *plugin_registry_names(struct plugin_registry *registry, const char *const **names,
                                size_t *n);

/* No plugin code may run any more. The shared objects stay mapped. */
void plugin_registry_free(struct plugin_registry *registry);

#endif /* PLUGIN_REGISTRY_H */
