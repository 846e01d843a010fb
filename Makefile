# Verbs: setup demo test check proto bench nightly. Each installs what it needs first; a second call is fast.
#
#   make demo                      the whole service on real digits, in under 90 seconds
#   make test                      what a change has to pass
#   make test PYTHON=python3.12    with another interpreter
#   make setup TORCH=              never install torch (a Jetson brings its own, and keeps it)
#   make bench                     every benchmark, scaled to an hour, beside what is kept; published pages anew
#   make bench BENCHMARKS=ingest   one of them in full; its result is kept

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The first of these names that runs and is new enough. Names, and where pyenv keeps its interpreters.
pyenv := $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions
works = $(shell for each in $(1); do \
  "$$each" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo "$$each" && break; done)

PYTHON ?= $(call works,python3.11 python3 python3.12 python3.13 python3.10)
PYTHON310 ?= $(call works,python3.10 $(wildcard $(pyenv)/3.10.*/bin/python3.10))

# torch from the package index fits a PC. For any other machine it is a server build of several GB, so there it
# must be in the interpreter already (JetPack) or be asked for by name.
TORCH ?= $(if $(filter x86_64,$(shell uname -m)),torch==2.13.0)
system_torch = $(shell $(PYTHON) -c 'import importlib.util as i; print(i.find_spec("torch") and "yes" or "")')

# For the tests that start a real systemd, count system calls, emulate boards, or have disks that fail.
DEBIAN_PACKAGES := systemd systemd-container strace qemu-system-common git make
# For the slow tests, 30 MB.
NIGHTLY_PACKAGES := dataset-fashion-mnist

# The oldest gRPC and protobuf that the client promises; the main environment has the newest.
OLDEST := grpcio==1.71.2 grpcio-health-checking==1.71.2 grpcio-reflection==1.71.2 protobuf==5.29.5

# What needs torch; everything else has to pass on Python 3.10 without it.
TORCH_TESTS := tests/benchmarks tests/deploy tests/docs tests/golden tests/selection tests/learning tests/workers tests/e2e tests/faults \
  titand/selection titand/learning titand/workers titand/demo/judge.py

# Minutes that a scaled run of all benchmarks takes.
BUDGET ?= 45

PROTOS := $(wildcard protos/titan/v1/*.proto)
QUIET := -qq --disable-pip-version-check
PROTOC = .venv-proto/bin/python -W ignore -m grpc_tools.protoc -I protos
GENERATED := clients/python
BUF := node_modules/.bin/buf
PYTEST := .venv/bin/pytest

.PHONY: help
help:
	@sed -n 's/^#   //p' Makefile; echo; sed -n 's/^# \(Verbs: [a-z ]*\).*/\1/p' Makefile

# ---- setup ---------------------------------------------------------------------------------------------------

.PHONY: setup
setup: .venv/.ready .venv310/.ready .venv-jtop/.ready node_modules/.ready .venv/.debian

.venv/.ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "setup: Python 3.10 or newer is needed; name one: make setup PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(if $(system_torch),--system-site-packages) .venv
	@if [ -n "$(system_torch)" ]; then echo "setup: using the torch of $(PYTHON); it is left as it is"; \
	elif [ -z "$(TORCH)" ]; then \
	  echo "setup: no torch. Install the one made for this machine ('make setup TORCH=...' to take the index's)"; \
	elif .venv/bin/python -c 'import torch' 2>/dev/null; then echo "setup: torch is there"; \
	else .venv/bin/pip install $(QUIET) "$(TORCH)"; fi
	.venv/bin/pip install $(QUIET) -e '.[daemon,dev]'
	@touch $@

# Without 3.10 or on a machine where installing fails, `make test` goes on and says what it did not run.
.venv310/.ready: pyproject.toml
	@if [ -z "$(PYTHON310)" ]; then echo "setup: no python3.10 here: its tests will be skipped"; \
	else echo "$(PYTHON310) -m venv .venv310"; "$(PYTHON310)" -m venv .venv310; \
	  .venv310/bin/pip install $(QUIET) $(OLDEST) -e '.[daemon,dev]'; fi
	@mkdir -p .venv310; touch $@

.venv-jtop/.ready: Makefile
	@$(PYTHON) -m venv .venv-jtop && .venv-jtop/bin/pip install $(QUIET) jetson-stats psutil \
	  || echo "setup: no jetson-stats: the tests on emulated boards will be skipped"
	@mkdir -p .venv-jtop; touch $@

.venv-proto/.ready: Makefile
	$(PYTHON) -m venv .venv-proto
	.venv-proto/bin/pip install $(QUIET) grpcio-tools==1.71.2 'setuptools<81'
	@touch $@

node_modules/.ready: package.json
	@if ! command -v npm >/dev/null; then echo "setup: no npm: buf will be skipped"; \
	else npm install --silent --no-package-lock --no-audit --no-fund </dev/null \
	  || echo "setup: npm could not install buf: it will be skipped"; fi
	@mkdir -p node_modules; touch $@

.venv/.debian: PACKAGES := $(DEBIAN_PACKAGES)
.venv/.debian-nightly: PACKAGES := $(NIGHTLY_PACKAGES)
.venv/.debian .venv/.debian-nightly: Makefile | .venv/.ready
	@missing=$$(for each in $(PACKAGES); do \
	  dpkg-query -W -f '$${Status}' "$$each" 2>/dev/null | grep -q 'ok installed' || echo "$$each"; done); \
	if [ -z "$$missing" ]; then :; \
	elif ! command -v apt-get >/dev/null; then echo "setup: not a Debian system, skipped:" $$missing; \
	elif [ "$$(id -u)" != 0 ]; then echo "setup: not root, skipped: apt-get install" $$missing; \
	else export DEBIAN_FRONTEND=noninteractive; \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; } </dev/null >/dev/null \
	  || echo "setup: apt-get failed, skipped:" $$missing; fi
	@touch $@

