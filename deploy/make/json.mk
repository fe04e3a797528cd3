# lib/json's own programs: the official JSON Schema test suite and the tool of the random tests.
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
