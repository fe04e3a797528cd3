/*
 * The version of the plugin ABI.
 *
 * A plugin is loaded when its major equals the host's and its minor is not above the host's. Every
 * struct that crosses the border begins with its size; the host copies min(sizes) into zeroed
 * memory, so that what an older plugin does not know is NULL or 0, which always means "the
 * default".
 *
 * Changelog
 *   1.0  first version
 *   1.1  services->reject, the columns of rejects, SL_OPTION_CONTENT and SL_OPTION_TUNING,
 *        sl_node_ops.drop_handle, services->http, services->missing, services->hold_back,
 *        SL_ROLE_WHOLE, SL_ROLE_ASSIGNS, SL_ROLE_COUNTS, SL_ROLE_TAKES_ALL, SL_ROLE_BESIDE,
 *        sl_stream.reader with SL_ROLE_REREADS, sl_node_ops.again and bounds, services->overtaken,
 *        SL_REJECT_OUTPUT of sinks, SL_CREDENTIAL_OPTIONS, services->log_end_offset,
 *        sl_store_ops.get_all, sl_node_ops.guarantee_in, sl_node_ops.closing, sl_stream.reached,
 *        services->end_seen and end_seen_ago_us
 */
#ifndef SLUICE_ABI_H
#define SLUICE_ABI_H

#define SL_ABI_MAJOR 1
#define SL_ABI_MINOR 1

/* The one symbol that a plugin exports: `const sl_plugin sluice_plugin`. */
#define SL_PLUGIN_SYMBOL "sluice_plugin"

#if defined(__GNUC__)
#define SL_EXPORT __attribute__((visibility("default")))
#else
#define SL_EXPORT
#endif

#endif /* SLUICE_ABI_H */