# ---- run -----------------------------------------------------------------------------------------------------

.PHONY: demo
demo: .venv/.ready
	.venv/bin/titand demo $(DEMO)

# ---- check and test ------------------------------------------------------------------------------------------

.PHONY: check
check: .venv/.ready node_modules/.ready check-proto
	.venv/bin/ruff format --check --quiet .
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy titand clients/python/titan benchmarks
	.venv/bin/lint-imports

# buf compares with the last release; before the first one, with what is committed.
.PHONY: check-proto
check-proto: .venv-proto/.ready node_modules/.ready
	@if [ ! -x $(BUF) ]; then echo "check: buf skipped: npm could not bring it"; exit 0; fi; \
	echo "$(BUF) lint && $(BUF) format --diff --exit-code && $(BUF) breaking"; \
	$(BUF) lint && $(BUF) format --diff --exit-code >&2; \
	against=$$(git describe --tags --abbrev=0 2>/dev/null || git rev-parse HEAD); \
	if git cat-file -e "$$against:buf.yaml" 2>/dev/null; then $(BUF) breaking --against ".git#ref=$$against"; \
	else echo "check: buf breaking skipped: $$against has no protos"; fi
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; $(MAKE) proto GENERATED="$$fresh" >/dev/null; \
	for each in "$$fresh"/titan/v1/*; do diff -q "$$each" "clients/python/titan/v1/$${each##*/}" \
	  || { echo "check: generated code is out of date: make proto"; exit 1; }; done

.PHONY: test
test: setup check
	$(PYTEST) -q
	@if [ -x .venv310/bin/pytest ]; then echo ".venv310/bin/pytest -q  # without torch"; \
	  .venv310/bin/pytest -q $(addprefix --ignore=,$(TORCH_TESTS)); \
	else echo "test: Python 3.10 skipped: there is none here"; fi

.PHONY: nightly
nightly: setup .venv/.nightly .venv/.debian-nightly
	$(PYTEST) -q -rs -m nightly

# Only for some interpreters and machines there is a wheel of atheris.
.venv/.nightly: .venv/.ready
	@.venv/bin/python -c 'import atheris' 2>/dev/null || .venv/bin/pip install $(QUIET) -e '.[fuzz]' \
	  || echo "nightly: no atheris: the fuzzer will be skipped"
	@.venv/bin/python -c 'import matplotlib' 2>/dev/null || .venv/bin/pip install $(QUIET) -e '.[bench]' \
	  || echo "nightly: no matplotlib: that the published curves are those of the runs is skipped"
	@touch $@

.PHONY: bench
bench: .venv/.bench
ifdef BENCHMARKS
	@for each in $(BENCHMARKS); do echo "== $$each"; .venv/bin/python -m "benchmarks.$$each"; done
	.venv/bin/python -m benchmarks.tables
else
	.venv/bin/python -m benchmarks --budget $(BUDGET)
endif

.venv/.bench: .venv/.ready
	.venv/bin/python -c 'import matplotlib' 2>/dev/null || .venv/bin/pip install $(QUIET) -e '.[bench]'
	@touch $@

# ---- generated code and pages --------------------------------------------------------------------------------

# Generated by the oldest tools that are supported, so that it imports under protobuf 5.29 to 7.
.PHONY: proto
proto: .venv-proto/.ready
	@mkdir -p $(GENERATED)
	$(PROTOC) --python_out=$(GENERATED) --pyi_out=$(GENERATED) $(PROTOS)
	$(PROTOC) --grpc_python_out=$(GENERATED) $(shell grep -l ^service $(PROTOS))
	@touch $(GENERATED)/titan/v1/__init__.py

.PHONY: reference
reference: .venv/.ready
	.venv/bin/python docs/reference/generate.py
