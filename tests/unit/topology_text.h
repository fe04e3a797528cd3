/*
 * Topologies made of text, for tests: a registry of the test plugins, and a file whose contents are
 * configuration, as a schema's are. begin_texts and end_texts are a fixture's.
 */
#ifndef TESTS_TOPOLOGY_TEXT_H
#define TESTS_TOPOLOGY_TEXT_H

#include "topology/topology.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct plugin_registry *registry;
static char schema[32]; /* the file's path */

static void write_schema(const char *text) {
    FILE *file = fopen(schema, "we");
    ck_assert_ptr_nonnull(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void begin_texts(const char *schema_text) {
    const char *const paths[] = {SL_BUILD_DIR "/tests/plugins"};
    ck_assert_ptr_null(plugin_registry_new(paths, 1, &registry));
    strcpy(schema, "/tmp/sluice_schema_XXXXXX");
    int file = mkstemp(schema);
    ck_assert_int_ge(file, 0);
    (void)close(file);
    write_schema(schema_text);
}

static void end_texts(void) {
    plugin_registry_free(registry);
    (void)unlink(schema);
}

/* A topology; `format` has a %s for the schema's path. */
static struct topology *load(const char *format) {
    char text[4096];
    struct topology *topology = NULL;
    struct topology_faults *faults = NULL;
    (void)snprintf(text, sizeof(text), format, schema);
    sl_error *error = topology_load_text(text, strlen(text), "test.json", "/base", NULL, registry,
                                         &topology, &faults);
    if (error != NULL) {
        ck_abort_msg("%s: %s", sl_error_message(error), topology_faults_at(faults, 0)->text);
    }
    topology_faults_free(faults);
    return topology;
}

#endif /* TESTS_TOPOLOGY_TEXT_H */
