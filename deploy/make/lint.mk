# Rules that no compiler checks: include rules and sizes (tests/lint/lint.py), the format of the C sources.
CLANG_FORMAT ?= clang-format
FORMATTED     = find sdk lib runtime plugins tests \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) -print0

.PHONY: lint format format-check
lint: ## check who includes what, and how long things are
	python3 tests/lint/lint.py
format: ## format all C sources by .clang-format
	$(FORMATTED) | xargs -0 $(CLANG_FORMAT) -i
format-check: ## fail when a C source is not formatted
	$(FORMATTED) | xargs -0 $(CLANG_FORMAT) --dry-run -Werror
