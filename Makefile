# `make demo` shows the service at work; `make test` tests everything.  Both set up what they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
VERSIONS := 3.11 3.12 3.13
SECONDS ?= 600
CODE := bounced parsers tests bench deploy docs
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: setup demo test test-all lint bench fuzz docs clean

setup: $(VENV)/.ready

# the parsers are compiled, where there is a C compiler: again whenever one of them changes
$(VENV)/.ready: pyproject.toml constraints.txt deploy/compile.py $(wildcard parsers/*.py parsers/*/*.py)
	$(PYTHON) -m venv $(VENV) || { [ "$$(id -u)" = 0 ] && apt-get install -y python3-venv && $(PYTHON) -m venv $(VENV); }
	$(INSTALL) editables hatchling mypy setuptools
	$(INSTALL) --no-build-isolation --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/bounced demo

test: lint
	$(BIN)/python -m tests.servers
	$(BIN)/python -m pytest

# the same suite on each supported Python that is here, on the path or among pyenv's versions
test-all:
	@for version in $(VERSIONS); do \
	  for python in "$$(command -v python$$version)" "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python; do \
	    "$$python" -c '' 2>/dev/null && break || python=; \
	  done; \
	  [ -n "$$python" ] || { echo "== Python $$version: not here"; continue; }; \
	  echo "== Python $$version: $$python"; \
	  $(MAKE) test PYTHON="$$python" VENV=build/venv-$$version || exit 1; \
	done

lint: setup
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m tests.servers
	$(BIN)/python -m bench

# looks for what breaks the parsers, SECONDS for each fuzzer; what is found lies under build/fuzz
fuzz: setup
	$(INSTALL) --no-build-isolation --editable '.[dev,fuzz]'
	$(BIN)/python -m tests.fuzz parse --seconds $(SECONDS)
	$(BIN)/python -m tests.fuzz classify --seconds $(SECONDS)

docs: setup
	$(BIN)/python -m docs.generate

clean:
	rm -rf parsers/*.so parsers/*/*.so *.so .venv build var .pytest_cache .mypy_cache .ruff_cache .hypothesis
