# Everything one types. `make` alone lists it; GNU make 3.81 (macOS) is enough.
# A recipe line that takes long is one command, run by make itself or by `exec`: so a signal to
# make reaches that command, and make waits until it has cleaned up.

PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python -m
DREAM  := $(VENV)/bin/dream
# The default model, and Inception for the test that holds our graph to Google's.
WEIGHTS := vgg19 inception_v3
IMAGE  ?=
ARGS   ?=

STARTED  := $(shell date +%s)
TERMINAL := $(shell [ -t 2 ] && echo yes)
# On a terminal pip shows its progress bar, which it hides under --quiet.
PIP      := $(RUN) pip --disable-pip-version-check --no-input install
QUIET    := --quiet --quiet
LOUDER   := $(if $(TERMINAL),,$(QUIET))
export IMAGE

.PHONY: help install demo up weights test bench faults smoke rehearse clean
.DELETE_ON_ERROR:

help:
	@echo "make demo [IMAGE=my.jpg]   see VGG-19 dream on a photograph; sets up all it needs"
	@echo "make up [ARGS='--port …']  serve on http://127.0.0.1:8000 until Ctrl-C"
	@echo "make install               only set up $(VENV)"
	@echo "make weights               only pull the weights that the tests use"
	@echo "make test                  format, lint, types, arrows, all tests"
	@echo "make bench                 measure speed and memory, alone on the machine (20 minutes to an hour); writes their page"
	@echo "make faults                the fault tests twenty times over (about two hours); writes their figures"
	@echo "make smoke                 start the containers beside yours, and interrupt them: Docker"
	@echo "make rehearse              the same where no Docker runs; root on Debian 12, 30 GB"
	@echo "make clean                 remove $(VENV), out/ and caches; weights stay"

demo: $(VENV)/.installed
	@exec $(DREAM) demo --started $(STARTED) $${IMAGE:+--image "$$IMAGE"}

up: $(VENV)/.installed
	@exec $(DREAM) up $(ARGS)

install: $(VENV)/.installed
	@echo "$(VENV) is ready: $(DREAM) --help"

weights: $(VENV)/.installed
	@exec $(DREAM) models pull $(WEIGHTS)

test: $(VENV)/.installed-dev weights
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(VENV)/bin/lint-imports --no-cache
	$(RUN) pytest

bench: $(VENV)/.installed weights
	@exec $(RUN) benchmarks $(ARGS)

faults: $(VENV)/.installed-dev weights
	FAULTS=many FAULTS_PAGE=docs/reference/faults.md exec $(RUN) pytest tests/faults

# Needs Docker and any Python, nothing of ours.
smoke:
	@exec $(PYTHON) -m rehearsal.smoke $(ARGS)

rehearse: $(VENV)/.installed-dev
	@exec $(RUN) rehearsal $(ARGS)

# A stamp is the last step, so whatever was interrupted before it is done again. pip keeps what is
# whole, and with everything in place it asks no network. RECORD is the last file of a package that
# pip writes: without it, the package is only half there, which pip itself doesn't see.
$(VENV)/.installed: requirements/base.txt requirements/torch.txt pyproject.toml setup.py \
  $(wildcard dream_core/native/*.cpp dream_core/native/*.h) dream_core/native/build.py | $(VENV)/.made
	@for package in $(VENV)/lib/python3*/site-packages/*.dist-info; do \
	  [ -f "$$package/RECORD" ] || rm -rf "$$package"; done
	@$(RUN) pip --version >/dev/null 2>&1 || { \
	  rm -rf $(VENV)/lib/python3*/site-packages/pip-*.dist-info; $(RUN) ensurepip >/dev/null; }
	@echo "Installing torch-inception into $(VENV): torch and its libraries are about 3 GB, once."
	@$(PIP) $(QUIET) --require-hashes -r requirements/base.txt
	@$(PIP) $(LOUDER) --require-hashes -r requirements/torch.txt
	@$(PIP) $(QUIET) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements/dev.txt $(VENV)/.installed
	@$(PIP) $(QUIET) --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "torch-inception needs Python 3.11 or newer, and $(PYTHON) is %d.%d; install one and name it: make install PYTHON=python3.12" % sys.version_info[:2])'
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) out build dist *.egg-info dream_core/native/*.so .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
