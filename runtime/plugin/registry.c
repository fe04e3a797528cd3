/* Finding, loading and keeping plugins (see registry.h). The checks are descriptor.c's. */
#include "plugin/registry.h"

#include "plugin/descriptor.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".so"
#define SUFFIX_BYTES (sizeof(SUFFIX) - 1)
#define MAX_PLUGIN_NAME_BYTES 64

struct loaded {
    struct plugin plugin;
    struct descriptor_copy *copy;
    char *file;
    struct loaded *next;
};

struct plugin_registry {
    char **paths; /* the first n_named are the operator's */
    size_t n_paths;
    size_t n_named;
    struct loaded *loaded;
    char **names; /* of the last plugin_registry_names */
    size_t n_names;
};

/* ---- the path ---- */

static sl_error *insert_path(struct plugin_registry *registry, size_t at, const char *path) {
    char *copy = strdup(path);
    char **paths = realloc(registry->paths, (registry->n_paths + 1) * sizeof(*paths));
    if (paths != NULL) {
        registry->paths = paths;
    }
    if (copy == NULL || paths == NULL) {
        free(copy);
        return sl_error_no_memory();
    }
    memmove(paths + at + 1, paths + at, (registry->n_paths - at) * sizeof(*paths));
    paths[at] = copy;
    registry->n_paths++;
    return NULL;
}

sl_error *plugin_registry_add_path(struct plugin_registry *registry, const char *path) {
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        return sl_error_new(SL_ERROR_CONFIG, "there is no folder %s to search for plugins", path);
    }
    for (size_t i = 0; i < registry->n_named; i++) {
        if (strcmp(registry->paths[i], path) == 0) {
            return NULL;
        }
    }
    sl_error *error = insert_path(registry, registry->n_named, path);
    registry->n_named += error == NULL ? 1 : 0;
    return error;
}

/* Beside the executable: plugins/ (a build tree) and ../lib/sluice/plugins (an installed one). */
static sl_error *add_default_paths(struct plugin_registry *registry) {
    static const char *const beside[] = {"../lib/sluice/plugins", "plugins"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0) {
        return NULL;
    }
    self[n] = 0;
    char *slash = strrchr(self, '/');
    *(slash == NULL ? self : slash) = 0;
    for (size_t i = 0; i < SL_ARRAY_LENGTH(beside); i++) {
        char path[PATH_MAX + 32];
        char real[PATH_MAX];
        (void)snprintf(path, sizeof(path), "%s/%s", self, beside[i]);
        if (realpath(path, real) != NULL) {
            sl_error *error = insert_path(registry, registry->n_paths, real);
            if (error != NULL) {
                return error;
            }
        }
    }
    return NULL;
}

sl_error *plugin_registry_new(const char *const *paths, size_t n_paths,
                              struct plugin_registry **out) {
    struct plugin_registry *registry = calloc(1, sizeof(*registry));
    if (registry == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = NULL;
    for (size_t i = 0; i < n_paths && error == NULL; i++) {
        error = plugin_registry_add_path(registry, paths[i]);
    }
    if (error == NULL) {
        error = add_default_paths(registry);
    }
    if (error != NULL) {
        plugin_registry_free(registry);
        return error;
    }
    *out = registry;
    return NULL;
}

static void free_names(struct plugin_registry *registry) {
    for (size_t i = 0; i < registry->n_names; i++) {
        free(registry->names[i]);
    }
    free(registry->names);
    registry->names = NULL;
    registry->n_names = 0;
}

void plugin_registry_free(struct plugin_registry *registry) {
    if (registry == NULL) {
        return;
    }
    struct loaded *loaded = registry->loaded;
    while (loaded != NULL) {
        struct loaded *next = loaded->next;
        descriptor_copy_free(loaded->copy);
        free(loaded->file);
        free(loaded);
        loaded = next;
    }
    for (size_t i = 0; i < registry->n_paths; i++) {
        free(registry->paths[i]);
    }
    free(registry->paths);
    free_names(registry);
    free(registry);
}

/* ---- names ---- */

static bool is_plugin_name(const char *name, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        bool good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
                    (i > 0 && (name[i] == '-' || name[i] == '_'));
        if (!good) {
            return false;
        }
    }
    return bytes > 0 && bytes <= MAX_PLUGIN_NAME_BYTES;
}

