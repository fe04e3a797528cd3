# The demo, and the benchmark on a real broker. What was missing before a set-up is found by a make
# that starts after it.
.PHONY: demo demo-built bench bench-built

$(BUILD)/demo-report: $(BUILD)/obj/deploy/demo/report.c.o $(DELTA_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(SYS_delta) $(SYS_parquet) $(SYS_store) $(SYS_http) $(SYS_columns) $(SYS_base)
demo: ## 20 seconds of retail events through bronze, silver and gold in ./demo-lake, then the numbers
	deploy/dev/install-deps.sh build
	$(MAKE) --no-print-directory -s -j$$(nproc) demo-built
	rm -rf demo-lake
	$(BUILD)/sluice run --until-end deploy/demo/retail.json
	$(BUILD)/demo-report revenue 10 bronze=demo-lake/bronze/events silver=demo-lake/silver/events \
	  quarantine=demo-lake/silver/quarantine gold=demo-lake/gold/per_country
demo-built: all $(BUILD)/demo-report

$(BUILD)/tests/bench/yardstick: $(BUILD)/obj/tests/bench/yardstick.c.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< -lzstd
bench: ## CPU-seconds per million events on a real broker, truth checked (SLUICE_BENCH_EVENTS: 2000000)
	deploy/dev/install-deps.sh test
	deploy/dev/python-env.sh
	$(MAKE) --no-print-directory -s -j$$(nproc) bench-built
	$(BUILD)/venv/bin/python -m tests.bench
bench-built: all $(BUILD)/tests/bench/yardstick

.PHONY: dashboard-cost
dashboard-cost: all ## what the dashboard costs a run under full load, in one run with and without it
	$(BUILD)/venv/bin/python -m tests.dashboard.cost

.PHONY: reload-cost
reload-cost: all ## what a reload that changes one sink costs the others under full load, in one run; truth checked
	$(BUILD)/venv/bin/python -m tests.bench.reload
