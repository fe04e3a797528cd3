# The test driver of lib/store, on a loop of its own.
STORE_ARCHIVES := $(foreach l,store http base,$(BUILD)/lib/libsl_$(l).a)

$(BUILD)/obj/tests/tools/store_tool.c.o: CPPFLAGS += -Itests/unit
$(BUILD)/tests/tools/store_tool: $(BUILD)/obj/tests/tools/store_tool.c.o $(STORE_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(SYS_store) $(SYS_http) $(SYS_base) -lz
