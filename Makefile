# make lab     start the workbench         make test    run the whole test suite
# make install only set up .venv           make clean   remove .venv and caches

# The Python that .venv was made with, if there is one already.
PYTHON ?= $(shell .venv/bin/python -c '' 2>/dev/null && echo .venv/bin/python || echo python3)
PORT ?= 8888
BROWSER ?= yes
ARGS ?=

# Packages of other environments must not get between labkit and its own.
unexport PYTHONPATH PYTHONHOME

define find_python
@command -v "$(PYTHON)" >/dev/null 2>&1 || { echo "There is no $(PYTHON) here: install Python 3.11 or newer, or name one: make $@ PYTHON=/path/to/python3" >&2; exit 1; }
endef

.PHONY: help lab install test clean

help:
	@echo "make lab      start JupyterLab with the first lesson (PORT=8888 BROWSER=yes)"
	@echo "make test     run the whole test suite               (ARGS='-k deadlock')"
	@echo "make install  only set up the environment .venv      (PYTHON=python3.12)"
	@echo "make clean    remove the environment and caches"

install:
	$(find_python)
	@"$(PYTHON)" tools/install.py --extra serving

lab:
	$(find_python)
	@"$(PYTHON)" tools/install.py --extra serving
	@.venv/bin/python -m labkit lab --port "$(PORT)" --browser "$(BROWSER)"

test:
	$(find_python)
	@"$(PYTHON)" tools/install.py --extra serving --extra test
	@.venv/bin/python tools/run_tests.py $(ARGS)

clean:
	rm -rf .venv .install.lock .pytest_cache .hypothesis .import_linter_cache build labkit.egg-info
