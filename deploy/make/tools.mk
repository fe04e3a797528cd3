# Everything around building: help, format, lint, clean.
.PHONY: help clean
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22
clean: ## remove what was built (caches of downloaded packages stay)
	rm -rf $(BUILD)/obj $(BUILD)/fuzz $(BUILD)/lib $(BUILD)/plugins $(BUILD)/tests $(BUILD)/sluice

.PHONY: install asan ubsan tsan
install: all ## install below PREFIX (default /usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/sluice/plugins $(DESTDIR)$(PREFIX)/include/sluice
	install -m 755 $(BUILD)/sluice $(DESTDIR)$(PREFIX)/bin/sluice
	install -m 644 $(PLUGIN_OBJECTS) $(DESTDIR)$(PREFIX)/lib/sluice/plugins/
	install -m 644 sdk/include/sluice/*.h $(DESTDIR)$(PREFIX)/include/sluice/
asan: ## unit and in-process tests under AddressSanitizer
	$(MAKE) BUILD=build-asan OPT="-O1 -g" SANITIZE=-fsanitize=address unit
ubsan: ## the same under UndefinedBehaviorSanitizer
	$(MAKE) BUILD=build-ubsan OPT="-O1 -g" SANITIZE="-fsanitize=undefined -fno-sanitize-recover=undefined" unit
tsan: ## the same under ThreadSanitizer
	$(MAKE) BUILD=build-tsan OPT="-O1 -g" SANITIZE=-fsanitize=thread unit
