# Every target may be run at any time, and is quick when there is nothing to do. `make help` lists them.
VENV ?= .venv
PYTHON ?= python3
TOOLS := .tools
BIN := $(VENV)/bin
STAMP := $(VENV)/.roadstead-installed
COMPILE := $(BIN)/python -m compileall -q ctl gateway *svc svckit protos/gen
# Arguments for pytest, to run a part of the tests: make test PYTEST_ARGS="tests/unit -x"
PYTEST_ARGS ?=
# The number of pytest processes of `make test`; each file runs in one of them. 0: no extra process, for a debugger.
TEST_WORKERS ?= 3
# What `make bench` measures, and how: make bench BENCH_ARGS="manifest head --server granian"
BENCH_ARGS ?=
# Options for `roadstead up`: make run UP_ARGS="--http 0.0.0.0:8080 --data-dir /srv/roadstead"
UP_ARGS ?=

# Tests and the conformance target find crane and the conformance program here.
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install run tools test check check-format check-lint check-types check-stubs check-contracts breaking \
	check-imports fmt protos settings reference bench conformance acceptance soak lock clean

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Make the virtual environment (VENV=.venv) with everything in it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "roadstead needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,test]'
	@# Without this, the first start is slow; every start is slow where Python may not write its compiled files.
	@$(COMPILE)
	@touch $@

run: install ## Install, and start everything on this machine
	$(BIN)/roadstead up $(UP_ARGS)

tools: ## Install the programs that tests drive (Debian packages as root, Go programs into .tools/bin)
	@scripts/install-tools $(TOOLS)

test: install tools ## Install what the tests need, and run them
	@# Without this, each service that a test starts compiles the changed files again, where Python may not write them.
	@$(COMPILE)
	$(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# Several targets, so that `make --keep-going check` shows all errors at once.
check: check-format check-lint check-types check-stubs check-contracts breaking check-imports ## Check all that CI checks

check-format: install ## Check the format of the code
	$(BIN)/ruff format --check .

check-lint: install ## Look for bad style and likely errors
	$(BIN)/ruff check .

check-types: install ## Check the types
	$(BIN)/mypy

check-stubs: install ## Check that the stubs are what the contracts say
	$(BIN)/python protos/generate.py --check

check-contracts: install ## Check the style and the format of the contracts
	@$(BIN)/python protos/generate.py --third-party
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

check-imports: install ## Check who imports whom
	$(BIN)/python scripts/check_imports.py

# A release writes the image: buf build protos -o protos/released.binpb. Two images are compared, because buf.yaml has two
# modules, and buf does not compare two modules with one file.
breaking: install ## Compare the contracts, and their access rules, with those of the last release
	@if [ -e protos/released.binpb ]; then \
		mkdir -p build && \
		$(BIN)/python protos/generate.py --third-party && \
		$(BIN)/buf build protos -o build/contracts.binpb && \
		$(BIN)/buf breaking build/contracts.binpb --against protos/released.binpb --exclude-imports --config buf.yaml && \
		$(BIN)/python protos/compare_rules.py protos/released.binpb build/contracts.binpb; \
	else \
		echo "breaking: skipped, there is no protos/released.binpb: nothing has been released yet"; \
	fi

fmt: install ## Format code and contracts, and fix what can be fixed
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .
	$(BIN)/python protos/generate.py --third-party
	$(BIN)/buf format --write

protos: install ## Regenerate the Python stubs of the contracts
	$(BIN)/python protos/generate.py

settings: install ## Rewrite deploy/roadstead.toml from the settings in the code
	$(BIN)/python scripts/annotate_settings.py

reference: install ## Rewrite the commands in docs/cli.md and the tables in docs/access.md from the code
	$(BIN)/python -m scripts.write_cli_reference
	$(BIN)/python -m scripts.write_access_reference

bench: install ## Compare speed, CPU time and memory with Go's distribution
	@scripts/install-tools $(TOOLS) --peer
	$(BIN)/python -m bench $(BENCH_ARGS)

conformance: install tools ## Run the OCI conformance program against a running registry
	$(BIN)/python -m pytest -m conformance tests/conformance

acceptance: install tools ## Build the heavy client programs (BuildKit, cosign, helm), and run the tests that drive them
	@scripts/install-tools $(TOOLS) --acceptance
	$(BIN)/python -m pytest -m acceptance

soak: install tools ## Run the long tests
	$(BIN)/python -m pytest -m soak

lock: install ## Rewrite constraints.txt from the bounds in pyproject.toml
	scripts/lock $(BIN)

clean: ## Remove generated files, but not the virtual environment and the tools
	rm -rf build dist results protos/third_party .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -not -path './.tools/*' -prune -exec rm -rf {} +
