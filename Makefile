# make lab     start the workbench         make test    run the whole test suite
# make install only set up .venv           make clean   remove .venv and caches

PYTHON ?= python3
PORT ?= 8888
BROWSER ?= yes
ARGS ?=

.PHONY: help lab install test clean

help:
	@echo "make lab      start JupyterLab with the first lesson (PORT=8888 BROWSER=yes)"
	@echo "make test     run the whole test suite               (ARGS='-k deadlock')"
	@echo "make install  only set up the environment .venv      (PYTHON=python3.12)"
	@echo "make clean    remove the environment and caches"

install:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { echo "There is no $(PYTHON) here: install Python 3.11 or newer, or name one: make lab PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" tools/install.py

lab: install
	@.venv/bin/python -m labkit lab --port "$(PORT)" --browser "$(BROWSER)"

test:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { echo "There is no $(PYTHON) here: install Python 3.11 or newer, or name one: make test PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" tools/install.py --extra test
	@.venv/bin/python -m pytest $(ARGS)

clean:
	rm -rf .venv .install.lock .pytest_cache .hypothesis build labkit.egg-info
