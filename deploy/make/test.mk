# Testing: tests/unit/test_X.c are Check programs, each linked with all libraries.
UNIT_SOURCES  = $(wildcard tests/unit/test_*.c)
# What runs on one thread has nothing to tell ThreadSanitizer, which would take minutes for it.
ONE_THREAD    = base columns delta_% json_% parquet_% window_% %_memory
UNIT_NAMES    = $(patsubst tests/unit/test_%.c,%,$(UNIT_SOURCES)) json_decode_plain
UNIT_PROGRAMS = $(addprefix $(BUILD)/tests/unit/test_,$(filter-out $(if $(TSAN_OBJECTS),$(ONE_THREAD)),$(UNIT_NAMES)))
CHECK_LIBS   := $(shell pkg-config --libs check 2>/dev/null)

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.c.o $(LIB_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< $(LIB_ARCHIVES) $(SYS_libs) $(SYS_unit_$*) $(CHECK_LIBS)
# Tests of plugins run them in the harness: tests/unit/test_plugin_NAME.c loads build/plugins/NAME.so.
HARNESS_ARCHIVE = $(BUILD)/lib/libsl_harness.a
$(HARNESS_ARCHIVE): $(call objects,$(wildcard sdk/harness/*.c))
	@mkdir -p $(@D)
	@rm -f $@
	ar rcs $@ $^
$(TSAN_OBJECTS): tests/support/c11_threads.c
HARNESS_PARTS = $(TSAN_OBJECTS) $(HARNESS_ARCHIVE) $(LIB_ARCHIVES)
$(BUILD)/tests/unit/test_plugin_%: $(BUILD)/obj/tests/unit/test_plugin_%.c.o $(HARNESS_PARTS) $(BUILD)/plugins/%.so
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< $(HARNESS_PARTS) $(SYS_libs) $(SYS_plugin_$*) -ldl $(CHECK_LIBS)
$(BUILD)/tests/unit/test_harness: $(BUILD)/obj/tests/unit/test_harness.c.o $(HARNESS_PARTS) $(BUILD)/tests/plugins/picky.so
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< $(HARNESS_PARTS) $(SYS_libs) -ldl $(CHECK_LIBS)
$(BUILD)/tests/unit/test_plugin_gold-agg_group: $(BUILD)/plugins/gold-agg.so
$(BUILD)/tests/unit/test_plugin_gold-agg_again: $(BUILD)/plugins/gold-agg.so
$(BUILD)/obj/tests/%.c.o: CPPFLAGS += -Isdk -DSL_BUILD_DIR='"$(abspath $(BUILD))"'
# -Wpedantic and Check's variadic macros do not go together
$(BUILD)/obj/tests/%.c.o: CFLAGS := $(filter-out -Wpedantic -Wconversion,$(CFLAGS)) -Wno-gnu-zero-variadic-macro-arguments

# Each run is a target, so that -j runs some at a time; -k goes on behind one that fails.
UNIT_RUNS = $(addsuffix .run,$(UNIT_PROGRAMS))
.PHONY: unit $(UNIT_RUNS)
unit: $(UNIT_PROGRAMS)
	@$(MAKE) --no-print-directory -k -O $(UNIT_RUNS)
$(UNIT_RUNS): %.run: %
	@echo "== $<"; SECONDS=0; $<; status=$$?; echo "($$SECONDS s)"; exit $$status
# Tests of the runtime (host, topology, plugin registry) link everything of it but the command line.
RUNTIME_ARCHIVE = $(BUILD)/lib/libsl_runtime.a
$(RUNTIME_ARCHIVE): $(call objects,$(filter-out runtime/cli/%,$(runtime_sources)))
	@mkdir -p $(@D)
	@rm -f $@
	ar rcs $@ $^
$(BUILD)/tests/unit/test_runtime_%: $(BUILD)/obj/tests/unit/test_runtime_%.c.o $(LIB_ARCHIVES) $(RUNTIME_ARCHIVE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -rdynamic -o $@ $< $(RUNTIME_ARCHIVE) $(LIB_ARCHIVES) $(SYS_libs) $(SYS_runtime) $(CHECK_LIBS)
$(BUILD)/obj/tests/unit/test_runtime_%.c.o: CPPFLAGS += -Iruntime

.PHONY: unit-programs test integration
unit-programs: $(UNIT_PROGRAMS)
# The set-up may bring what this make has looked for and not found, so the runner makes anew.
test: ## everything: sets up, builds, unit tests, real servers, foreign readers (tests/run --help)
	tests/run
integration: ## only whole runs against a real broker, with set-up (SLUICE_EVENTS: default 200000)
	tests/run setup build integration

.PHONY: slow-sinks
slow-sinks: all test-plugins ## sinks that stand still for SLUICE_BLOCKED_S (120) seconds: what the others lose by it
	SLUICE_BLOCKED_S=$${SLUICE_BLOCKED_S:-120} $(BUILD)/venv/bin/python -m pytest -s -q tests/integration/test_slow_sinks.py -k acceptance
