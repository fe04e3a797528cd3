/*
 * Slots: pointers by small numbers (sl_stream.index, say), growing as needed. Zero-initialise.
 */
#ifndef SL_BASE_SLOTS_H
#define SL_BASE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct sl_slots {
    void **items;
    size_t n;
} sl_slots;

/* NULL when nothing is there. */
static inline void *sl_slots_get(const sl_slots *slots, size_t index) {
    return index < slots->n ? slots->items[index] : NULL;
}

/* Puts `item` (NULL empties the slot); false when memory is short, and then nothing changed. */
static inline bool sl_slots_set(sl_slots *slots, size_t index, void *item) {
    if (index >= slots->n) {
        if (item == NULL) {
            return true;
        }
        size_t n = (index + 8) * 2;
        void **items = (void **)realloc((void *)slots->items, n * sizeof(*items));
        if (items == NULL) {
            return false;
        }
        memset((void *)(items + slots->n), 0, (n - slots->n) * sizeof(*items));
        slots->items = items;
        slots->n = n;
    }
    slots->items[index] = item;
    return true;
}

/* Frees the table, not what it points to. */
static inline void sl_slots_free(sl_slots *slots) {
    free((void *)slots->items);
    slots->items = NULL;
    slots->n = 0;
}

#endif /* SL_BASE_SLOTS_H */
