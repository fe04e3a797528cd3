/* The list of faults of one load. */
#include "topology/faults.h"

#include "topology/secrets.h"

#include <stdio.h>
#include <stdlib.h>

struct entry {
    struct topology_fault fault;
    size_t order; /* of adding */
};

struct topology_faults {
    struct arena arena;
    struct entry *entries;
    size_t n;
    size_t capacity;
    size_t errors;
};

struct topology_faults *topology_faults_new(void) {
    return calloc(1, sizeof(struct topology_faults));
}

void topology_faults_free(struct topology_faults *faults) {
    if (faults != NULL) {
        arena_free(&faults->arena);
        free(faults->entries);
        free(faults);
    }
}

size_t topology_faults_count(const struct topology_faults *faults) {
    return faults == NULL ? 0 : faults->n;
}

const struct topology_fault *topology_faults_at(const struct topology_faults *faults, size_t i) {
    return &faults->entries[i].fault;
}

size_t topology_faults_errors(const struct topology_faults *faults) {
    return faults == NULL ? 0 : faults->errors;
}

bool topology_faults_failed(const struct topology_faults *faults) {
    return faults->arena.failed;
}

static bool same(const struct topology_fault *a, const struct topology_fault *b) {
    return a->line == b->line && a->column == b->column && strcmp(a->path, b->path) == 0 &&
           strcmp(a->text, b->text) == 0;
}

static void add(struct topology_faults *faults, const struct topology_fault *fault) {
    faults->errors += fault->warning ? 0 : 1;
    if (fault->path == NULL || fault->text == NULL || faults->n >= TOPOLOGY_MAX_FAULTS) {
        return;
    }
    for (size_t i = 0; i < faults->n; i++) {
        if (same(&faults->entries[i].fault, fault)) {
            faults->errors -= fault->warning ? 0 : 1;
            return;
        }
    }
    if (faults->n == faults->capacity) {
        size_t capacity = faults->capacity == 0 ? 16 : faults->capacity * 2;
        struct entry *entries = realloc(faults->entries, capacity * sizeof(*entries));
        if (entries == NULL) {
            faults->arena.failed = true;
            return;
        }
        faults->entries = entries;
        faults->capacity = capacity;
    }
    faults->entries[faults->n] = (struct entry){*fault, faults->n};
    faults->n++;
}

static void add_formatted(struct topology_faults *faults, struct json_place place, bool warning,
                          const char *path, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    char *text = length < 0 ? NULL : arena_alloc(&faults->arena, (size_t)length + 1);
    if (text != NULL) {
        (void)vsnprintf(text, (size_t)length + 1, format, again);
    }
    va_end(again);
    struct topology_fault fault = {.line = place.line,
                                   .column = place.column,
                                   .from_set = place.from_set,
                                   .warning = warning,
                                   .path = arena_text(&faults->arena, path),
                                   .text = text};
    add(faults, &fault);
}

void topology_fault_add(struct topology_faults *faults, struct json_place place, const char *path,
                        const char *format, ...) {
    va_list args;
    va_start(args, format);
    add_formatted(faults, place, false, path, format, args);
    va_end(args);
}

void topology_warning_add(struct topology_faults *faults, struct json_place place, const char *path,
                          const char *format, ...) {
    va_list args;
    va_start(args, format);
    add_formatted(faults, place, true, path, format, args);
    va_end(args);
}

static int by_place(const void *left, const void *right) {
    const struct entry *a = left;
    const struct entry *b = right;
    if (a->fault.line != b->fault.line) {
        return a->fault.line < b->fault.line ? -1 : 1;
    }
    if (a->fault.column != b->fault.column) {
        return a->fault.column < b->fault.column ? -1 : 1;
    }
    return a->order < b->order ? -1 : a->order > b->order;
}

void topology_faults_sort(struct topology_faults *faults) {
    if (faults->n > 1) {
        qsort(faults->entries, faults->n, sizeof(*faults->entries), by_place);
    }
}

static const char *masked(struct topology_faults *faults, const struct secrets *secrets,
                          const char *text) {
    sl_buffer buffer = SL_BUFFER_INIT;
    (void)sl_buffer_append_text(&buffer, text);
    secrets_mask(secrets, &buffer);
    const char *made = arena_take(&faults->arena, &buffer);
    return made == NULL ? "(out of memory)" : made;
}

/* What is quoted of a file may hold what a terminal obeys, or what looks like a line of its own. */
static const char *plain(struct topology_faults *faults, const char *text) {
    char *made = text == NULL ? NULL : arena_text(&faults->arena, text);
    for (char *c = made; c != NULL && *c != 0; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    return made == NULL ? "(out of memory)" : made;
}

void topology_faults_mask(struct topology_faults *faults, const struct secrets *secrets) {
    for (size_t i = 0; i < faults->n; i++) {
        struct topology_fault *fault = &faults->entries[i].fault;
        if (!secrets_is_empty(secrets)) {
            fault->text = masked(faults, secrets, fault->text);
        }
        fault->text = plain(faults, fault->text); /* behind the mask: secrets have controls, too */
    }
}
