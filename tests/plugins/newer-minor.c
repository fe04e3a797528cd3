/* A plugin built for a newer minor of the ABI: must be refused before anything of it is called. */
#include "sluice/plugin.h"

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {SL_ABI_MAJOR,
                                                  SL_ABI_MINOR + 1,
                                                  sizeof(sl_plugin),
                                                  0,
                                                  .name = "newer-minor",
                                                  .version = "1.0.0",
                                                  .summary = "built for a newer minor of the ABI",
                                                  .licence = "MIT"};
