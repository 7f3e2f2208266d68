# Two commands on a fresh machine with Python >= 3.11 and make: `make demo` and `make test`. Both do `make setup` first.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# The first Python on the PATH that is new enough; a version manager's shim may be there and still not run.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done)
BIN := .venv/bin
UV := .venv/bootstrap/bin/uv
PACKAGES := sluice-shared sluice-release sluice-accounting-connector sluice-billing-runs sluice-notifier sluice-local
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url $(PACKAGES:%=--no-emit-package %)
# Two processes, each with servers of its own; tests that share what is slow to make stay in one (tests/support/sharing.py).
PROCESSES := --numprocesses=2 --no-loadscope-reorder
SOURCES := shared/src $(wildcard services/*/src) deploy/local/src tests
MIGRATIONS = $(wildcard shared/migrations/*.sql services/*/migrations/*.sql)

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: setup
setup: ## Make .venv from requirements/ (at once when nothing has changed)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none is on the PATH." >&2; exit 1; }
	@"$(PYTHON)" deploy/local/environment.py

.PHONY: lock
lock: setup ## Write requirements/*.txt anew after a change of dependencies; `make lock UPGRADE=1` takes newer versions
	$(COMPILE) $(if $(UPGRADE),--upgrade) --output-file requirements/all.txt \
		shared/pyproject.toml services/*/pyproject.toml deploy/local/pyproject.toml \
		--group pyproject.toml:dev --group pyproject.toml:build --group deploy/local/pyproject.toml:dev
	$(COMPILE) --constraint requirements/all.txt --output-file requirements/services.txt \
		shared/pyproject.toml services/*/pyproject.toml --group pyproject.toml:build
	$(COMPILE) --constraint requirements/all.txt --output-file requirements/command.txt \
		shared/pyproject.toml services/*/pyproject.toml deploy/local/pyproject.toml --group pyproject.toml:build
	echo uv | $(COMPILE) $(if $(UPGRADE),--upgrade) --output-file requirements/uv.txt -
	@! grep -nE '://|--(extra-)?index-url|--find-links' requirements/*.txt

.PHONY: check
check: setup ## Format, lint, types, imports, SQL, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	MYPYPATH=tests $(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports
	$(if $(MIGRATIONS),$(BIN)/squawk $(MIGRATIONS),@echo "no migrations yet")
	$(BIN)/python deploy/local/audit.py

.PHONY: test
test: setup ## The whole test suite (ARGS for pytest)
	$(BIN)/pytest $(PROCESSES) $(ARGS)

# Each long test comes once in two weeks, each clock every fourth day.
DAY := $(shell date -u +%j | sed 's/^0*//')
CLOCKS := 2026-12-31T23:59:30 2027-03-28T00:59:30 2028-02-29T12:00:00 2030-01-01T00:00:00
CLOCK ?= $(word $(shell echo $$(( $(DAY) % 4 + 1 ))),$(CLOCKS))
SHARE ?= $(shell echo $$(( $(DAY) % 14 )))/14

.PHONY: share
share: setup ## The day's share: long tests (SHARE=k/n), and the fast ones at another time (CLOCK=...)
	@echo "long tests: share $(SHARE); fast tests at $(CLOCK)"
	$(BIN)/pytest $(PROCESSES) -m slow --share $(SHARE) $(ARGS)
	TZ=UTC $(BIN)/pytest $(PROCESSES) --clock $(CLOCK) tests/unit tests/contract tests/architecture $(ARGS)

.PHONY: demo
demo: setup ## The whole system, a sample feed, the main job, and a report; ends by itself
	$(BIN)/sluice demo $(ARGS)

.PHONY: bench
bench: setup ## The benchmarks, written to docs/benchmarks.md (ARGS for another choice)
	$(BIN)/sluice bench $(or $(ARGS),--write docs/benchmarks.md)

.PHONY: faults
faults: setup ## The fault tests in their long form, and all other long tests
	$(BIN)/pytest $(PROCESSES) tests/faults -m "slow or not slow" $(ARGS)
	$(BIN)/pytest $(PROCESSES) -m slow --ignore tests/faults $(ARGS)

.PHONY: up
up: setup ## The whole system on this machine, until interrupted
	$(BIN)/sluice up $(ARGS)
