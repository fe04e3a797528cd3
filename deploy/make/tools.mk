# Everything around building: help, format, lint, clean.
.PHONY: help clean
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22
clean: ## remove what was built (caches of downloaded packages stay)
	rm -rf $(BUILD)/obj $(BUILD)/lib $(BUILD)/plugins $(BUILD)/tests $(BUILD)/sluice
