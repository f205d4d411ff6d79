# Everything a developer or a new user runs. `make demo` is the place to start.

PYTHON ?= python3.11
BIN := .venv/bin
DEMO ?= demo
UV := VIRTUAL_ENV=$(abspath .venv) UV_LINK_MODE=copy $(BIN)/uv

# compiled Python is kept, whatever the shell says: it halves the start of every job
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help env demo test test-slow test-workflow test-slurm parity bench lint schema judge clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

env: .venv/.ready ## the environment in .venv, from the lock file

.venv/.ready: envs/requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed; on Debian: apt-get install python3.11 python3.11-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install -q --disable-pip-version-check uv
	$(UV) pip sync -q --compile-bytecode envs/requirements.lock
	$(UV) pip install -q --no-deps -e .
	touch $@

demo: env ## simulate a NIRCam program, calibrate it, name the report
	@$(BIN)/jwstsm warmup & test -d $(DEMO)/uncal || $(BIN)/jwstsm demo $(DEMO); wait
	cd $(DEMO) && PATH="$(abspath $(BIN)):$$PATH" snakemake --cores $${CORES:-2}
	@echo "The report is $(abspath $(DEMO))/report/index.html"

test: env ## the tests (about 15 minutes on 2 cores at most)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not parity and not slurm" tests

test-slow: env ## simulated programs with known truth
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile -m slow tests/truth

test-workflow: env ## a program through Snakemake: what an edit redoes, resuming after a kill
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile -m slow tests/workflow

test-slurm: env ## a program through a real SLURM of one node, started for the test (root; Debian: slurm-wlm munge)
	@command -v slurmctld >/dev/null || { apt-get update -q && apt-get install -y -q slurm-wlm munge; }
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -m slurm tests/slurm

judge: .judge/.ready ## the official package, in an environment of its own

.judge/.ready: env
	test -x .judge/bin/python || $(PYTHON) -m venv .judge
	VIRTUAL_ENV=$(abspath .judge) UV_LINK_MODE=copy $(BIN)/uv pip install -q --compile-bytecode jwst==3.0.0
	touch $@

parity: env judge ## the same inputs through the official package and through ours
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile -m parity tests/parity

bench: env judge ## time and memory side by side with the official package
	$(BIN)/python -m benchmarks

lint: env ## style of Python and workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/python -m jwstsm.schema --check

schema: env ## write config.yaml, its schema and the manual's tables from the signatures
	$(BIN)/python -m jwstsm.schema

clean: ## remove the environments and the demo
	rm -rf .venv .judge demo
