# The crash tests: kills at random moments and at every durable step, on a real broker (tests/crash).
CRASH_SHIM = $(BUILD)/tests/crash/preload.so

.PHONY: crash crash-built
crash: ## SIGKILL and power cuts at random and at each durable step; the oracle counts (SLUICE_CRASH_KILLS: 40)
	deploy/dev/install-deps.sh test
	deploy/dev/python-env.sh
	$(MAKE) --no-print-directory -j$$(nproc) crash-built
	$(BUILD)/venv/bin/python -m tests.crash
crash-built: all $(CRASH_SHIM)

$(CRASH_SHIM): $(call objects,$(wildcard tests/crash/*.c))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -shared -o $@ $^ -ldl -lpthread
