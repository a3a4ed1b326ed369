# `make` prints the targets. Everything a target installs lies in .venv; Python >= 3.11 and git are all it needs.

SHELL := /bin/sh
.DEFAULT_GOAL := help

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Looked for only by the targets that make an environment: the first interpreter that is new enough.
# `make setup PYTHON=python3.12` names another one.
find_python = python="$(PYTHON)"; \
	for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do \
		[ -z "$$python" ] && $$candidate -c '$(is_new_enough)' 2>/dev/null && python=$$candidate; done; \
	if ! "$${python:=python3}" -c '$(is_new_enough)' 2>/dev/null; then \
		echo "setup: Python 3.11 or newer is needed; '$$python --version' says: $$("$$python" --version 2>&1 | tail -n 1)" >&2; \
		echo "setup: name one with: make setup PYTHON=/path/to/python3.12" >&2; exit 1; fi
is_new_enough = import sys; sys.exit(sys.version_info < (3, 11))

VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9

.PHONY: help
help:  ## print these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

# Two stamps in .venv say what it was made from: the lock and this folder, then the project's own metadata. What did
# not change is not run again, so that a second run touches no network.
.PHONY: setup
setup:  ## make .venv with every dependency at its locked hash (offline and instant when nothing changed)
	@locked="$$(git hash-object requirements.lock) $(CURDIR)"; own="$$(git hash-object pyproject.toml)"; \
	if [ "$$locked" != "$$(cat $(VENV)/.locked 2>/dev/null)" ]; then \
		$(find_python); \
		echo "setup: making $(VENV) with $$("$$python" --version)"; \
		"$$python" -m venv --clear $(VENV) || { \
			echo "setup: 'python -m venv' failed; on Debian and Ubuntu it is the package python3-venv." >&2; exit 1; }; \
		$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock || { \
			echo "setup: the dependencies could not be installed. The first run needs a package index (PyPI, or the" >&2; \
			echo "setup: mirror pip is configured for); run 'make setup' again when it can be reached." >&2; exit 1; }; \
		printf '%s' "$$locked" > $(VENV)/.locked; fi; \
	if [ "$$own" != "$$(cat $(VENV)/.own 2>/dev/null)" ]; then \
		$(BIN)/python -m pip install --quiet --no-index --no-deps --no-build-isolation --editable . || exit 1; \
		printf '%s' "$$own" > $(VENV)/.own; \
		echo "setup: ready, $(BIN)/lockstep"; fi

.PHONY: demo
demo: setup  ## start Kafka and workers, send 20,000 messages, verify every inbox
	@$(BIN)/lockstep demo

.PHONY: test
test: setup  ## run all tests, those on real Kafka among them
	@$(BIN)/python -m pytest

# A schedule that a seed repeats: `make chaos SECONDS=600 SEED=7`. Without a seed one is chosen and printed.
.PHONY: chaos
chaos: setup  ## kill, stall and starve a running instance at random, and verify that nothing is lost or doubled
	@$(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED))

# The plots' library is locked by itself, so that .venv has it only where a benchmark was run.
.PHONY: bench
bench: setup  ## measure against the peers in one sitting, outputs checked; QUICK=1 for less than 8 minutes
	@locked="$$(git hash-object bench/requirements.lock requirements.lock | tr '\n' ' ')"; \
	if [ "$$locked" != "$$(cat $(VENV)/.bench 2>/dev/null)" ]; then \
		$(BIN)/python -m pip install --quiet --require-hashes --requirement bench/requirements.lock || exit 1; \
		printf '%s' "$$locked" > $(VENV)/.bench; fi
	@$(BIN)/python -m bench all $(if $(QUICK),--quick) $(if $(RUNS),--runs $(RUNS))

.PHONY: check
check: setup  ## format, lint, types, layers and the house rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/tidy --quiet

.PHONY: format
format: setup  ## bring the code into its form and mend what ruff can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# uv is only needed here, so it stays out of .venv. Needs the network.
.PHONY: lock
lock:  ## resolve the dependencies anew for all supported Pythons and write requirements.lock
	@$(find_python); "$$python" -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet uv==$(UV_VERSION)
	build/lock/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--upgrade --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		--quiet --output-file requirements.lock
	build/lock/bin/uv pip compile --group pyproject.toml:bench --constraint requirements.lock --universal \
		--python-version 3.11 --generate-hashes --upgrade --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --quiet --output-file bench/requirements.lock
	for peer in quix faust; do build/lock/bin/uv pip compile bench/peers/$$peer/requirements.in --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --quiet --output-file bench/peers/$$peer/requirements.txt; done

.PHONY: clean
clean:  ## remove .venv, caches and build output
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find streams bench tests -name __pycache__ -type d -prune -exec rm -rf {} +
