/* What the parts of editions share: edition.c (the text), edition_compare.c, edition_restore.c. */
#ifndef TOPOLOGY_EDITION_PARTS_H
#define TOPOLOGY_EDITION_PARTS_H

#include "topology/document.h"
#include "topology/edition.h"

enum { EDITION_MAX_FILES = 256 };

struct edition {
    struct arena arena;
    const struct json_value *root;
    int files[EDITION_MAX_FILES]; /* of restored topologies: their contents in memory */
    size_t n_files;
};

/* The first fault of a text that should be an edition's; a json_fault. */
struct edition_fault {
    char text[256];
};
void edition_note_fault(void *arg, struct json_place place, const char *path, const char *text);

/* Append `"key":`, `"key":"text",`. */
void edition_append_key(sl_buffer *out, const char *key);
void edition_append_member(sl_buffer *out, const char *key, const char *text);

/* The node of this name in an edition or a topology's document; NULL: there is none. */
const struct json_value *edition_node(const struct json_value *root, enum topology_kind kind,
                                      const char *name);
/* A member of a node that an edition always has. */
const char *edition_text(const struct json_value *object, const char *key);

#endif /* TOPOLOGY_EDITION_PARTS_H */
