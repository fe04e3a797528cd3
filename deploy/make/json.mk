# lib/json's own programs: the official JSON Schema test suite and the tool of the random tests.
# The same tests with the plain form of json/block16.h, for machines with neither SSE2 nor NEON.
JSON_PLAIN = $(patsubst %,$(BUILD)/obj/plain/%.o,$(wildcard lib/json/*.c) tests/unit/test_json_decode.c)
$(BUILD)/obj/plain/%.c.o: CPPFLAGS += -DSLJ_BLOCK_PLAIN
$(BUILD)/obj/plain/tests/%.c.o: CFLAGS := $(filter-out -Wpedantic -Wconversion,$(CFLAGS)) -Wno-gnu-zero-variadic-macro-arguments
$(BUILD)/obj/plain/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/tests/unit/test_json_decode_plain: $(JSON_PLAIN) $(LIB_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(JSON_PLAIN) $(LIB_ARCHIVES) $(SYS_libs) $(CHECK_LIBS)

JSON_ARCHIVES = $(foreach l,json columns base,$(BUILD)/lib/libsl_$(l).a)
JSON_LINK     = $(CC) $(LDFLAGS) -o $@ $< $(JSON_ARCHIVES) $(SYS_json) $(SYS_columns) $(SYS_base)
JSON_SUITE    = build/deps/json-schema-test-suite

$(BUILD)/tests/json_suite: $(BUILD)/obj/tests/json-suite/run.c.o $(JSON_ARCHIVES)
	@mkdir -p $(@D)
	$(JSON_LINK)
$(BUILD)/tests/tools/json_%: $(BUILD)/obj/tests/tools/json_%.c.o $(JSON_ARCHIVES)
	@mkdir -p $(@D)
	$(JSON_LINK)

.PHONY: json-suite
json-suite: $(BUILD)/tests/json_suite ## the official JSON-Schema-Test-Suite, draft 2020-12
	deploy/dev/python-env.sh suite
	$(BUILD)/tests/json_suite $(JSON_SUITE)

# Against simdjson; Debian's libsimdjson-dev comes with install-deps.sh.
$(BUILD)/tests/json_simdjson: $(BUILD)/obj/tests/tools/json_simdjson.cc.o $(JSON_ARCHIVES)
	@mkdir -p $(@D)
	$(CXX) $(LDFLAGS) -o $@ $^ -lsimdjson $(SYS_json) $(SYS_columns) $(SYS_base)

.PHONY: json-simdjson
json-simdjson: $(BUILD)/tests/json_simdjson ## lib/json against simdjson on random texts
	$(BUILD)/tests/json_simdjson
