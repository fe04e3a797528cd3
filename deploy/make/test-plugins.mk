# Plugins for tests (tests/plugins/X.c -> build/tests/plugins/X.so), among them bad ones, and the
# tests of what the runtime does with them: tests/topology (pytest), the SDK's headers.
TEST_PLUGIN_SOURCES = $(wildcard tests/plugins/*.c)
TEST_PLUGINS        = $(patsubst tests/plugins/%.c,$(BUILD)/tests/plugins/%.so,$(TEST_PLUGIN_SOURCES)) \
                      $(BUILD)/tests/plugins/not-shared.so $(BUILD)/tests/plugins/upgraded/sieve.so
TEST_PLUGIN_LIBS    = $(foreach l,columns base,$(BUILD)/lib/libsl_$(l).a)

.PHONY: test-plugins
test-plugins: $(TEST_PLUGINS)

$(BUILD)/tests/plugins/%.so: $(BUILD)/obj/tests/plugins/%.c.o $(TEST_PLUGIN_LIBS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -shared -o $@ $< -Wl,--exclude-libs,ALL $(TEST_PLUGIN_LIBS) -Wl,--as-needed $(SYS_columns) $(SYS_base)
$(BUILD)/tests/plugins/not-shared.so:
	@mkdir -p $(@D)
	echo "this is no shared object" >$@

# The next version of a plugin, from the same source.
$(BUILD)/obj/tests/plugins/upgraded/%.c.o: CPPFLAGS += -DUPGRADED
$(BUILD)/obj/tests/plugins/upgraded/%.c.o: tests/plugins/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# Each public header of the SDK alone, pedantic, in C99, C11 and C++17.
SDK_HEADERS      = $(notdir $(wildcard sdk/include/sluice/*.h))
SDK_HEADER_TESTS = $(foreach h,$(SDK_HEADERS),$(foreach s,c99 c11 c++17,$(BUILD)/tests/headers/$(h).$(s)))

.PHONY: sdk-headers
sdk-headers: $(SDK_HEADER_TESTS) ## compile each SDK header alone as C99, C11 and C++17
define sdk_header_rule
$(BUILD)/tests/headers/%.h.$(1): sdk/include/sluice/%.h $(wildcard sdk/include/sluice/*.h)
	@mkdir -p $$(@D)
	printf '#include "sluice/%s.h"\nextern int not_empty;\n' $$* | $(2) -Isdk/include -Wall -Wextra -Wpedantic -Werror -fsyntax-only -std=$(1) -x $(3) -
	@touch $$@
endef
$(eval $(call sdk_header_rule,c99,$(CC),c))
$(eval $(call sdk_header_rule,c11,$(CC),c))
$(eval $(call sdk_header_rule,c++17,$(CXX),c++))

$(BUILD)/obj/tests/plugins/%.c.o: CPPFLAGS += -Itests/plugins

# What loads these plugins besides tests/topology and the fuzzers of the runtime.
$(foreach t,topology topology_memory edition plan connector,$(BUILD)/tests/unit/test_runtime_$(t)): | $(TEST_PLUGINS)
