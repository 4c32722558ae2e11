# make demo   the whole line on the embedded sample, from nothing
# make test   the fast tests
# make check  format, lint, types, import layers, tests

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint check clean

demo: .venv/ready
	$(BIN)/loraql run sample

# A process for each core; each gives away what it has not begun when another has nothing left to do.
test: .venv/ready
	$(BIN)/pytest -n logical --maxprocesses 8 --dist worksteal

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
