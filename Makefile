# The commands of this repository; `make help` lists them.
#
# Everything is installed into .venv from the package registry that pip is set up for, at the versions in
# constraints.txt. A stamp file per set of packages keeps a second call from installing again; it is renewed
# when pyproject.toml or the constraints change.

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet -c $(CONSTRAINTS)
# Results of `make demo`; INPUT and EXEMPLAR are one image each and are given together.
INPUT ?=
EXEMPLAR ?=
OUT ?= demo
# More options for pytest, such as PYTEST_ARGS='-k losses'; processes that share the tests out.
PYTEST_ARGS ?=
WORKERS ?= 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# ruff and mypy come before the tests, whose closing line comes last.
.NOTPARALLEL:
.PHONY: help demo test test-slow lint pytest docs web gpu-check clean install install-dev

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/make \1\t\2/p' Makefile | expand -t 20
	@echo "Variables: INPUT=, EXEMPLAR=, MODEL=, OUT=$(OUT) (demo); PYTHON=$(PYTHON); CONSTRAINTS=$(CONSTRAINTS); WORKERS=$(WORKERS), PYTEST_ARGS="

demo: install  ## translate rendered faces with the shipped weights into demo/; or INPUT=a.jpg EXEMPLAR=b.jpg
	$(BIN)/lomit demo --out "$(OUT)" $(if $(MODEL),--model "$(MODEL)") \
		$(if $(INPUT),"$(INPUT)") $(if $(EXEMPLAR),"$(EXEMPLAR)")

test: lint pytest  ## install the rest; ruff, mypy and the tests

lint: install-dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

pytest: install-dev  ## the tests alone
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

test-slow: install-dev  ## the slow tests
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

docs: $(VENV)/.installed-docs  ## the documents as a site, into site/; a dead link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

web: install-dev  ## a page that translates in the browser, with the shipped weights or MODEL=, into web/
	rm -rf web
	$(BIN)/lomit export "$(or $(MODEL),avatars)" --web web

gpu-check: install-dev  ## on a GPU: its tests and the sweep of the step, under five minutes, into OUT=gpu
	OUT="$(if $(filter demo,$(OUT)),gpu,$(OUT))" PYTHON=$(BIN)/python benchmarks/gpu.sh check

install: $(VENV)/.installed-demo  ## only install what the demo needs, into .venv

install-dev: $(VENV)/.installed-dev  ## only install what the tests need, into .venv

clean:  ## remove .venv, caches, built packages, demo/, site/ and web/
	rm -rf $(VENV) build dist demo site web .pytest_cache .mypy_cache .ruff_cache src/*.egg-info
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null || { echo "make: no '$(PYTHON)'; give one: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: lomit needs Python 3.11 or newer," \
	    "'$(PYTHON)' is $$("$(PYTHON)" --version 2>&1); give another: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	"$(PYTHON)" -m venv $(VENV)

# The demo's set is part of the dev set, so installing that renews both stamps.
$(VENV)/.installed-demo: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "installing into $(VENV) (some minutes the first time; torch is large)"
	$(PIP) -e '.[avatars]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "installing into $(VENV) (some minutes the first time; torch is large)"
	$(PIP) -e '.[all,dev]'
	@touch $@ $(VENV)/.installed-demo

$(VENV)/.installed-docs: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "installing into $(VENV)"
	$(PIP) -e '.[docs]'
	@touch $@
