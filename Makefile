# Two commands are all a stranger needs: `make train` and `make test`. Each makes its own virtual environment.
PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= .venv-vllm-cpu
ARGS ?=

.PHONY: train test lint mutants vllm-cpu test-vllm clean

train: $(VENV)/.installed-train          ## Train the quickstart: from nothing to a searching agent, in minutes.
	$(VENV)/bin/toolgym train quickstart --overwrite $(ARGS)

test: $(VENV)/.installed-dev             ## Run the tests.
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest $(ARGS)

lint: $(VENV)/.installed-dev             ## Style, types, and the direction of imports.
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

mutants: $(VENV)/.installed-dev          ## Break the code in a dozen named ways; each must be caught by a test.
	OMP_NUM_THREADS=1 $(VENV)/bin/python tests/mutants/run.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%: $(VENV)/bin/python pyproject.toml constraints.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	touch $@

clean:                                   ## Remove the environments; runs stay.
	rm -rf $(VENV) $(VLLM_VENV)
