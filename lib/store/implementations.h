/* How sl_store_open makes each kind of store: no public interface. */
#ifndef SL_STORE_IMPLEMENTATIONS_H
#define SL_STORE_IMPLEMENTATIONS_H

#include "store/store.h"

/* A folder store; `root` is an absolute path without a trailing '/' ("" for the file system's
 * root), copied. */
sl_error *sl_folder_open(const char *root, bool read_only, sl_store **out);

/* A container, or a folder of one, of Azure Blob Storage (azure.h). Copies `url` and the SAS. */
sl_error *sl_azure_open(const char *url, const sl_store_options *options, sl_store **out);

#endif /* SL_STORE_IMPLEMENTATIONS_H */
