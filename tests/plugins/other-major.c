/* A plugin built for the next major of the ABI: must be refused before anything of it is called. */
#include "sluice/plugin.h"

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {SL_ABI_MAJOR + 1,
                                                  0,
                                                  sizeof(sl_plugin),
                                                  0,
                                                  .name = "other-major",
                                                  .version = "1.0.0",
                                                  .summary = "built for the next major of the ABI",
                                                  .licence = "MIT"};
