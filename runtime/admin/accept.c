/* The header Accept (see accept.h). */
#include "admin/accept.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct range {
    const char *type; /* "text/html", "text/" + "*", "*" + "/" + "*" */
    size_t type_bytes;
    double quality;
};

/* Takes the next media range off the header; false at its end. */
static bool next_range(const char **accept, struct range *out) {
    const char *at = *accept + strspn(*accept, ", \t");
    if (*at == 0) {
        return false;
    }
    size_t bytes = strcspn(at, ",");
    out->type = at;
    out->type_bytes = strcspn(at, ";, \t");
    out->quality = 1;
    for (const char *p = at; (p = memchr(p, ';', (size_t)(at + bytes - p))) != NULL;) {
        p++;
        p += strspn(p, " \t");
        if (strncasecmp(p, "q=", 2) == 0) {
            out->quality = strtod(p + 2, NULL);
        }
    }
    *accept = at + bytes;
    return true;
}

double accept_quality(const char *accept, const char *type) {
    size_t major_bytes = strcspn(type, "/") + 1;
    double quality = 0;
    int best = 0;
    struct range range;
    while (next_range(&accept, &range)) {
        int fit = 0;
        if (range.type_bytes == strlen(type) && strncasecmp(range.type, type, strlen(type)) == 0) {
            fit = 3;
        } else if (range.type_bytes == major_bytes + 1 && range.type[major_bytes] == '*' &&
                   strncasecmp(range.type, type, major_bytes) == 0) {
            fit = 2;
        } else if (range.type_bytes == 3 && memcmp(range.type, "*/*", 3) == 0) {
            fit = 1;
        }
        if (fit > best) {
            best = fit;
            quality = range.quality;
        }
    }
    return quality;
}
