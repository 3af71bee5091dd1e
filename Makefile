# From a bare Debian 12 with Python 3.11 and make to a tested project; `make help` lists what there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
HOST := $(BIN)/python scripts/host
PYTEST := $(BIN)/pytest

.DEFAULT_GOAL := check

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1: \2/p' $(MAKEFILE_LIST)

check: $(READY) ## style, types, layers, and the tests that need no service
	$(BIN)/ruff check . scripts/host scripts/schemas scripts/tryout
	$(BIN)/ruff format --check . scripts/host scripts/schemas scripts/tryout
	$(BIN)/mypy src tests scripts benchmarks $(wildcard examples/*/*.py)
	$(BIN)/lint-imports
	$(PYTEST) -m "not host" -n auto

test: check ## everything: `check`, and the tests against a real registry and a real BuildKit
	$(HOST) run -- $(PYTEST) -m host -n 2 --dist loadgroup

demo: $(READY) ## what buildonce is for, on the example project
	$(HOST) run -- $(BIN)/python examples/family/demo.py

bench: $(READY) ## buildonce beside `docker buildx bake`; see benchmarks/README.md
	$(HOST) run -- $(BIN)/python -m benchmarks.family

host-up: $(READY) ## keep the test host up until `make host-down`, for shorter rounds
	$(HOST) up

host-down: $(READY) ## take the test host down
	$(HOST) down

constraints: ## pin the newest versions that pyproject.toml allows
	scripts/constraints $(PYTHON)

clean: ## remove what these targets made here; the test host keeps its own folder
	rm -rf $(VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist

$(READY): constraints.txt pyproject.toml scripts/environment
	scripts/environment $(PYTHON) $(VENV) $@

.PHONY: help check test demo bench host-up host-down constraints clean
