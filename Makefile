# The whole developer interface. Every target sets up what it needs: a fresh machine with
# Python 3.11 and make is enough.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
JOBS   ?= 2
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
FUZZ_SECONDS ?= 60
FAULTS ?=

# The container image. BASE is a name, NAME@sha256:… or the sha256:… of an image on this machine.
IMAGE ?= mpcseg:latest
BASE  ?= mpcseg-base:bookworm
WHEELHOUSE := build/wheelhouse

.PHONY: help venv lint test mutants fuzz faults soak pages notebook demo bench stubs wheelhouse base image sbom cluster

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
	$(BIN)/mypy docker/assemble.py docker/sbom.py
	$(BIN)/lint-imports
	$(BIN)/python tools/generate_stubs.py --check

test: $(STAMP)  ## run every test, two files at a time
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

mutants: $(STAMP)  ## remove one protection after the other, and see that the tests notice each
	$(BIN)/python -m tools.mutants --jobs $(JOBS)

fuzz: $(STAMP)  ## fuzz every parser of foreign bytes and a running node, FUZZ_SECONDS for each
	$(BIN)/python -m tests.fuzz.long --seconds $(FUZZ_SECONDS)

faults: $(STAMP)  ## kill, stop, freeze, cut off and fill every node in every phase (root; about an hour)
	$(BIN)/python -m pytest tests/faults -n $(JOBS) $(if $(FAULTS),-k '$(FAULTS)')
	MPCSEG_ALL_BLOWS=1 $(BIN)/python -m pytest tests/nodes/test_restarts.py

soak: $(STAMP)  ## twenty studies in a row on one compute node, with random faults (root)
	$(BIN)/python -m pytest tests/soak -s

notebook: $(STAMP)  ## run the notebook of docs/, the code of docs/python.md and scikit-learn's checks
	$(BIN)/python -m pytest tests/notebook

demo: $(STAMP)  ## a whole study on this machine: three companies, one compute node, one key node
	$(BIN)/mpcseg demo

bench: $(STAMP)  ## measure what the performance table of the README is made of
	$(BIN)/python -m benchmarks

stubs: $(STAMP)  ## regenerate mpcseg/wire/v1 from proto/
	$(BIN)/python tools/generate_stubs.py

# For the image's Python 3.11 and glibc 2.36, whatever this machine has; every file against its hash.
WHEELS := --only-binary :all: --no-deps --require-hashes --python-version 3.11 --implementation cp \
	$(foreach tag,2_28 2_27 2_17 2_5,--platform manylinux_$(tag)_x86_64) --platform manylinux2014_x86_64

wheelhouse: $(WHEELHOUSE)/.complete  ## fetch what the image is built of, the only step that needs the internet

$(WHEELHOUSE)/.complete: docker/requirements.lock docker/build.lock | $(STAMP)
	rm -rf $(WHEELHOUSE)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check $(WHEELS) -r docker/requirements.lock -d $(WHEELHOUSE)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check $(WHEELS) -r docker/build.lock -d $(WHEELHOUSE)
	@touch $@

base:  ## make the image's base from Debian's packages, where it is not there yet (needs root)
	@docker image inspect $(BASE) >/dev/null 2>&1 || docker/base.sh --tag $(BASE)

image: base $(WHEELHOUSE)/.complete  ## build the container image
	docker/build.sh $(BASE) $(IMAGE)

sbom: image  ## write the image's list of parts (CycloneDX) to build/sbom.json
	docker/build.sh --sbom $(IMAGE) build/sbom.json

# A dev tool that is no part of mpcseg; the tests do without it where the registry is not reached.
AXE_SHA512 := FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==
AXE := build/axe/package/axe.min.js

$(AXE):
	@mkdir -p build/axe
	-@cd build/axe && npm pack --silent axe-core@4.14.1 >/dev/null && \
		test "$$(openssl dgst -sha512 -binary axe-core-4.14.1.tgz | base64 -w 0)" = "$(AXE_SHA512)" && \
		tar -xzf axe-core-4.14.1.tgz package/axe.min.js package/LICENSE && touch package/axe.min.js

pages: $(STAMP)  ## open segment reports in Chromium: nothing fetched, all figures there, fit for a phone
	@$(MAKE) --no-print-directory $(AXE)
	$(BIN)/python -m pytest tests/pages

cluster: image  ## build the image, and run a whole study in containers on this machine
	$(BIN)/python -m pytest tests/cluster