static sl_error *add_name(struct plugin_registry *registry, const char *name, size_t bytes) {
    for (size_t i = 0; i < registry->n_names; i++) {
        if (strlen(registry->names[i]) == bytes && memcmp(registry->names[i], name, bytes) == 0) {
            return NULL;
        }
    }
    char **names = realloc(registry->names, (registry->n_names + 1) * sizeof(*names));
    if (names == NULL) {
        return sl_error_no_memory();
    }
    registry->names = names;
    names[registry->n_names] = strndup(name, bytes);
    if (names[registry->n_names] == NULL) {
        return sl_error_no_memory();
    }
    registry->n_names++;
    return NULL;
}

static sl_error *add_names_of(struct plugin_registry *registry, const char *path) {
    DIR *folder = opendir(path);
    if (folder == NULL) {
        /* a folder of the path that is not there holds no plugins */
        return errno == ENOMEM ? sl_error_no_memory() : NULL;
    }
    sl_error *error = NULL;
    struct dirent *entry;
    while (error == NULL && (entry = readdir(folder)) != NULL) {
        size_t bytes = strlen(entry->d_name);
        if (bytes > SUFFIX_BYTES && strcmp(entry->d_name + bytes - SUFFIX_BYTES, SUFFIX) == 0 &&
            is_plugin_name(entry->d_name, bytes - SUFFIX_BYTES)) {
            error = add_name(registry, entry->d_name, bytes - SUFFIX_BYTES);
        }
    }
    (void)closedir(folder);
    return error;
}

