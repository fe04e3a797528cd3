/* powerbi-sink: its options and its descriptor. */
#include "powerbi.h"

static const char *const OUTPUTS[] = {SL_REJECT_OUTPUT, NULL};
static const char *const RETENTION[] = {"basicFIFO", "none", NULL};

/* Indexes are sl_credential_kind's. */
static const char *const AUTH[] = {
    "none", "client-secret", "workload-identity", "managed-identity", "default", NULL};

static const sl_option OPTIONS[] = {
    {.name = "dataset",
     .type = SL_OPTION_STRING,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct powerbi_config, dataset),
     .doc = "name of the push dataset; made when it is not there"},
    {.name = "table",
     .type = SL_OPTION_STRING,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct powerbi_config, table),
     .doc = "name of its table"},
    {.name = "workspace",
     .type = SL_OPTION_STRING,
     .offset = offsetof(struct powerbi_config, workspace),
     .doc = "id of the workspace; My workspace when absent"},
    {.name = "retention",
     .type = SL_OPTION_ENUM,
     .offset = offsetof(struct powerbi_config, retention),
     .default_text = "basicFIFO",
     .enum_names = RETENTION,
     .doc = "of a dataset that is made: basicFIFO keeps the newest 200,000 rows, none takes "
            "5,000,000 and then fails"},
    {.name = "coalesce",
     .type = SL_OPTION_BOOL,
     .offset = offsetof(struct powerbi_config, coalesce),
     .default_text = "false",
     .doc = "send only the newest row of each key among those that wait"},
    {.name = "key",
     .type = SL_OPTION_LIST,
     .offset = offsetof(struct powerbi_config, key),
     .doc =
         "columns that are a row's key, for coalesce; those that the input declares when absent"},
    {.name = "auth",
     .type = SL_OPTION_ENUM,
     .offset = offsetof(struct powerbi_config, auth),
     .default_text = "default",
     .enum_names = AUTH,
     .doc = SL_CREDENTIAL_AUTH_DOC},
    SL_CREDENTIAL_OPTIONS(struct powerbi_config, login),
    {.name = "endpoint",
     .type = SL_OPTION_STRING,
     .offset = offsetof(struct powerbi_config, endpoint),
     .default_text = "https://api.powerbi.com",
     .doc = "the service; sovereign clouds have others"},
    {.name = "scope",
     .type = SL_OPTION_STRING,
     .offset = offsetof(struct powerbi_config, scope),
     .default_text = "https://analysis.windows.net/powerbi/api/.default",
     .doc = "what tokens are asked for"},
    {.name = NULL},
};

static const sl_role SINK = {
    .struct_bytes = sizeof(sl_role),
    .flags = SL_ROLE_REPLAYS,
    .outputs = OUTPUTS,
    .guarantee = SL_AT_LEAST_ONCE,
    .option_bytes = sizeof(sl_option),
    .options = OPTIONS,
    .config_bytes = sizeof(struct powerbi_config),
    .min_inputs = 1,
    .max_inputs = 1,
    .node = &powerbi_node_ops,
    .task = &powerbi_task_ops,
};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER,      .name = "powerbi-sink",
    .version = SL_VERSION, .summary = "rows into a Power BI push dataset, within its limits",
    .licence = "MIT",      .sink = &SINK,
};
