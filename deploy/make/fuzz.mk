# Fuzzing: tests/fuzz/fuzz_X.c are libFuzzer targets, built with clang, AddressSanitizer and
# UndefinedBehaviorSanitizer into $(BUILD)/fuzz, with all libraries built the same way. One whose name begins
# with fuzz_runtime_ is linked with the runtime too, and loads the plugins of tests/plugins. What a target
# starts from: tests/fuzz/run.sh.
FUZZ_SECONDS  ?= 30
FUZZ_CC       ?= clang
FUZZ_CXX      ?= clang++
FUZZ           = $(BUILD)/fuzz
FUZZ_TARGETS   = $(patsubst tests/fuzz/%.c,$(FUZZ)/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_OPT      := -O1 -g -fno-omit-frame-pointer
FUZZ_ARCHIVES  = $(foreach l,$(LIBS),$(FUZZ)/lib/libsl_$(l).a)
FUZZ_RUNTIME   = $(FUZZ)/lib/libsl_runtime.a
fuzz_objects   = $(patsubst %,$(FUZZ)/obj/%.o,$(1))

$(FUZZ)/obj/runtime/%.c.o $(FUZZ)/obj/tests/fuzz/fuzz_runtime_%.c.o: CPPFLAGS += -Iruntime
$(FUZZ)/obj/%.c.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(CPPFLAGS) -std=c11 $(WARN) $(FUZZ_OPT) $(FUZZ_SANITIZE) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
$(FUZZ)/obj/%.cc.o: %.cc
	@mkdir -p $(@D)
	$(FUZZ_CXX) $(CPPFLAGS) -std=c++17 $(FUZZ_OPT) $(FUZZ_SANITIZE) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@

define fuzz_lib_rule
$(FUZZ)/lib/libsl_$(1).a: $(call fuzz_objects,$(2))
	@mkdir -p $$(@D)
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach l,$(LIBS),$(eval $(call fuzz_lib_rule,$(l),$(call lib_sources,$(l)))))
$(eval $(call fuzz_lib_rule,runtime,$(filter-out runtime/cli/%,$(runtime_sources))))

$(FUZZ)/fuzz_runtime_%: $(FUZZ)/obj/tests/fuzz/fuzz_runtime_%.c.o $(FUZZ_RUNTIME) $(FUZZ_ARCHIVES)
	$(FUZZ_CXX) $(FUZZ_SANITIZE) -fsanitize=fuzzer -rdynamic -o $@ $^ $(SYS_libs) $(SYS_runtime)
$(filter $(FUZZ)/fuzz_runtime_%,$(FUZZ_TARGETS)): | $(TEST_PLUGINS)
$(FUZZ)/fuzz_runtime_admin: | $(BUILD)/plugins/generator.so
$(FUZZ)/fuzz_%: $(FUZZ)/obj/tests/fuzz/fuzz_%.c.o $(FUZZ_ARCHIVES)
	$(FUZZ_CXX) $(FUZZ_SANITIZE) -fsanitize=fuzzer -o $@ $^ $(SYS_libs)

.PHONY: fuzz
fuzz: $(FUZZ_TARGETS) ## fuzz each target for FUZZ_SECONDS (30) with clang and sanitizers
	@tests/fuzz/run.sh $(FUZZ) $(FUZZ_SECONDS) $(FUZZ_TARGETS)

-include $(shell find $(FUZZ)/obj -name '*.d' 2>/dev/null)
