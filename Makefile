# The two commands to know: `make demo` and `make test`. Both install what they need into .venv.

.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
# What pip would compile is compiled when it is first imported, which most of it never is.
PIP   := $(BIN)/python -m pip --disable-pip-version-check install --quiet --quiet --no-compile
# By a line in a .pth file: the finder that setuptools would install doubles the time that Python takes to start.
EDITABLE := --config-settings editable_mode=compat --editable

# Stamps: a run after the first installs nothing, until setup.py or pyproject.toml changes.
MADE       := $(VENV)/.made
INSTALLED  := $(VENV)/.installed
FOR_TESTS  := $(VENV)/.installed-test
FOR_DOCS   := $(VENV)/.installed-docs

# The peers get an environment of their own: one of them installs a dispycosnode.py too.
PEERS      := build/bench
FOR_PEERS  := $(PEERS)/.installed
MEASURE     = $(if $(wildcard $(FOR_PEERS)),$(PEERS),$(VENV))/bin/python -m bench

# Two at each processor: the tests of processes wait for each other more than they compute.
WORKERS    := $(shell echo $$(( 2 * $$(getconf _NPROCESSORS_ONLN) )))

# The tests start Python a thousand times: compiling anew each time would take as long as the tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test prepare lint typed tested sim fuzz chaos soak bench bench-all bench-peers docs clean

help:
	@echo "make demo         start a small cluster here and show tasks at work"
	@echo "make test         check style and types, run the tests"
	@echo "make sim          run thousands of faulty clusters on a virtual clock; SEEDS=, SEED="
	@echo "make fuzz         anything, to whatever reads bytes of others; SECONDS= for each target"
	@echo "make chaos        hurt a cluster for three minutes and compare the ledgers; SEED=, SECONDS="
	@echo "make soak         a steady load for ten minutes, with faults: does memory grow? SECONDS="
	@echo "make bench        measure dispycos beside the peers that are installed (under 5 minutes)"
	@echo "make bench-all    measure everything"
	@echo "make bench-peers  install the peers to measure against (large)"
	@echo "make docs         make HTML of docs/ in build/docs"
	@echo "make clean        remove what these commands made"

demo: $(INSTALLED)
	$(BIN)/python -m dispycos.demo

test: $(FOR_TESTS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory --keep-going --jobs=2 typed tested

# What the tests need, and nothing more.
prepare: $(FOR_TESTS)

lint: $(FOR_TESTS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# mypy has one thread, so it runs beside the tests; what it says comes in one piece, between their lines.
# Its end is make's end: if it found something, make says so again below the tests.
typed: $(FOR_TESTS)
	@found=$$($(BIN)/mypy 2>&1); code=$$?; printf '\nmypy: %s\n' "$$found"; exit $$code

# Before the workers start the tests are compiled, once; in a new clone each worker would do it anew.
# What can't be collected is told by the tests themselves.
tested: $(FOR_TESTS)
	@$(BIN)/python -m pytest --collect-only --quiet >/dev/null 2>&1 || true
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=worksteal $(ARGS)

sim: $(FOR_TESTS)
	@$(BIN)/python -m tests.sim.run $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS))

# atheris has no wheel for every Python: without it Hypothesis chooses.
fuzz: $(FOR_TESTS)
	@$(PIP) $(EDITABLE) '.[speed,test,fuzz]' 2>/dev/null || echo "atheris can't be installed here: Hypothesis chooses the inputs"
	@$(BIN)/python -m tests.fuzz.run $(if $(SECONDS),--seconds $(SECONDS))

chaos: $(FOR_TESTS)
	@$(BIN)/python -m tests.chaos.run $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS))

soak: $(FOR_TESTS)
	@$(BIN)/python -m tests.chaos.soak $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS))

bench: $(INSTALLED)
	@$(MEASURE) $(ARGS)

bench-all: $(INSTALLED)
	@$(MEASURE) --all $(ARGS)

bench-peers: $(FOR_PEERS)

docs: $(FOR_DOCS)
	$(BIN)/python -m sphinx -q -W --keep-going -b html -d build/docs/.trees docs build/docs
	@echo "open build/docs/index.html"

clean:
	rm -rf $(VENV) build dist *.egg-info bench/results.json bench/results.svg
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# PYTHON=... chooses the interpreter; otherwise the first on the path that is new enough.
$(MADE):
	@for python in $(PYTHON) python3 python3.15 python3.14 python3.13 python3.12 python3.11; do \
		command -v "$$python" >/dev/null || continue; \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		"$$python" -c 'import ensurepip, venv' 2>/dev/null || { broken=$$python; continue; }; \
		echo "making $(VENV) with $$python ($$("$$python" -V))"; \
		"$$python" -m venv $(VENV) && touch $@ && exit 0; exit 1; \
	done; \
	if [ -n "$$broken" ]; then \
		echo "$$broken can't make a virtual environment: install its venv package (Debian: apt-get install python3-venv)"; \
	else \
		echo "dispycos needs Python 3.11 or newer, and none was found as python3 or python3.11 to python3.15 on the path;" \
			"install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python"; \
	fi >&2; exit 1

$(INSTALLED): $(MADE) pyproject.toml setup.py
	$(PIP) $(EDITABLE) '.[speed,top]'
	@touch $@

# A new pip unpacks seventy packages in half the time that the one of Python 3.11 takes.
$(FOR_TESTS): $(MADE) pyproject.toml setup.py
	$(PIP) --upgrade pip
	$(PIP) $(EDITABLE) '.[speed,test]'
	@touch $@ $(INSTALLED)

$(FOR_DOCS): $(INSTALLED)
	$(PIP) $(EDITABLE) '.[speed,docs]'
	@touch $@

$(FOR_PEERS): $(MADE) pyproject.toml setup.py
	$(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --quiet $(EDITABLE) '.[speed,bench]'
	@touch $@
