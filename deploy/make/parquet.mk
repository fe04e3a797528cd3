# lib/parquet's own test programs: the reader's driver, which prints a file as JSON lines.
PARQUET_ARCHIVES = $(foreach l,parquet columns base,$(BUILD)/lib/libsl_$(l).a)

$(BUILD)/tests/tools/parquet_to_json: $(BUILD)/obj/tests/tools/parquet_to_json.c.o $(PARQUET_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< $(PARQUET_ARCHIVES) $(SYS_parquet) $(SYS_columns) $(SYS_base)
