/*
 * A set of schema documents: reads them, knows each resource and anchor in them, resolves
 * references, and has every schema that is reached compiled exactly once.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "json/schema.h"

#define MAX_SCHEMA_DEPTH 256

typedef struct set_doc {
    slj_doc doc; /* first: a slj_doc of a set is a set_doc */
    const char *retrieval_uri;
    slj_resource *root;
    slj_schema **by_node;
    struct set_doc *next;
} set_doc;

typedef struct remote {
    const char *uri;
    const char *text;
    size_t bytes;
    struct remote *next;
} remote;

struct slj_set {
    slj_arena arena;
    set_doc *docs;
    slj_resource *resources;
    remote *remotes;
    slj_schema **pending; /* made, but their keywords not yet read */
    size_t n_pending;
    size_t pending_capacity;
    bool assert_formats;
};

static sl_error *find_resource(slj_set *set, const char *uri, slj_resource **out);

/* ---- arena ---- */

typedef struct slj_arena_block {
    struct slj_arena_block *next;
    max_align_t data[];
} slj_arena_block;

void *slj_arena_alloc(slj_arena *arena, size_t bytes) {
    bytes = (bytes + 15) & ~(size_t)15;
    if (arena->blocks == NULL || bytes > arena->capacity - arena->used) {
        size_t capacity = bytes > 16384 ? bytes : 16384;
        slj_arena_block *block = calloc(1, sizeof *block + capacity);
        if (block == NULL) {
            return NULL;
        }
        block->next = arena->blocks;
        arena->blocks = block;
        arena->capacity = capacity;
        arena->used = 0;
    }
    void *out = (char *)arena->blocks->data + arena->used;
    arena->used += bytes;
    return out;
}

char *slj_arena_text(slj_arena *arena, const void *text, size_t bytes) {
    char *out = slj_arena_alloc(arena, bytes + 1);
    if (out != NULL && bytes > 0) {
        memcpy(out, text, bytes);
    }
    return out;
}

