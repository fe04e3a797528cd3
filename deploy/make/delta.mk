# Delta's test driver links what it exercises, and nothing that other people may be changing.
DELTA_ARCHIVES := $(foreach l,delta parquet store http columns base,$(BUILD)/lib/libsl_$(l).a)

$(BUILD)/tests/tools/delta_tool: $(BUILD)/obj/tests/tools/delta_tool.c.o $(DELTA_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(SYS_parquet) $(SYS_store) $(SYS_http) $(SYS_columns) $(SYS_base)
