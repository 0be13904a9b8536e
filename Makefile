# Every target makes the virtual environment it needs, once. PYTHON picks the interpreter.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= demo

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-faults test-browser lint docs format clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

# One installation of everything, which is what the demo needs, too.
$(VENV)/.dev: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $(VENV)/.demo $@

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## Download three real scans, train, evaluate and export (about 6 minutes on two cores)
	$(BIN)/srmri-tf demo -o $(DEMO)

lint: $(VENV)/.dev  ## Style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# A process per core, up to four: each takes about 2 GB.
test: lint  ## Lint, then the fast tests
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.dev  ## The slow tests: real downloads, kills, whole commands
	$(BIN)/pytest -m slow

test-faults: $(VENV)/.dev  ## Thousands of damaged files, kills and full disks; prints a table
	$(BIN)/python -m tests.faults

test-browser: $(VENV)/.dev  ## The report in headless chromium, which is installed if need be (Debian)
	command -v chromium chromedriver >/dev/null || \
	  { apt-get update && apt-get install --yes chromium chromium-driver; }
	$(BIN)/python -m pip install --quiet --editable ".[browser]"
	$(BIN)/pytest -m browser

docs: $(VENV)/.dev  ## The documents as a web site in site/, links checked
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	$(BIN)/mkdocs build --strict

format: $(VENV)/.dev  ## Rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist site *.egg-info
