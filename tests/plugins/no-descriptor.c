/* A shared object that is no plugin. */
#include "sluice/abi.h"

SL_EXPORT int some_other_symbol(void);

int some_other_symbol(void) {
    return 1;
}
