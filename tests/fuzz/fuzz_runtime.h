/*
 * What the fuzzers of the runtime share: where the plugins of tests/plugins lie, which is beside
 * the fuzzer's own folder, and what must hold whatever the input is.
 */
#ifndef SLUICE_TESTS_FUZZ_RUNTIME_H
#define SLUICE_TESTS_FUZZ_RUNTIME_H

#include "plugin/registry.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char fuzz_plugins[PATH_MAX];

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    char self[PATH_MAX];
    if (realpath((*argv)[0], self) != NULL) {
        char *slash = strrchr(self, '/');
        *slash = 0;
        (void)snprintf(fuzz_plugins, sizeof(fuzz_plugins), "%.4000s/../tests/plugins", self);
    }
    return 0;
}

/* A registry of the plugins there, the caller's to free; NULL without memory. */
static inline struct plugin_registry *fuzz_registry(void) {
    struct plugin_registry *registry = NULL;
    const char *const paths[] = {fuzz_plugins};
    sl_error_free(plugin_registry_new(paths, 1, &registry));
    return registry;
}

/* The input with a 0 byte behind it, the caller's to free; NULL without memory. */
static inline char *fuzz_text(const uint8_t *data, size_t bytes) {
    char *text = malloc(bytes + 1);
    if (text != NULL) {
        if (bytes > 0) {
            memcpy(text, data, bytes);
        }
        text[bytes] = 0;
    }
    return text;
}

static inline void expect(bool condition, const char *what) {
    if (!condition) {
        (void)fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

#endif
