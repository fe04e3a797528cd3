/* All of the plugin SDK: what a plugin is (plugin.h), and reading and building columns row by row
 * (column.h, rows.h). */
#ifndef SLUICE_SLUICE_H
#define SLUICE_SLUICE_H

#include "sluice/column.h"
#include "sluice/plugin.h"
#include "sluice/rows.h"

#endif /* SLUICE_SLUICE_H */
