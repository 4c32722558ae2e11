# make demo   the whole line on the embedded sample, from nothing
# make test   the fast tests
# make check  format, lint, types, import layers, tests

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint check clean

demo: .venv/ready
	$(BIN)/loraql run sample

test: .venv/ready
	$(BIN)/pytest

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
