# What a newcomer and CI call. Everything happens in .venv; as root `setup` also installs Chromium for the tests, and `check` PostgreSQL.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo test check chaos bench bench-quick bench-fleet bench-setup docs clean

# Set in some environments; without compiled modules every start of the program compiles itself anew.
unexport PYTHONDONTWRITEBYTECODE

PY := .venv/bin/python
READY := .venv/.ready
PYTEST := $(PY) -m pytest
# Tests wait more than they compute; with many more at once the machine is what is tested.
PARALLEL := -n 6 --dist worksteal
ALL_MARKS := --override-ini='addopts=-ra --strict-markers -p no:schemathesis'

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r word what; do printf '%-20s %s\n' "$$word" "$$what"; done

setup: $(READY)  ## a virtual environment in .venv, with the program and what its checks need

$(READY): pyproject.toml tools/setup.sh
	@sh tools/setup.sh

demo: $(READY)  ## a few hundred real jobs over Python's own library, checked, in less than a minute
	@$(PY) demo/run.py

test: $(READY)  ## the tests, without the long ones
	$(PYTEST) $(PARALLEL)

check: $(READY)  ## what CI runs: lint, types, layers, generated docs, doctests, tests with short chaos
	@sh tools/servers.sh
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) tools/make_docs.py --check
	QUEUECTL_CHAOS=short $(PYTEST) $(PARALLEL) $(ALL_MARKS) --doctest-modules src demo/jobs.py bench/harness.py tests || \
	  { echo 'SOME FAILED: once more, one at a time, in case the machine was too busy for them'; \
	    QUEUECTL_CHAOS=short $(PYTEST) --last-failed --last-failed-no-failures none $(ALL_MARKS) --doctest-modules src demo/jobs.py bench/harness.py tests; }

chaos: $(READY)  ## the long tests: kills, power cuts, fuzzing
	@$(PY) -c 'import atheris' 2>/dev/null || $(PY) -m pip install --disable-pip-version-check -q --only-binary :all: atheris 2>/dev/null \
	  || echo 'NOTE: there is no atheris for this Python or machine, so nothing is fuzzed with it' >&2
	QUEUECTL_CHAOS=long $(PYTEST) $(ALL_MARKS) -m chaos

bench: $(READY)  ## one table: ours, the floor, other queues; less than ten minutes
	@$(PY) bench/run.py

bench-quick: $(READY)  ## the same in short, less than two minutes
	@$(PY) bench/run.py --quick

bench-fleet: $(READY)  ## queues on one PostgreSQL server, ours and others; HOW=--quick: about thirteen minutes
	@$(PY) bench/fleet.py $(HOW)

bench-setup: $(READY)  ## install the queues that the bench compares with; skips loudly what it cannot
	@sh bench/setup.sh

docs: $(READY)  ## write the pages that are made from the code
	$(PY) tools/make_docs.py

clean:  ## remove what the targets above have made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist bench/results bench/peers
