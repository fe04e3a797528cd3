# The fault tests: every call that lib/store makes of the file system fails once (tests/faults).
FAULT_SHIM = $(BUILD)/tests/faults/inject.so

.PHONY: faults
faults: all $(FAULT_SHIM) ## each call and each request of lib/store fails once, by each error; then all must be there, once
	deploy/dev/install-deps.sh test
	deploy/dev/python-env.sh
	$(BUILD)/venv/bin/python -m tests.faults
unit-programs: $(FAULT_SHIM)

$(FAULT_SHIM): $(call objects,tests/faults/inject.c tests/crash/kinds.c)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -shared -o $@ $^ -ldl -lpthread
