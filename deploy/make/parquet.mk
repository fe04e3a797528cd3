# lib/parquet's own test programs: the reader's driver, which prints a file as JSON lines.
PARQUET_ARCHIVES = $(foreach l,parquet columns base,$(BUILD)/lib/libsl_$(l).a)

$(BUILD)/tests/tools/parquet_to_json: $(BUILD)/obj/tests/tools/parquet_to_json.c.o $(PARQUET_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< $(PARQUET_ARCHIVES) $(SYS_parquet) $(SYS_columns) $(SYS_base)

# The writer for Python's ctypes.
$(BUILD)/tests/tools/parquet_writer_shim.so: $(BUILD)/obj/tests/tools/parquet_writer_shim.c.o $(PARQUET_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -shared -o $@ $< -Wl,--exclude-libs,ALL $(PARQUET_ARCHIVES) $(SYS_parquet) $(SYS_columns) $(SYS_base)
