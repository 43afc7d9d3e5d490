# Every target makes its own environment; a second call is fast.
PYTHON   ?= python3
VENV     := .venv
BIN      := $(VENV)/bin
SUITE    ?= llm-int4
PROFILE  ?= default
RESULTS  ?= results
# Another wheel index for torch: make install TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
STAMP    := $(VENV)/.installed
PIP      := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install bench plan leaderboard test test-all check fmt perf matrix gpu wheel clean

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

install: $(STAMP) ## .venv with every runtime that the tests use

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip
	$(if $(TORCH_INDEX),$(PIP) install --quiet --index-url $(TORCH_INDEX) 'torch>=2.9')
	$(PIP) install --quiet $(if $(TORCH_INDEX),,-c constraints.txt) -e '.[all]' --group dev
	@touch $@

bench: install   ## measure a suite: make bench SUITE=llm-int4 [PROFILE=smoke] [RESULTS=DIR]
	$(BIN)/effmark run $(SUITE) --profile $(PROFILE) --results $(RESULTS)

plan: install    ## what `make bench` would run
	$(BIN)/effmark plan $(SUITE) --profile $(PROFILE) --results $(RESULTS)

leaderboard: install ## page, table and JSON of everything in RESULTS
	$(BIN)/effmark leaderboard $(RESULTS)

test: install    ## the routine tests
	$(BIN)/python -m pytest -m "not slow and not gpu" -n 2 --dist loadfile \
	  --ignore=tests/pytest_plugin --ignore=tests/gates $(PYTEST_ARGS)
	$(BIN)/python -m pytest tests/pytest_plugin tests/gates $(PYTEST_ARGS) # these take turns with others

test-all: install ## the long tests too
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: install   ## format, lint, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: install     ## format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

perf: install    ## measure the harness itself: overhead, decode against bare loops, statistics
	$(BIN)/python scripts/perf/run.py

matrix: install  ## every model family on every runtime (an hour; goes on where it was), docs/models.md
	$(BIN)/python -m scripts.matrix.run; $(BIN)/python -m scripts.matrix.page

gpu: install     ## the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu $(PYTEST_ARGS)

wheel: install   ## build and inspect what is shipped
	$(BIN)/python -m build
	$(BIN)/check-wheel-contents dist/*.whl

clean:           ## remove the environment and caches
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
