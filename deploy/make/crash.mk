# The crash tests: kills at random moments and at every durable step, on a real broker (tests/crash).
CRASH_SHIM = $(BUILD)/tests/crash/preload.so

.PHONY: crash crash-lies crash-built
crash: ## SIGKILL and power cuts at random and at each durable step; the oracle counts (SLUICE_CRASH_KILLS: 90)
	deploy/dev/install-deps.sh test
	deploy/dev/python-env.sh
	$(MAKE) --no-print-directory -j$$(nproc) crash-built
	$(BUILD)/venv/bin/python -m tests.crash
crash-lies: crash-built ## the crash tests' own test: one fsync, put-if-absent or position check taken out must be found out
	$(BUILD)/venv/bin/python -m tests.crash --lie all
	CPPFLAGS=-DSLUICE_LIE_POSITIONS $(MAKE) --no-print-directory BUILD=build-lie -j$$(nproc) crash-built
	SLUICE_BINARY=$(abspath build-lie/sluice) $(BUILD)/venv/bin/python -m tests.crash --lie positions
crash-built: all $(CRASH_SHIM)
# the smoke test of tests/integration needs it, too
unit-programs: $(CRASH_SHIM)

$(CRASH_SHIM): $(call objects,$(wildcard tests/crash/*.c))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -shared -o $@ $^ -ldl -lpthread
