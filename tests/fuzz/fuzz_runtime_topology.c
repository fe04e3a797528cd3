/*
 * Fuzzing the loading of topologies: any text either gives a topology whose paths can be listed, or
 * faults with places. What follows a 0 byte are values of --set. The plugins are those of
 * tests/plugins.
 */
#include "fuzz_runtime.h"
#include "topology/guarantee.h"
#include "topology/topology.h"

#define MAX_SETS 4

/* Splits what follows the text at 0 bytes; each part gets its own end. */
static size_t split_sets(char *rest, char *end, const char **sets) {
    size_t n = 0;
    while (rest < end && n < MAX_SETS) {
        sets[n++] = rest;
        rest += strlen(rest) + 1;
    }
    return n;
}

static void use(const struct topology *topology) {
    struct arena arena = {NULL, false};
    size_t n;
    bool complete;
    const struct delivery_path *paths = delivery_paths(topology, &arena, &n, &complete);
    expect(paths != NULL && (n > 0 || !complete), "a good topology has a path");
    for (size_t i = 0; i < topology->n_nodes; i++) {
        const struct topology_node *node = &topology->nodes[i];
        expect(node->config != NULL && node->config_json != NULL, "a node has a config");
        expect(strstr(node->config_json, "a secret") == NULL, "no secret is shown");
        for (size_t k = 0; k < node->n_inputs; k++) {
            expect(node->inputs[k].from < i && node->inputs[k].to == i, "the order is topological");
        }
    }
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    (void)setenv("SLUICE_FUZZ", "a secret", 1);
    char *text = fuzz_text(data, bytes);
    struct plugin_registry *registry = fuzz_registry();
    if (text == NULL || registry == NULL) {
        plugin_registry_free(registry);
        free(text);
        return 0;
    }
    size_t text_bytes = strlen(text);
    const char *sets[MAX_SETS];
    struct topology_options options = {.sets = sets};
    options.n_sets = text_bytes < bytes ? split_sets(text + text_bytes + 1, text + bytes, sets) : 0;
    struct topology *topology = NULL;
    struct topology_faults *faults = NULL;
    sl_error *error = topology_load_text(text, text_bytes, "fuzz.json", "/tmp", &options, registry,
                                         &topology, &faults);
    expect((error == NULL) == (topology != NULL), "a topology or an error");
    expect((error == NULL) == (topology_faults_errors(faults) == 0), "an error has faults");
    for (size_t i = 0; i < topology_faults_count(faults); i++) {
        const struct topology_fault *fault = topology_faults_at(faults, i);
        expect(fault->path[0] == '$' && fault->text[0] != 0, "a fault says where and what");
    }
    if (topology != NULL) {
        use(topology);
    }
    topology_free(topology);
    topology_faults_free(faults);
    sl_error_free(error);
    plugin_registry_free(registry);
    free(text);
    return 0;
}
