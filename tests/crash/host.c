/* Hosts on one machine: gethostname(2) answers SLUICE_CRASH_HOST where that is set. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((visibility("default"))) int gethostname(char *out, size_t bytes) {
    static int (*real)(char *, size_t);
    const char *host = getenv("SLUICE_CRASH_HOST");
    if (host != NULL) {
        (void)snprintf(out, bytes, "%s", host);
        return 0;
    }
    if (real == NULL) { /* whoever looks it up finds the same */
        *(void **)&real = dlsym(RTLD_NEXT, "gethostname");
    }
    return real == NULL ? -1 : real(out, bytes);
}
