# The whole developer interface. Every target sets up what it needs: a fresh machine with
# Python 3.11 and make is enough.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
JOBS   ?= 2
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
FUZZ_SECONDS ?= 60
FAULTS ?= survives
.PHONY: help venv lint test mutants fuzz faults soak demo bench stubs

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

venv: $(STAMP)  ## make the virtual environment, every package checked against requirements.lock

# The stamp is written last, so that an interrupted installation is started anew.
$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python found; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lint: $(STAMP)  ## check style, types, the layers of the architecture and the generated stubs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/generate_stubs.py --check

test: $(STAMP)  ## run every test, two files at a time
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

mutants: $(STAMP)  ## remove one protection after the other, and see that the tests notice each
	$(BIN)/python -m tools.mutants --jobs $(JOBS)

fuzz: $(STAMP)  ## fuzz every parser of foreign bytes and a running node, FUZZ_SECONDS for each
	$(BIN)/python -m tests.fuzz.long --seconds $(FUZZ_SECONDS)

faults: $(STAMP)  ## kill, stop, freeze, cut off and fill every node in every phase (root; about an hour)
	$(BIN)/python -m pytest tests/faults -n $(JOBS) -k '$(FAULTS)'

soak: $(STAMP)  ## twenty studies in a row on one compute node, with random faults (root)
	$(BIN)/python -m pytest tests/soak -s

demo: $(STAMP)  ## a whole study on this machine: three companies, one compute node, one key node
	$(BIN)/mpcseg demo

bench: $(STAMP)  ## measure what the performance table of the README is made of
	$(BIN)/python -m benchmarks

stubs: $(STAMP)  ## regenerate mpcseg/wire/v1 from proto/
	$(BIN)/python tools/generate_stubs.py