static int by_text(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

sl_error *plugin_registry_names(struct plugin_registry *registry, const char *const **names,
                                size_t *n) {
    free_names(registry);
    for (size_t i = 0; i < registry->n_paths; i++) {
        sl_error *error = add_names_of(registry, registry->paths[i]);
        if (error != NULL) {
            return error;
        }
    }
    if (registry->n_names > 1) {
        qsort(registry->names, registry->n_names, sizeof(*registry->names), by_text);
    }
    *names = (const char *const *)registry->names;
    *n = registry->n_names;
    return NULL;
}

/* ---- loading ---- */

/* The sentence for a plugin that no folder has. */
static sl_error *not_found(struct plugin_registry *registry, const char *name) {
    const char *const *names;
    size_t n;
    sl_error *error = plugin_registry_names(registry, &names, &n);
    if (error != NULL) {
        return error;
    }
    sl_buffer text = SL_BUFFER_INIT;
    const char *nearest = sl_nearest_name(name, names, n);
    if (nearest != NULL) {
        (void)sl_buffer_printf(&text, "; did you mean \"%s\"", nearest);
    }
    (void)sl_buffer_append_text(&text, nearest != NULL ? "? Searched: " : ". Searched: ");
    for (size_t i = 0; i < registry->n_paths; i++) {
        (void)sl_buffer_printf(&text, "%s%s", i == 0 ? "" : ", ", registry->paths[i]);
    }
    if (registry->n_paths == 0) {
        (void)sl_buffer_append_text(&text, "no folder; name one with plugin.path");
    }
    const char *tail = sl_buffer_text(&text);
    error = tail == NULL ? sl_error_no_memory()
                         : sl_error_new(SL_ERROR_CONFIG, "there is no plugin \"%s\"%s", name, tail);
    sl_buffer_free(&text);
    return error;
}

/* dlerror's text begins with the file's name: said already. */
static const char *loader_text(const char *file) {
    const char *text = dlerror();
    size_t bytes = strlen(file);
    if (text == NULL) {
        return "no reason given";
    }
    return strncmp(text, file, bytes) == 0 && strncmp(text + bytes, ": ", 2) == 0 ? text + bytes + 2
                                                                                  : text;
}

static bool is_elf(const char *file) {
    char magic[4] = {0};
    FILE *stream = fopen(file, "re");
    if (stream == NULL) {
        return true; /* the loader knows why */
    }
    size_t n = fread(magic, 1, sizeof(magic), stream);
    (void)fclose(stream);
    return n == sizeof(magic) && memcmp(magic, "\177ELF", sizeof(magic)) == 0;
}

/* Size that the symbol table gives the descriptor; 0 when it does not say. */
static size_t symbol_size(const void *symbol) {
    Dl_info info;
    void *extra = NULL;
    if (dladdr1(symbol, &info, &extra, RTLD_DL_SYMENT) == 0 || extra == NULL) {
        return 0;
    }
    const ElfW(Sym) *entry = extra;
    return (size_t)entry->st_size;
}

static sl_error *adopt(struct plugin_registry *registry, const char *name, const char *file,
                       const void *symbol, const struct plugin **out) {
    struct loaded *loaded = calloc(1, sizeof(*loaded));
    char *file_copy = strdup(file);
    if (loaded == NULL || file_copy == NULL) {
        free(loaded);
        free(file_copy);
        return sl_error_no_memory();
    }
    sl_error *error = descriptor_copy_new(symbol, symbol_size(symbol), name, file, &loaded->copy);
    if (error != NULL) {
        free(loaded);
        free(file_copy);
        return error;
    }
    loaded->file = file_copy;
    loaded->plugin.descriptor = *descriptor_copy_get(loaded->copy);
    loaded->plugin.file = file_copy;
    loaded->next = registry->loaded;
    registry->loaded = loaded;
    *out = &loaded->plugin;
    return NULL;
}

static sl_error *load(struct plugin_registry *registry, const char *name, const char *file,
                      const struct plugin **out) {
    if (!is_elf(file)) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "plugin \"%s\" (%s): the file is not a shared object; build the "
                            "plugin with -shared -fPIC",
                            name, file);
    }
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        return sl_error_new(SL_ERROR_CONFIG, "plugin \"%s\" (%s) cannot be loaded: %s", name, file,
                            loader_text(file));
    }
    const void *symbol = dlsym(handle, SL_PLUGIN_SYMBOL);
    sl_error *error = symbol == NULL
                          ? sl_error_new(SL_ERROR_CONFIG,
                                         "plugin \"%s\" (%s): the shared object has no symbol "
                                         "\"" SL_PLUGIN_SYMBOL "\": it is no sluice plugin",
                                         name, file)
                          : adopt(registry, name, file, symbol, out);
    if (error != NULL) {
        (void)dlclose(handle);
    }
    return error;
}

sl_error *plugin_registry_get(struct plugin_registry *registry, const char *name,
                              const struct plugin **out) {
    if (!is_plugin_name(name, strlen(name))) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "\"%.80s\" is no plugin name: 1 to %d of a-z, 0-9, \"-\", \"_\"", name,
                            MAX_PLUGIN_NAME_BYTES);
    }
    for (const struct loaded *l = registry->loaded; l != NULL; l = l->next) {
        if (strcmp(l->plugin.descriptor.name, name) == 0) {
            *out = &l->plugin;
            return NULL;
        }
    }
    for (size_t i = 0; i < registry->n_paths; i++) {
        char file[PATH_MAX];
        int n = snprintf(file, sizeof(file), "%s/%s" SUFFIX, registry->paths[i], name);
        if (n > 0 && (size_t)n < sizeof(file) && access(file, F_OK) == 0) {
            return load(registry, name, file, out);
        }
    }
    return not_found(registry, name);
}
