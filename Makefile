# Everything a person does with this project, one word each. `make` alone lists the words.

PYTHON ?= python3
ARGS ?=
REDIS ?=

BIN := .venv/bin
# What runs the broker, and what develops it: a stamp file each, so that `make run` installs no more.
RUNTIME := .venv/.runtime
INSTALLED := .venv/.installed
CONSTRAINTS := .ci/constraints.txt

# .venv/bin is last, so that a redis-server of the machine goes before the one that .venv may carry.
export PATH := $(if $(REDIS),$(CURDIR)/.venv/servers/$(REDIS):)$(PATH):$(CURDIR)/.venv/bin
# Compiled modules are kept where an image says otherwise, too: each process of a test would compile
# 300 anew, for which it takes half as long again as for all else at its start.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help run test cover check format generate bench screenshots demo-openstack test-openstack pins clean server

help: ## list these commands
	@echo "Usage: make COMMAND. The first one installs what it needs into .venv."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "PYTHON=python3.12 names the interpreter. ARGS='…' is passed on: make test ARGS=tests/planner,"
	@echo "make bench ARGS='--quick submit', make run ARGS='--port 8081'. REDIS=6.2, 8.2 or valkey runs a"
	@echo "command on that server instead of the installed one: make test REDIS=8.2."

run: $(RUNTIME) ## start API and notifier on an embedded store, http://127.0.0.1:8080
	$(BIN)/rq-broker dev $(ARGS)

# Four at a time on two cores: tests of faults wait for processes more than they work.
test: $(INSTALLED) server ## run the suite, on fakeredis and on a real redis-server
	$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

cover: $(INSTALLED) server ## run the suite and report branch coverage; fails below 95 %
	$(BIN)/python -m pytest -n 2 -o faulthandler_timeout=600 --cov --cov-report=term-missing:skip-covered $(ARGS)

check: $(INSTALLED) ## lint, formatting, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generate: $(INSTALLED) ## write what follows from the policy and the errors: client types, two tables
	$(BIN)/python scripts/generate.py

bench: $(INSTALLED) server ## measure speed and memory, print the table
	$(BIN)/python scripts/bench.py $(ARGS)

screenshots: $(INSTALLED) ## picture every view of the dashboard into a folder, ARGS=/tmp/pictures
	$(BIN)/python scripts/screenshots.py $(ARGS)

demo-openstack: $(INSTALLED) ## show jobs flow through a whole small OpenStack, for a minute
	$(BIN)/python scripts/demo_openstack.py $(ARGS)

# One test at a time, on one cloud; making its databases, once, may take minutes.
test-openstack: $(INSTALLED) server ## run the scenarios of tests/openstack on a whole small OpenStack
	$(BIN)/python -m pytest -v -o faulthandler_timeout=900 $(or $(ARGS),tests/openstack)

pins: ## resolve pyproject.toml anew and pin the result
	scripts/install.sh pins $(PYTHON) > $(CONSTRAINTS).new
	mv $(CONSTRAINTS).new $(CONSTRAINTS)

clean: ## remove what the other commands made, the embedded store's data excepted
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache .coverage .coverage.*
	find rq_broker scripts tests -name __pycache__ -prune -exec rm -rf {} +

server: $(INSTALLED)
	@scripts/install.sh server
	@scripts/install.sh version valkey
	@scripts/install.sh keystone
	@scripts/install.sh issuer
	$(if $(REDIS),@scripts/install.sh version $(REDIS))

$(RUNTIME): pyproject.toml $(CONSTRAINTS) scripts/install.sh
	@echo "installing the broker into .venv (12 s, 90 MB) …"
	@scripts/install.sh runtime $(PYTHON)
	@touch $@

$(INSTALLED): $(RUNTIME)
	@echo "installing what the project is developed with into .venv (a minute, 0.6 GB) …"
	@scripts/install.sh development
	@touch $@