void slj_arena_free(slj_arena *arena) {
    while (arena->blocks != NULL) {
        slj_arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}

slj_arena *slj_set_arena(slj_set *set) {
    return &set->arena;
}

bool slj_set_asserts_formats(const slj_set *set) {
    return set->assert_formats;
}

/* ---- errors ---- */

/* The JSON path of a node: down from the root, always into the child that holds it. */
static void append_node_path(const slj_doc *doc, uint32_t target, sl_buffer *out) {
    uint32_t at = 0;
    sl_buffer_append_byte(out, '$');
    while (at < doc->n && at != target) {
        bool object = doc->nodes[at].kind == SLJ_OBJECT;
        uint32_t child = at + 1, index = 0;
        uint32_t end = doc->nodes[at].end;
        while (child < end && doc->nodes[object ? child + 1 : child].end <= target) {
            child = doc->nodes[object ? child + 1 : child].end;
            index++;
        }
        if (child >= end) {
            return;
        }
        if (object) {
            slj_path_append_name(out, doc->nodes[child].text, doc->nodes[child].bytes);
            at = child == target ? target : child + 1;
        } else {
            sl_buffer_printf(out, "[%u]", index);
            at = child;
        }
    }
}

sl_error *slj_schema_error(const slj_doc *doc, uint32_t node, const char *format, ...) {
    sl_buffer text = SL_BUFFER_INIT;
    va_list args;
    append_node_path(doc, node, &text);
    sl_buffer_append_text(&text, ": ");
    char message[512];
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    sl_buffer_append_text(&text, message);
    const char *whole = sl_buffer_text(&text);
    sl_error *error =
        whole == NULL ? sl_error_no_memory() : sl_error_new(SL_ERROR_CONFIG, "schema %s", whole);
    sl_buffer_free(&text);
    return error;
}

static sl_error *syntax_error(const slj_doc *doc, const char *uri) {
    const slj_reader *reader = &doc->reader;
    if (reader->no_memory) {
        return sl_error_no_memory();
    }
    unsigned line = 1, column = 1;
    for (const uint8_t *p = reader->start; p < reader->error_at && p < reader->end; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    return sl_error_new(SL_ERROR_CONFIG, "schema%s%s: line %u, column %u: %s", *uri == 0 ? "" : " ",
                        uri, line, column, sl_json_reason_text(reader->reason));
}

/* ---- resources ---- */

static char *node_text(slj_set *set, const slj_node *node) {
    return slj_arena_text(&set->arena, node->text, node->bytes);
}

/* The bit of a vocabulary of the specification, 0 for one that needs none; false: not known. */
static bool find_vocabulary(const slj_node *uri, uint32_t *bit) {
    static const struct {
        const char *name;
        uint32_t bit;
    } known[] = {
        {"core", 0},
        {"applicator", SLJ_VOCABULARY_APPLICATOR},
        {"unevaluated", SLJ_VOCABULARY_UNEVALUATED},
        {"validation", SLJ_VOCABULARY_VALIDATION},
        {"meta-data", 0},
        {"format-annotation", 0},
        {"format-assertion", SLJ_VOCABULARY_FORMAT_ASSERTION},
        {"content", 0},
    };
    static const char prefix[] = "https://json-schema.org/draft/2020-12/vocab/";
    const size_t prefix_bytes = sizeof prefix - 1;
    if (uri->bytes <= prefix_bytes || memcmp(uri->text, prefix, prefix_bytes) != 0) {
        return false;
    }
    for (size_t i = 0; i < SL_ARRAY_LENGTH(known); i++) {
        size_t bytes = uri->bytes - prefix_bytes;
        if (strlen(known[i].name) == bytes &&
            memcmp(known[i].name, uri->text + prefix_bytes, bytes) == 0) {
            *bit = known[i].bit;
            return true;
        }
    }
    return false;
}

/* What the metaschema's $vocabulary lists: {URI: whether it is required}. */
static sl_error *take_vocabularies(slj_resource *resource, const slj_resource *meta) {
    uint32_t list = slj_doc_get(meta->doc, meta->root, "$vocabulary");
    if (list == 0) {
        return NULL;
    }
    const slj_node *nodes = meta->doc->nodes;
    resource->vocabularies = 0;
    for (uint32_t key = list + 1; key < nodes[list].end; key = nodes[key + 1].end) {
        uint32_t bit = 0;
        if (!find_vocabulary(&nodes[key], &bit) && nodes[key + 1].kind == SLJ_TRUE) {
            return slj_schema_error(meta->doc, key, "a vocabulary that is required but not known");
        }
        resource->vocabularies |= bit;
    }
    return NULL;
}

static sl_error *read_vocabularies(slj_set *set, slj_resource *resource, uint32_t schema_node) {
    const slj_doc *doc = resource->doc;
    char *uri = node_text(set, &doc->nodes[schema_node]);
    if (uri == NULL) {
        return sl_error_no_memory();
    }
    size_t n = strlen(uri);
    uri[n > 0 && uri[n - 1] == '#' ? n - 1 : n] = 0;
    resource->metaschema = uri;
    resource->vocabularies = SLJ_VOCABULARY_DEFAULT;
    if (strcmp(uri, SLJ_METASCHEMA_URI) == 0) {
        return NULL;
    }
    slj_resource *meta;
    sl_error *error = find_resource(set, uri, &meta);
    if (error != NULL) {
        return error;
    }
    if (meta == NULL) {
        return slj_schema_error(doc, schema_node,
                                "found \"%s\"; supported is draft 2020-12: write \"%s\", or give "
                                "that metaschema as a remote",
                                uri, SLJ_METASCHEMA_URI);
    }
    return take_vocabularies(resource, meta);
}

static sl_error *add_anchor(slj_set *set, slj_resource *resource, uint32_t node, uint32_t name,
                            bool dynamic) {
    slj_anchor *anchor = slj_arena_alloc(&set->arena, sizeof *anchor);
    if (anchor == NULL) {
        return sl_error_no_memory();
    }
    const slj_node *text = &resource->doc->nodes[name];
    *anchor = (slj_anchor){text->text, text->bytes, node, dynamic, resource->anchors};
    resource->anchors = anchor;
    slj_schema *ignored;
    return dynamic ? slj_set_schema_at(set, resource->doc, node, &ignored) : NULL;
}

static slj_resource *add_resource(slj_set *set, slj_doc *doc, uint32_t root, const char *uri) {
    slj_resource *resource = slj_arena_alloc(&set->arena, sizeof *resource);
    if (resource != NULL) {
        *resource = (slj_resource){.uri = uri,
                                   .doc = doc,
                                   .root = root,
                                   .vocabularies = SLJ_VOCABULARY_DEFAULT,
                                   .next = set->resources};
        set->resources = resource;
    }
    return resource;
}

/* Resolves `reference` against a base; the text lives in the set's arena, its fragment is cut off
 * into *fragment ("" when there is none). NULL when memory is short. */
static char *resolve_uri(slj_set *set, const char *base, const slj_node *reference,
                         char **fragment) {
    sl_buffer text = SL_BUFFER_INIT;
    char *whole = NULL;
    char *own = node_text(set, reference);
    if (own != NULL && slj_uri_resolve(base, own, &text)) {
        whole = slj_arena_text(&set->arena, text.data, text.bytes);
    }
    sl_buffer_free(&text);
    if (whole != NULL) {
        char *hash = strchr(whole, '#');
        *fragment = hash == NULL ? whole + strlen(whole) : hash + 1;
        if (hash != NULL) {
            *hash = 0;
        }
    }
    return whole;
}

typedef struct scan {
    slj_set *set;
    slj_resource *resource;
    bool root;
} scan;

static sl_error *scan_schema(void *arg, uint32_t node) {
    scan here = *(scan *)arg;
    slj_set *set = here.set;
    slj_doc *doc = here.resource->doc;
    if (doc->nodes[node].kind != SLJ_OBJECT) {
        return NULL;
    }
    uint32_t id = slj_doc_get(doc, node, "$id");
    if (id != 0 && doc->nodes[id].kind == SLJ_STRING) {
        char *fragment;
        char *uri = resolve_uri(set, here.resource->uri, &doc->nodes[id], &fragment);
        if (uri == NULL) {
            return sl_error_no_memory();
        }
        if (here.root) {
            here.resource->uri = uri;
        } else {
            slj_resource *outer = here.resource;
            here.resource = add_resource(set, doc, node, uri);
            if (here.resource == NULL) {
                return sl_error_no_memory();
            }
            here.resource->vocabularies = outer->vocabularies;
            here.resource->metaschema = outer->metaschema;
        }
    }
    uint32_t dialect = slj_doc_get(doc, node, "$schema");
    sl_error *error = NULL;
    if (here.resource->root == node && dialect != 0 && doc->nodes[dialect].kind == SLJ_STRING) {
        error = read_vocabularies(set, here.resource, dialect);
    }
    uint32_t anchor = slj_doc_get(doc, node, "$anchor");
    if (error == NULL && anchor != 0 && doc->nodes[anchor].kind == SLJ_STRING) {
        error = add_anchor(set, here.resource, node, anchor, false);
    }
    anchor = slj_doc_get(doc, node, "$dynamicAnchor");
    if (error == NULL && anchor != 0 && doc->nodes[anchor].kind == SLJ_STRING) {
        error = add_anchor(set, here.resource, node, anchor, true);
    }
    here.root = false;
    return error != NULL ? error : slj_keywords_visit(doc, node, scan_schema, &here);
}

static sl_error *load_document(slj_set *set, const char *uri, const char *text, size_t bytes,
                               set_doc **out) {
    set_doc *loaded = slj_arena_alloc(&set->arena, sizeof *loaded);
    if (loaded == NULL) {
        return sl_error_no_memory();
    }
    loaded->doc.reader.max_depth = MAX_SCHEMA_DEPTH;
    loaded->doc.reader.reject_duplicates = true;
    loaded->next = set->docs;
    loaded->retrieval_uri = uri;
    set->docs = loaded;
    if (!slj_doc_parse(&loaded->doc, text, bytes)) {
        return syntax_error(&loaded->doc, uri);
    }
    loaded->by_node = slj_arena_alloc(&set->arena, loaded->doc.n * sizeof(slj_schema *));
    loaded->root = add_resource(set, &loaded->doc, 0, uri);
    if (loaded->by_node == NULL || loaded->root == NULL) {
        return sl_error_no_memory();
    }
    *out = loaded;
    scan root = {set, loaded->root, true};
    return scan_schema(&root, 0);
}

/* *out is NULL when there is no such document. */
static sl_error *find_resource(slj_set *set, const char *uri, slj_resource **out) {
    for (slj_resource *r = set->resources; r != NULL; r = r->next) {
        if (strcmp(r->uri, uri) == 0) {
            *out = r;
            return NULL;
        }
    }
    for (set_doc *d = set->docs; d != NULL; d = d->next) {
        if (strcmp(d->retrieval_uri, uri) == 0) {
            *out = d->root;
            return NULL;
        }
    }
    const char *text = slj_metaschema_text(uri);
    size_t bytes = text == NULL ? 0 : strlen(text);
    for (remote *r = set->remotes; r != NULL && text == NULL; r = r->next) {
        if (strcmp(r->uri, uri) == 0) {
            text = r->text;
            bytes = r->bytes;
            uri = r->uri;
        }
    }
    *out = NULL;
    if (text == NULL) {
        return NULL;
    }
    set_doc *loaded;
    char *own = slj_arena_text(&set->arena, uri, strlen(uri));
    if (own == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = load_document(set, own, text, bytes, &loaded);
    if (error == NULL) {
        *out = loaded->root;
    }
    return error;
}

/* The innermost resource around a node. */
static const slj_resource *resource_at(const slj_set *set, const slj_doc *doc, uint32_t node) {
    const slj_resource *found = NULL;
    for (const slj_resource *r = set->resources; r != NULL; r = r->next) {
        if (r->doc == doc && r->root <= node && node < doc->nodes[r->root].end &&
            (found == NULL || r->root > found->root)) {
            found = r;
        }
    }
    return found;
}

/* ---- schemas and references ---- */

sl_error *slj_set_schema_at(slj_set *set, const slj_doc *doc, uint32_t node, slj_schema **out) {
    slj_schema **slot = &((const set_doc *)(const void *)doc)->by_node[node];
    if (*slot != NULL) {
        *out = *slot;
        return NULL;
    }
    slj_kind kind = (slj_kind)doc->nodes[node].kind;
    if (kind != SLJ_OBJECT && kind != SLJ_TRUE && kind != SLJ_FALSE) {
        return slj_schema_error(doc, node, "a schema must be an object, true or false");
    }
    if (set->n_pending == set->pending_capacity) {
        size_t capacity = set->pending_capacity == 0 ? 64 : set->pending_capacity * 2;
        slj_schema **grown = realloc(set->pending, capacity * sizeof *grown);
        if (grown == NULL) {
            return sl_error_no_memory();
        }
        set->pending = grown;
        set->pending_capacity = capacity;
    }
    slj_schema *schema = slj_arena_alloc(&set->arena, sizeof *schema);
    if (schema == NULL) {
        return sl_error_no_memory();
    }
    schema->doc = doc;
    schema->node = node;
    schema->resource = resource_at(set, doc, node);
    schema->constant = kind == SLJ_OBJECT ? -1 : kind == SLJ_TRUE;
    *slot = *out = schema;
    set->pending[set->n_pending++] = schema;
    return NULL;
}

static sl_error *fill_pending(slj_set *set) {
    while (set->n_pending > 0) {
        slj_schema *schema = set->pending[--set->n_pending];
        sl_error *error = schema->constant < 0 ? slj_keywords_fill(set, schema) : NULL;
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

static void percent_decode(char *text) {
    char *out = text;
    for (const char *p = text; *p != 0; p++) {
        unsigned value;
        if (*p == '%' && sscanf(p + 1, "%2x", &value) == 1 && p[1] != 0 && p[2] != 0) {
            *out++ = (char)value;
            p += 2;
        } else {
            *out++ = *p;
        }
    }
    *out = 0;
}

/* One reference token of a JSON pointer (RFC 6901), in place; returns its length. */
static size_t pointer_token(char *token, size_t bytes) {
    char *out = token;
    for (size_t i = 0; i < bytes; i++) {
        bool tilde =
            token[i] == '~' && i + 1 < bytes && (token[i + 1] == '0' || token[i + 1] == '1');
        *out++ = tilde ? (token[i + 1] == '0' ? '~' : '/') : token[i];
        i += tilde;
    }
    return (size_t)(out - token);
}

/* Follows a JSON pointer from `node`; false when it leads nowhere. */
static bool follow_pointer(const slj_doc *doc, uint32_t node, char *pointer, uint32_t *out) {
    while (*pointer == '/') {
        char *token = pointer + 1;
        size_t raw = strcspn(token, "/");
        pointer = token + raw;
        const slj_node *here = &doc->nodes[node];
        if (here->kind == SLJ_OBJECT) {
            node = slj_doc_member(doc, node, token, pointer_token(token, raw));
            if (node == 0) {
                return false;
            }
        } else if (here->kind == SLJ_ARRAY) {
            int64_t index;
            if (!sl_parse_i64(token, raw, &index) || index < 0 || index >= here->count) {
                return false;
            }
            for (node++; index > 0; index--) {
                node = doc->nodes[node].end;
            }
        } else {
            return false;
        }
    }
    *out = node;
    return *pointer == 0;
}

sl_error *slj_set_reference(slj_set *set, const slj_schema *from, uint32_t reference_node,
                            slj_schema **out, const slj_anchor **dynamic) {
    const slj_node *reference = &from->doc->nodes[reference_node];
    char *fragment;
    if (reference->kind != SLJ_STRING) {
        return slj_schema_error(from->doc, reference_node, "a reference must be a string");
    }
    char *uri = resolve_uri(set, from->resource->uri, reference, &fragment);
    slj_resource *resource;
    sl_error *error = uri == NULL ? sl_error_no_memory() : find_resource(set, uri, &resource);
    if (error != NULL) {
        return error;
    }
    if (resource == NULL) {
        return slj_schema_error(from->doc, reference_node,
                                "no document \"%s\" is known; nothing is fetched, give it as a "
                                "remote",
                                uri);
    }
    uint32_t node = resource->root;
    bool found = true;
    percent_decode(fragment);
    if (*fragment == '/') {
        found = follow_pointer(resource->doc, node, fragment, &node);
    } else if (*fragment != 0) {
        const slj_anchor *anchor = resource->anchors;
        while (anchor != NULL && !(anchor->bytes == strlen(fragment) &&
                                   memcmp(anchor->name, fragment, anchor->bytes) == 0)) {
            anchor = anchor->next;
        }
        found = anchor != NULL;
        if (found) {
            node = anchor->node;
            *dynamic = anchor->dynamic ? anchor : NULL;
        }
    }
    if (!found) {
        return slj_schema_error(from->doc, reference_node, "\"%.*s\" leads nowhere",
                                (int)reference->bytes, (const char *)reference->text);
    }
    return slj_set_schema_at(set, resource->doc, node, out);
}

slj_schema *slj_set_dynamic_target(const slj_set *set, const slj_resource *resource,
                                   const slj_anchor *wanted) {
    (void)set;
    for (const slj_anchor *a = resource->anchors; a != NULL; a = a->next) {
        if (a->dynamic && a->bytes == wanted->bytes &&
            memcmp(a->name, wanted->name, a->bytes) == 0) {
            return ((const set_doc *)(const void *)resource->doc)->by_node[a->node];
        }
    }
    return NULL;
}

/* ---- the set ---- */

sl_error *slj_set_new(const sl_json_options *options, slj_set **out) {
    slj_set *set = calloc(1, sizeof *set);
    if (set == NULL) {
        return sl_error_no_memory();
    }
    set->assert_formats = options != NULL && options->assert_formats;
    for (size_t i = 0; options != NULL && i < options->n_remotes; i++) {
        const sl_json_remote *given = &options->remotes[i];
        remote *copy = slj_arena_alloc(&set->arena, sizeof *copy);
        if (copy != NULL) {
            copy->uri = slj_arena_text(&set->arena, given->uri, strlen(given->uri));
            copy->text = slj_arena_text(&set->arena, given->text, given->bytes);
            copy->bytes = given->bytes;
            copy->next = set->remotes;
        }
        if (copy == NULL || copy->uri == NULL || copy->text == NULL) {
            slj_set_free(set);
            return sl_error_no_memory();
        }
        set->remotes = copy;
    }
    *out = set;
    return NULL;
}

void slj_set_free(slj_set *set) {
    if (set == NULL) {
        return;
    }
    for (set_doc *d = set->docs; d != NULL; d = d->next) {
        for (size_t i = 0; d->by_node != NULL && i < d->doc.n; i++) {
            slj_schema *schema = d->by_node[i];
            if (schema == NULL) {
                continue;
            }
            slj_regex_free(schema->pattern);
            for (uint32_t k = 0; k < schema->n_patterns; k++) {
                slj_regex_free(schema->patterns[k].regex);
            }
        }
        slj_doc_free(&d->doc);
    }
    free(set->pending);
    slj_arena_free(&set->arena);
    free(set);
}

/* A schema is an instance of its metaschema. */
static sl_error *check_by_metaschema(slj_set *set, const set_doc *loaded) {
    const char *uri = loaded->root->metaschema;
    slj_resource *resource;
    slj_schema *meta;
    sl_error *error = find_resource(set, uri == NULL ? SLJ_METASCHEMA_URI : uri, &resource);
    if (error == NULL && resource != NULL) {
        error = slj_set_schema_at(set, resource->doc, resource->root, &meta);
    }
    if (error != NULL || resource == NULL) {
        return error;
    }
    error = fill_pending(set);
    slj_check *check = error == NULL ? slj_check_new(set) : NULL;
    if (check == NULL) {
        return error != NULL ? error : sl_error_no_memory();
    }
    sl_json_verdict verdict;
    error = slj_check_run(check, meta, &loaded->doc, &verdict);
    if (error == NULL && verdict.reason != SL_JSON_OK) {
        error = sl_error_new(SL_ERROR_CONFIG, "schema %s: %s", verdict.path, verdict.detail);
    }
    slj_check_free(check);
    return error;
}

sl_error *slj_set_load(slj_set *set, const char *text, size_t bytes, slj_schema **out) {
    set_doc *loaded;
    sl_error *error = load_document(set, "", text, bytes, &loaded);
    if (error == NULL) {
        error = check_by_metaschema(set, loaded);
    }
    if (error == NULL) {
        error = slj_set_schema_at(set, &loaded->doc, 0, out);
    }
    return error != NULL ? error : fill_pending(set);
}
