# What one does with this project. `make` alone lists it.
# Everything installs itself on first use, into .venv; nothing else on the machine is touched.
# PYTHON=... names the interpreter; pip's own configuration says where packages come from.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
LOCAL := libs/clm_local/src/clm_local
CODE := libs services tests benchmarks docs

.DEFAULT_GOAL := help
.PHONY: help up down status logs demo test check check-code check-mypy check-pyright check-audit \
  generate bench clean lock tools dev-tools
.DELETE_ON_ERROR:

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)$$/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

up: tools  ## start PostgreSQL, Kafka, the mail catcher and the four services
	@$(BIN)/clm up $(ARGS)

down: tools  ## stop all of it
	@$(BIN)/clm down

status: tools  ## show what runs, and where
	@$(BIN)/clm status $(ARGS)

logs: tools  ## show a service's log: make logs SERVICE=ingest
	@$(BIN)/clm logs $(or $(SERVICE),$(error which one? make logs SERVICE=ingest)) $(ARGS)

demo: tools  ## send a real shop's clickstream through it and show what happened
	@$(BIN)/clm demo $(ARGS)

# Side by side, each with a Kafka and a PostgreSQL of its own: three, as the tests wait a lot.
# In the order of tests/conftest.py: a long file that begins last keeps one of the three busy alone.
# Compiled modules are kept, whatever the environment says: the tests start hundreds of processes.
test: dev-tools  ## test everything on the real servers; ARGS="tests/unit -k name" for less
	@$(BIN)/python -m clm_local.fetch
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses $(or $(JOBS),3) --dist loadfile --no-loadscope-reorder $(ARGS)

# Two side by side: each of the type checkers keeps one core busy.
check: dev-tools  ## lint, types, import rules, generated files, known vulnerabilities
	@$(MAKE) --no-print-directory --jobs 2 check-pyright check-mypy check-code check-audit

check-mypy:
	$(BIN)/mypy $(wildcard $(CODE))

check-pyright:
	$(BIN)/pyright

check-code:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m clm_common.contracts.generate --check
	$(BIN)/python -m clm_common.runtime.openapi --check
	$(BIN)/python -m clm_stage_engine.language.reference --check

check-audit:
	$(BIN)/pip-audit --require-hashes --disable-pip --requirement requirements.lock \
	  >$(VENV)/audit.txt 2>&1 || { cat $(VENV)/audit.txt; exit 1; }
	@unknown=$$(grep -c 'could not be audited' $(VENV)/audit.txt); test "$$unknown" = 0 || \
	  echo "Not audited: the registry says nothing about vulnerabilities in $$unknown packages (see $(VENV)/audit.txt)"

generate: dev-tools  ## write what is generated: AsyncAPI, JSON Schemas, OpenAPI, the language
	$(BIN)/python -m clm_common.contracts.generate
	$(BIN)/python -m clm_common.runtime.openapi
	$(BIN)/python -m clm_stage_engine.language.reference

bench: dev-tools  ## measure it: ratios within one run, see benchmarks/
	@for it in $(basename $(notdir $(wildcard benchmarks/bench_*.py))); do \
	  echo "== $$it"; $(BIN)/python -m benchmarks.$$it || { test $$? -lt 128 || exit; missed="$$missed $$it"; }; \
	done; test -z "$$missed" || { echo "Not all targets are met:$$missed"; exit 1; }

clean:  ## remove what was installed and what tools left; the system's data stays (clm reset --yes)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache site
	find $(wildcard $(CODE)) -type d -name __pycache__ -prune -exec rm -rf {} +

lock: $(VENV)/.uv  ## resolve the dependencies into the lock files; ARGS=--upgrade for newer ones
	$(BIN)/python $(LOCAL)/bootstrap.py lock $(ARGS)

tools: $(VENV)/.uv
	@$(BIN)/python $(LOCAL)/bootstrap.py run

dev-tools: $(VENV)/.uv
	@$(BIN)/python $(LOCAL)/bootstrap.py dev

# The virtual environment and uv, which installs the rest. Made anew if its Python is gone.
ifneq ($(shell $(BIN)/python -c 'import pip' 2>/dev/null && echo usable),usable)
.PHONY: $(VENV)/.uv
endif
$(VENV)/.uv: $(LOCAL)/bootstrap.lock
	@$(BIN)/python -c 'import pip' 2>/dev/null || { \
	  for it in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
	    if "$$it" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$it; break; fi; \
	  done; \
	  if test -z "$$python"; then \
	    echo "Python 3.11 or newer is needed; $(or $(PYTHON),python3) is $$($(or $(PYTHON),python3) --version 2>&1 | head -n 1)." \
	      "Install one, or name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; fi; \
	  if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$python cannot make virtual environments. Install what is missing" \
	      "(Debian, Ubuntu: apt install python3-venv) and try again." >&2; exit 1; fi; \
	  echo "Making $(VENV) with $$("$$python" --version) …"; \
	  "$$python" -m venv --clear $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@
