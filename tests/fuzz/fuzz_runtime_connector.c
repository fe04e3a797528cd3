/*
 * Fuzzing the flat configs of Kafka Connect: a document, a 0 byte, a connector's name, a 0 byte,
 * and its config. Whatever they are, the config makes a node of the document, or one sentence says
 * why not. What the node then shows as its config can be put again, and shows the same again. The
 * plugins are those of tests/plugins.
 */
#include "fuzz_runtime.h"
#include "topology/connector.h"
#include "topology/edit.h"

/* The next part of the input, which ends with a 0 byte or with the input. */
static const char *next_part(const char **at, const char *end) {
    const char *part = *at;
    *at += strlen(part);
    *at += *at < end;
    return part;
}

static const char *written(struct arena *arena, const struct json_value *value) {
    sl_buffer text = SL_BUFFER_INIT;
    (void)json_write(value, JSON_WRITTEN, &text);
    const char *out = arena_take(arena, &text);
    expect(out != NULL, "there is memory");
    return out;
}

/* One change; a refusal is a sentence. */
static bool change(sl_error *error) {
    expect(error == NULL || sl_error_message(error)[0] != 0, "a refusal says why");
    bool done = error == NULL;
    sl_error_free(error);
    return done;
}

static void use(const struct connectors *in, const char *name, const struct json_value *config) {
    if (!change(connector_put(in, name, config))) {
        return;
    }
    enum topology_kind kind;
    expect(connector_find(in, name, &kind) != NULL, "what was put is there");
    struct json_value *shown = NULL;
    if (!change(connector_config(in, name, &shown))) {
        expect(false, "what was put can be shown");
    }
    for (const struct json_value *m = shown->first; m != NULL; m = m->next) {
        expect(m->kind == JSON_STRING, "all members are texts");
    }
    const char *first = written(in->arena, shown);
    if (change(connector_put(in, name, shown))) {
        struct json_value *again = NULL;
        expect(change(connector_config(in, name, &again)), "it can be shown again");
        expect(strcmp(first, written(in->arena, again)) == 0, "it shows the same again");
        expect(written(in->arena, in->document)[0] == '{', "the document can be written");
    }
    (void)change(connector_remove(in, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static struct plugin_registry *registry;
    registry = registry == NULL ? fuzz_registry() : registry;
    char *text = fuzz_text(data, bytes);
    if (text == NULL || registry == NULL) {
        free(text);
        return 0;
    }
    const char *at = text;
    const char *document_text = next_part(&at, text + bytes);
    const char *name = next_part(&at, text + bytes);
    const char *config_text = next_part(&at, text + bytes);
    struct arena arena = {NULL, false};
    struct json_value *document = json_read(&arena, document_text, strlen(document_text));
    const struct json_value *config = json_read(&arena, config_text, strlen(config_text));
    if (document != NULL && document->kind == JSON_OBJECT && config != NULL &&
        config->kind == JSON_OBJECT && name[0] != 0) {
        const struct connectors in = {&arena, registry, document, 2};
        use(&in, name, config);
    }
    arena_free(&arena);
    free(text);
    return 0;
}
