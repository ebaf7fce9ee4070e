# One way for every task. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LAB_DIR ?= .lab
PYTEST_ARGS ?=
AUDIT_ARGS ?=
IMAGE_ARGS ?=
# two at a time, a file never split: its tests may share a lab, and tell a story in their order
WORKERS := --numprocesses=2 --dist=loadfile
# every call of all cluster tests, judged by a test that comes after them
JOURNALS := build/journals
JUDGE := tests/cluster/test_zz_permissions.py
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help quickstart lab lab-down test lint audit image format generate lock bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

$(VENV)/.installed: requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	@echo "installing the locked packages into $(VENV) (about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

quickstart: $(VENV)/.installed ## one job from apply to result on this machine, then a refused and a failed one
	@$(BIN)/sft-lab quickstart

lab: $(VENV)/.installed ## a control plane, a simulated AWS and the operator, left running; prints how to use them
	@$(BIN)/sft-lab up --dir $(LAB_DIR) --with-operator

lab-down: $(VENV)/.installed ## ends what `make lab` started
	@$(BIN)/sft-lab down --dir $(LAB_DIR)

test: lint audit ## everything that must hold: lint, audit, unit, contract, cluster and image tests
	$(BIN)/sft-lab binaries
	$(BIN)/python -m pytest $(WORKERS) $(PYTEST_ARGS) --cov=sft_operator --cov-report=term:skip-covered tests/unit tests/contract
	rm -rf $(JOURNALS)
	SFT_TEST_JOURNALS=$(JOURNALS) $(BIN)/python -m pytest $(WORKERS) $(PYTEST_ARGS) tests/cluster --ignore=$(JUDGE)
	SFT_TEST_JOURNALS=$(JOURNALS) $(BIN)/python -m pytest $(PYTEST_ARGS) $(JUDGE) tests/image

lint: $(VENV)/.installed ## format, lint, types, import rules, spelling, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python tools/generate.py --check

audit: $(VENV)/.installed ## known vulnerabilities of what the image ships; without a network it says so and passes
	@$(BIN)/python tools/audit.py $(AUDIT_ARGS)

image: $(VENV)/.installed ## the operator's image, with docker or buildah; IMAGE_ARGS="--tag TAG --base IMAGE --sbom FILE"
	@$(BIN)/python -m tools.image.build $(IMAGE_ARGS)

format: $(VENV)/.installed ## writes the format and the fixes that are safe
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(VENV)/.installed ## CRDs, the chart's parts that follow from code, the kustomize base, the generated pages of docs/
	$(BIN)/python tools/generate.py
	$(BIN)/python tools/kustomize_base.py

lock: $(VENV)/.installed ## new locks from pyproject.toml
	$(LOCK) pyproject.toml -o requirements/run.lock
	$(LOCK) --extra lab pyproject.toml -o requirements/lab.lock
	$(LOCK) --extra dev --no-emit-package sft-operator pyproject.toml -o requirements/dev.lock
	$(LOCK) requirements/sdk-v2.in -o requirements/sdk-v2.lock

bench: $(VENV)/.installed ## the benchmark; writes build/bench.json
	@$(BIN)/sft-lab binaries
	@$(BIN)/python -m tests.bench

clean: ## removes what was built here
	rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
