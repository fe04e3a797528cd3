# Building: lib/X -> build/lib/libsl_X.a, plugins/X -> build/plugins/X.so, runtime -> build/sluice.
# Objects are kept apart by folder; header dependencies are written by the compiler (-MMD).

lib_sources     = $(wildcard lib/$(1)/*.c lib/$(1)/*.cc)
plugin_sources  = $(wildcard plugins/$(1)/*.c) $(PARTS_$(1))
runtime_sources = $(wildcard runtime/*/*.c runtime/*/*/*.c)
objects         = $(patsubst %,$(BUILD)/obj/%.o,$(1))
PLUGINS        := $(notdir $(patsubst %/,%,$(dir $(wildcard plugins/*/plugin.c))))

# bronze-sink is delta-sink over widened records.
PARTS_bronze-sink := $(filter-out %/plugin.c,$(wildcard plugins/delta-sink/*.c))
$(BUILD)/obj/plugins/bronze-sink/%.c.o: CPPFLAGS += -Iplugins/delta-sink

LIB_ARCHIVES    = $(foreach l,$(LIBS),$(BUILD)/lib/libsl_$(l).a)
PLUGIN_ARCHIVES = $(foreach l,$(LIBS_plugin),$(BUILD)/lib/libsl_$(l).a)
PLUGIN_OBJECTS  = $(foreach p,$(PLUGINS),$(BUILD)/plugins/$(p).so)

.PHONY: all libs plugins
all: $(BUILD)/sluice plugins
libs: $(LIB_ARCHIVES)
plugins: $(PLUGIN_OBJECTS)

$(BUILD)/obj/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/obj/%.cc.o: %.cc
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c $< -o $@

define lib_rule
$(BUILD)/lib/libsl_$(1).a: $(call objects,$(call lib_sources,$(1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach l,$(LIBS),$(eval $(call lib_rule,$(l))))

# A plugin takes from our archives only what it uses, and shows nothing but its descriptor.
define plugin_rule
$(BUILD)/plugins/$(1).so: $(call objects,$(call plugin_sources,$(1))) $(PLUGIN_ARCHIVES)
	@mkdir -p $$(@D)
	$(CC) $(LDFLAGS) -shared -Wl,--no-undefined -Wl,--gc-sections -o $$@ $(call objects,$(call plugin_sources,$(1))) \
	  -Wl,--exclude-libs,ALL $(PLUGIN_ARCHIVES) -Wl,--as-needed $$(SYS_plugin_$(1)) $(foreach l,$(LIBS_plugin),$(SYS_$(l)))
endef
$(foreach p,$(PLUGINS),$(eval $(call plugin_rule,$(p))))
# gcc needs the sanitizer's runtime to stay undefined in shared objects
ifneq ($(SANITIZE),)
$(PLUGIN_OBJECTS): LDFLAGS := $(SANITIZE) -Wl,-z,undefs
endif

# The allocator comes first so that it replaces malloc for every shared object of the process.
$(BUILD)/sluice: $(call objects,$(runtime_sources)) $(TSAN_OBJECTS) $(LIB_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -rdynamic -o $@ -Wl,--no-as-needed $(MIMALLOC) -Wl,--as-needed $(call objects,$(runtime_sources)) $(TSAN_OBJECTS) $(LIB_ARCHIVES) $(SYS_libs) $(SYS_runtime)

$(BUILD)/obj/runtime/%.c.o: CPPFLAGS += -Iruntime
# The assembler takes files in (.incbin), which the compiler does not note as a dependency.
$(BUILD)/obj/runtime/admin/view/page.c.o: $(wildcard dashboard/*)
$(BUILD)/obj/runtime/admin/view/openapi.c.o: runtime/admin/view/openapi.json

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
