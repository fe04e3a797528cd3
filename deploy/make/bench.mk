# The benchmark on a real broker, and the demo. Figures: docs/operations/performance.md.
$(BUILD)/tests/bench/yardstick: $(BUILD)/obj/tests/bench/yardstick.c.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< -lzstd

# What was missing before the set-up is found by a make that starts after it.
.PHONY: bench bench-built demo
bench: ## CPU-seconds per million events on a real broker, with the truth checked (SLUICE_BENCH_EVENTS)
	deploy/dev/install-deps.sh test
	deploy/dev/python-env.sh
	$(MAKE) --no-print-directory bench-built
bench-built: all $(BUILD)/tests/bench/yardstick
	build/venv/bin/python -m tests.bench
