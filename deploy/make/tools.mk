# Everything around building: help, format, lint, clean.
.PHONY: help clean
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22
clean: ## remove what was built (caches of downloaded packages stay)
	rm -rf $(BUILD)/obj $(BUILD)/fuzz $(BUILD)/lib $(BUILD)/plugins $(BUILD)/tests $(BUILD)/sluice

.PHONY: install asan ubsan tsan sanitized sanitized-medallion
SHARED = $(DESTDIR)$(PREFIX)/share
install: all ## install below PREFIX (default /usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/sluice/plugins $(DESTDIR)$(PREFIX)/include/sluice
	install -m 755 $(BUILD)/sluice $(DESTDIR)$(PREFIX)/bin/sluice
	install -m 644 $(PLUGIN_OBJECTS) $(DESTDIR)$(PREFIX)/lib/sluice/plugins/
	install -m 644 sdk/include/sluice/*.h $(DESTDIR)$(PREFIX)/include/sluice/
	install -d $(SHARED)/man/man1 $(SHARED)/bash-completion/completions $(SHARED)/zsh/site-functions
	$(BUILD)/sluice man >$(SHARED)/man/man1/sluice.1
	$(BUILD)/sluice completion bash >$(SHARED)/bash-completion/completions/sluice
	$(BUILD)/sluice completion zsh >$(SHARED)/zsh/site-functions/_sluice
# A whole tree of its own for each, and what runs in one process: the unit tests, the medallion.
# What fails does not keep the rest from running.
SANITIZED = CK_TIMEOUT_MULTIPLIER=10 $(MAKE) --no-print-directory -k -j$$(nproc) OPT="-O1 -g" sanitized
asan: ## unit and in-process tests under AddressSanitizer
	$(SANITIZED) BUILD=build-asan SANITIZE=-fsanitize=address
ubsan: ## the same under UndefinedBehaviorSanitizer
	$(SANITIZED) BUILD=build-ubsan SANITIZE="-fsanitize=undefined -fno-sanitize-recover=undefined"
tsan: ## the same under ThreadSanitizer
	$(SANITIZED) BUILD=build-tsan SANITIZE=-fsanitize=thread
sanitized: unit sanitized-medallion
sanitized-medallion: all $(BUILD)/demo-report
	python3 -m tests.sanitize.medallion $(BUILD)
