# Everything a person or a machine does here starts with make; each target sets up what it needs.
#   make app     open the lab in the browser        make test    run every check and test, browser included
#   make check   the quick part of the tests        make format  put the code into its one format
#   make docs    the documentation, in build/docs   make audit   known vulnerabilities of the dependencies
#   make site    the lab as static pages, in build/site; make site ADDRESS=https://… says where a lab with a server is
#   make gpu     the tests and paces of a machine with a CUDA device, at most 8 minutes, in build/gpu.json
# Needs Python 3.11 or newer. Choose one with: make app PYTHON=/path/to/python3.12

PYTHON ?= python3
VENV   ?= .venv
PORT   ?= 8501
WORKERS ?= 3
ADDRESS ?= http://localhost:8501
GPU    ?= build/gpu.json

PY  := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
NET := { echo "Setting up did not work: see above. It needs the network, once; make goes on where it was." >&2; exit 1; }
LAB := $(VENV)/.lab-installed
DEV := $(VENV)/.dev-installed

# Small tensors gain nothing from threads and lose to their overhead; test workers share the cores instead.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

# What is compiled once is compiled for all that the tests start, also where the machine's own setting keeps no bytecode.
COMPILED := PYTHONDONTWRITEBYTECODE=

# Three on two cores: a browser test waits for its server a good part of its time.
# A worker takes a whole file, so that what its tests share is made once; files come in the order of the collection.
# One that dies, as one whose test hangs does, is not begun anew: its test would hang every time.
WORK := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart=0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help app venv test check lint format docs site audit programs constraints clean gpu

help:
	@sed -n '2,7p' Makefile | cut -c3-

app: $(LAB)
	@$(PY) -m cmcore app --port $(PORT)

venv: $(DEV)

test: lint | programs
	$(ONE_THREAD) $(COMPILED) $(PY) -m pytest $(WORK)

check: lint
	$(ONE_THREAD) $(COMPILED) $(PY) -m pytest -m "not slow and not browser and not cuda" $(WORK)

lint: $(DEV)
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(VENV)/bin/lint-imports
	$(VENV)/bin/vulture
	$(VENV)/bin/deno fmt --check --quiet
	$(VENV)/bin/deno lint --quiet
	$(PY) -m pyright --pythonpath $(PY)

format: $(DEV)
	$(PY) -m ruff format
	$(PY) -m ruff check --fix
	$(VENV)/bin/deno fmt --quiet

docs: $(DEV)
	$(PIP) --editable '.[docs]'
	$(PY) -m sphinx --builder html --fail-on-warning --keep-going --quiet docs build/docs

site: $(LAB)
	rm -rf build/site && $(PY) -m cmcore site build/site --lab '$(ADDRESS)'

audit: $(DEV)
	$(PIP) --editable '.[audit]'
	.ci/audit $(PY)

gpu: $(DEV)
	$(PY) -m benchmarks.gpu $(GPU)

# The browser tests say for themselves what a missing browser means, so a failure here is no failure of the target.
programs:
	@sh tests/install_programs || true

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Consistency Lab needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV), once."
	$(PYTHON) -m venv $(VENV)

$(LAB): pyproject.toml constraints.txt | $(PY)
	@echo "Installing PyTorch, Streamlit and the rest, once: it takes some minutes."
	@$(PIP) --editable . || $(NET)
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(PY)
	@$(PIP) --editable '.[dev]' || $(NET)
	@touch $@ $(LAB)

# Takes the newest releases that pyproject.toml allows, and writes down what came. Local version tags (+cpu) are cut,
# so that the same pins hold with and without a GPU.
constraints:
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --editable '.[dev,docs,audit]' $(FIRST)
	{ sed '/^[^#]/,$$d' constraints.txt; \
	  build/constraints/bin/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//'; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
