PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
RECIPE := recipes/mobilenet_int8.yaml
# torch's OpenMP threads must not spin while another process needs the core.
export OMP_WAIT_POLICY ?= PASSIVE
# The tests start hundreds of processes, each of which would compile edgekit again.
export PYTHONDONTWRITEBYTECODE :=
# Two processes of one thread each; a file's tests share what they build, so they stay together.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --max-worker-restart 0

.PHONY: help venv demo test test-slow test-all test-runtimes docs lint clean

help:
	@echo "make demo      install, build the demo recipe for the Raspberry Pi, say where the report is"
	@echo "make test      lint, types and the fast tests"
	@echo "make test-all  every test, the slow ones too"
	@echo "make docs      the pages of docs/ as a site: docs/_build/index.html"
	@echo "make venv      only the virtual environment, with everything in it"

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo 'installing into $(VENV): about five minutes and 8 GB'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all,docs,test]'
	touch $@

demo: venv
	$(BIN)/edgekit build $(RECIPE) --target rpi
	@echo "The report lies in build/mobilenet_int8/rpi/report.html"

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy edgekit tests

test: lint
	$(PYTEST) -m "not slow"

test-slow: venv
	$(PYTEST) -m slow

test-all: test test-slow

# What another Python must hold at least: the runtimes install, and what plans, times and runs on
# devices passes. In a folder of its own: make VENV=.venv313 PYTHON=python3.13 test-runtimes
# Nothing is compiled before it is loaded, as most of it never is.
test-runtimes:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[rpi,intel-npu]' \
	  hypothesis pytest pytest-timeout pytest-xdist
	$(PYTEST) -m "not slow" \
	  tests/spec tests/pipeline/test_plan.py tests/agent tests/devices tests/report

# A warning is an error: a link that leads nowhere, a page that nothing leads to.
docs: venv
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build

clean:
	rm -rf build dist docs/_build $(VENV)
