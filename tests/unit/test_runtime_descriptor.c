/*
 * The checks of a plugin's descriptor, one fault at a time, on descriptors that live in this
 * program (what a shared object may bring along besides is in test_runtime_topology.c).
 */
#include "plugin/descriptor.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct config {
    int64_t number;
    const char *text;
    sl_map map;
    const void *object;
};

/* A descriptor with all its parts, to be spoilt. */
static struct parts {
    sl_plugin plugin;
    sl_role role;
    sl_node_ops node;
    sl_task_ops task;
    sl_option options[4];
    sl_option nested[2];
    const char *outputs[3];
} parts;

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    (void)context;
    (void)out;
    return NULL;
}

static sl_error *node_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    (void)node;
    (void)output;
    (void)out;
    return NULL;
}

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    (void)node;
    (void)context;
    (void)out;
    return NULL;
}

static sl_error *task_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)task;
    (void)input;
    (void)batch;
    return NULL;
}

static void setup(void) {
    parts = (struct parts){
        .plugin = {SL_PLUGIN_HEADER, .name = "p", .version = "1", .summary = "s", .licence = "MIT",
                   .transform = &parts.role},
        .role = {.struct_bytes = sizeof(sl_role),
                 .option_bytes = sizeof(sl_option),
                 .options = parts.options,
                 .config_bytes = sizeof(struct config),
                 .outputs = parts.outputs,
                 .min_inputs = 1,
                 .max_inputs = 2,
                 .node = &parts.node,
                 .task = &parts.task},
        .node = {.struct_bytes = sizeof(sl_node_ops),
                 .open = node_open,
                 .output_schema = node_schema},
        .task = {.struct_bytes = sizeof(sl_task_ops), .open = task_open, .process = task_process},
        .options = {{.name = "number",
                     .type = SL_OPTION_INTEGER,
                     .flags = SL_OPTION_RANGE,
                     .offset = offsetof(struct config, number),
                     .max = 9},
                    {.name = "object",
                     .type = SL_OPTION_OBJECT,
                     .offset = offsetof(struct config, object),
                     .options = parts.nested,
                     .object_bytes = 8},
                    {.name = "rest",
                     .type = SL_OPTION_MAP,
                     .flags = SL_OPTION_REST,
                     .offset = offsetof(struct config, map)}},
        .nested = {{.name = "inner", .type = SL_OPTION_INTEGER}},
        .outputs = {"", "rejects", NULL},
    };
}

static void good(void) {
    struct descriptor_copy *copy = NULL;
    sl_error *error = descriptor_copy_new(&parts.plugin, sizeof(parts.plugin), "p", "p.so", &copy);
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
    descriptor_copy_free(copy);
}

static void bad(const char *part) {
    struct descriptor_copy *copy = NULL;
    sl_error *error = descriptor_copy_new(&parts.plugin, sizeof(parts.plugin), "p", "p.so", &copy);
    ck_assert_msg(error != NULL, "it is taken in spite of: %s", part);
    ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
    const char *message = sl_error_message(error);
    ck_assert_msg(strncmp(message, "plugin \"p\" (p.so): ", 19) == 0, "%s", message);
    ck_assert_msg(strstr(message, part) != NULL, "\"%s\" does not say: %s", message, part);
    sl_error_free(error);
    setup();
}

START_TEST(a_good_one) {
    good();
    parts.role.outputs = NULL;
    good();
    parts.role.options = NULL;
    good();
}
END_TEST

START_TEST(versions_and_sizes) {
    parts.plugin.abi_major = 0;
    bad("built for plugin ABI 0.");
    parts.plugin.abi_minor = SL_ABI_MINOR + 7;
    bad("upgrade sluice");
    parts.plugin.struct_bytes = 8;
    bad("says it has 8 bytes");
    parts.plugin.struct_bytes = sizeof(sl_plugin) + 1; /* more than there is to read */
    bad("a descriptor that says");
    parts.role.struct_bytes = 4;
    bad("a role of 4 bytes");
    parts.node.struct_bytes = 4;
    bad("a role without operations");
    parts.role.task = NULL;
    bad("a role without operations");
    parts.role.option_bytes = 8;
    bad("an option of 8 bytes");
}
END_TEST

START_TEST(names) {
    parts.plugin.name = "q";
    bad("calls itself \"q\"");
    parts.plugin.name = NULL;
    bad("calls itself \"\"");
    parts.plugin.version = NULL;
    bad("without version");
    parts.plugin.licence = NULL;
    bad("without licence");
    parts.plugin.transform = NULL;
    bad("without any role");
    parts.plugin.section = "x";
    bad("section \"x\" has no option table");
}
END_TEST

START_TEST(roles) {
    parts.node.open = NULL;
    bad("no operation node.open");
    parts.task.process = NULL;
    bad("no operation task.process");
    parts.node.output_schema = NULL;
    bad("no operation node.output_schema");
    parts.role.flags = SL_ROLE_DURABLE;
    bad("no operation node.recover");
    parts.role.guarantee = 3;
    bad("unknown guarantee 3");
    parts.role.max_inputs = 0;
    bad("takes 1 to 0 inputs");
    parts.role.min_inputs = 3;
    bad("takes 3 to 2 inputs");
    parts.outputs[0] = "rows";
    bad("first output");
    parts.outputs[1] = "";
    bad("first output");
    parts.outputs[0] = NULL;
    bad("list of outputs is empty");
    parts.plugin.source = &parts.role;
    bad("no operation task.poll");
}
END_TEST

START_TEST(option_tables) {
    parts.options[0].name = "";
    bad("empty name");
    parts.options[0].type = 99;
    bad("unknown type 99");
    parts.options[0].offset = 4;
    bad("outside its config struct");
    parts.options[0].offset = sizeof(struct config);
    bad("outside its config struct");
    parts.options[0].offset = SIZE_MAX - 7;
    bad("outside its config struct");
    parts.options[0].type = SL_OPTION_ENUM;
    bad("an enum without names");
    parts.options[0].min = 10;
    bad("a range without values");
    parts.options[0].flags = SL_OPTION_EXCLUSIVE;
    bad("exclusive, but is no location");
    parts.options[0].flags = SL_OPTION_REST;
    bad("takes the rest of the keys, but is no map");
    parts.options[0].name = "object";
    bad("stands twice");
    parts.options[1].options = NULL;
    bad("without options of its own");
    parts.options[1].object_bytes = 4;
    bad("\"inner\" lies outside");
    parts.nested[0] = parts.options[1]; /* a table that holds itself */
    parts.nested[0].offset = 0;
    bad("nested deeper");
}
END_TEST

START_TEST(a_table_without_end) {
    sl_option *many = calloc(2000, sizeof(*many));
    ck_assert_ptr_nonnull(many);
    for (size_t i = 0; i < 2000; i++) {
        many[i] = parts.options[0];
    }
    parts.role.options = many;
    bad("has no end");
    free(many);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("runtime_descriptor");
    TCase *cases = tcase_create("descriptor");
    tcase_add_checked_fixture(cases, setup, NULL);
    tcase_add_test(cases, a_good_one);
    tcase_add_test(cases, versions_and_sizes);
    tcase_add_test(cases, names);
    tcase_add_test(cases, roles);
    tcase_add_test(cases, option_tables);
    tcase_add_test(cases, a_table_without_end);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
