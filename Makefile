# Everything that is done to this project, by name. Needs only Python 3.11 (or newer) and make:
# each target makes .venv by itself, and again when pyproject.toml changes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-polyglot node test docs bench planted prove format clean
.PHONY: check check-format check-lint check-types check-typing check-layers

help:
	@echo "make demo      an order workflow that survives kill -9, with a page to watch (ARGS=--keep to stay)"
	@echo "make demo-polyglot  flowgen, Inngest's Python SDK and its TypeScript SDK under one server (needs node)"
	@echo "make test      the tests (ARGS='-k retry' selects some)"
	@echo "make check     formatter, linter, types, layers"
	@echo "make docs      the pages as a site, in build/docs; a link that leads nowhere is an error"
	@echo "make bench     the benchmark: a table, and JSON"
	@echo "make planted   plant known bugs and see each of them caught"
	@echo "make prove     simulations, losses of power, stores against the reference, planted bugs: most of an hour, and a table"
	@echo "make format    let the formatter and the linter mend what they can"

setup: $(READY)

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "no python3.11 or python3 found: install Python 3.11 or newer, or say make PYTHON=…"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11: say make PYTHON=…"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(READY)
	PYTHONPATH=examples $(BIN)/python -m shop.demo $(ARGS)

# The TypeScript SDK, for the polyglot example and for the tests of tests/sdk: needs node and npm.
NODE_READY := build/node/.ready

$(NODE_READY): examples/polyglot/package.json examples/polyglot/package-lock.json
	@command -v node > /dev/null && command -v npm > /dev/null || { echo "no node or no npm found: install Debian's nodejs and npm"; exit 1; }
	@mkdir -p build/node && cp $^ build/node/
	cd build/node && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

node: $(NODE_READY)

demo-polyglot: $(READY) $(NODE_READY)
	PYTHONPATH=examples $(BIN)/python -m polyglot.demo $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

docs: $(READY)
	$(BIN)/python -m sphinx --builder html --conf-dir docs --doctree-dir build/doctrees --fail-on-warning --keep-going --quiet . build/docs $(ARGS)

bench: $(READY)
	$(BIN)/python bench/run.py $(ARGS)

planted: $(READY)
	$(BIN)/python tests/planted/run.py $(ARGS)

prove: $(READY)
	$(BIN)/python tests/prove/run.py $(ARGS)

check: check-format check-lint check-types check-typing check-layers

check-format: $(READY)
	$(BIN)/ruff format --check .

check-lint: $(READY)
	$(BIN)/ruff check .

check-types: $(READY)
	$(BIN)/mypy

check-typing: $(READY)
	$(BIN)/pyright

check-layers: $(READY)
	$(BIN)/lint-imports --no-cache

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache htmlcov build dist
