# Testing: tests/unit/test_X.c are Check programs, each linked with all libraries.
UNIT_SOURCES  = $(wildcard tests/unit/test_*.c)
UNIT_PROGRAMS = $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(UNIT_SOURCES))
CHECK_LIBS   := $(shell pkg-config --libs check 2>/dev/null)

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.c.o $(LIB_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< $(LIB_ARCHIVES) $(SYS_libs) $(SYS_unit_$*) $(CHECK_LIBS)
# -Wpedantic and Check's variadic macros do not go together
$(BUILD)/obj/tests/%.c.o: CFLAGS := $(filter-out -Wpedantic -Wconversion,$(CFLAGS)) -Wno-gnu-zero-variadic-macro-arguments

.PHONY: unit
unit: $(UNIT_PROGRAMS)
	@status=0; for t in $^; do echo "== $$t"; $$t || status=1; done; exit $$status
