/* Option tables as text for people and as JSON for programs. */
#ifndef CLI_OPTION_PRINT_H
#define CLI_OPTION_PRINT_H

#include "report/json_out.h"

#include "sluice/option.h"

/* Appends one paragraph for each option; nested ones follow with their path. */
void option_print_text(const sl_option *table, const char *prefix, sl_buffer *out);
/* Writes an array of options. */
void option_print_json(const sl_option *table, struct json_out *out);
/* Writes the JSON Schema (2020-12) of an object that the table parses. */
void option_print_schema(const sl_option *table, struct json_out *out);
/* Writes the members "property name": {schema} of a table, without the enclosing object. */
void option_print_properties(const sl_option *table, struct json_out *out);

#endif /* CLI_OPTION_PRINT_H */
