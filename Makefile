# `make quickstart` and `make test` each work in a fresh clone: they build .venv once, from pinned versions.
# Another Python:   make test PYTHON=python3.12
# Another torch:    make test TORCH=torch                                   the newest
#                   make test TORCH= VENV_FLAGS=--system-site-packages      the one this machine has
# A second call installs nothing, unless pyproject.toml or constraints.txt changed; `rm -rf .venv` starts anew.
PYTHON ?= python3
TORCH ?= torch==2.13.0 setuptools==84.2.1 sympy==1.14.0
VENV_FLAGS ?=

BIN := .venv/bin
INSTALLED := .venv/.installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

.PHONY: help quickstart test lint types imports unit test-gpu format bench clean
.NOTPARALLEL: # one check after the other, and pytest's closing line the last

help:
	@echo "make quickstart   calibrate, sweep, choose, execute on this machine, compare"
	@echo "make test         lint, types, imports (who may import whom), unit (pytest); each is a target too"
	@echo "make test-gpu     the tests that need a GPU"
	@echo "make format       rewrite the sources as ruff likes them"
	@echo "make bench        every benchmark, one after the other"
	@echo "make clean        remove builds and caches; .venv and runs/ stay"

quickstart: $(INSTALLED)
	$(BIN)/twinclock quickstart

test: lint types imports unit

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/mypy

imports: $(INSTALLED)
	$(BIN)/lint-imports

unit: $(INSTALLED)
	$(BIN)/python -m pytest

test-gpu: $(INSTALLED)
	$(BIN)/python -m pytest -m gpu

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED)
	@set -e; for file in benchmarks/[!_]*.py; do \
		echo "$(BIN)/python -m benchmarks.$$(basename $$file .py)"; \
		$(BIN)/python -m benchmarks.$$(basename $$file .py); \
	done

clean:
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# torch comes first and by its exact version: the newest may be the large CUDA build. It and what it may hold to other
# versions (setuptools, sympy) are pinned here and not in constraints.txt, so that a GPU machine can keep its own torch.
# hatchling is installed, rather than fetched into an isolated build, so that it is pinned like everything else.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing into .venv: a few minutes, once."
	$(PYTHON) -m venv $(VENV_FLAGS) .venv
	$(if $(TORCH),$(PIP) $(TORCH))
	$(PIP) hatchling
	$(PIP) --no-build-isolation --editable ".[dev]"
	@touch $@
