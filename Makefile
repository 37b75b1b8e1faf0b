PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo

.PHONY: demo test test-slow lint docs clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("nnssl_plugin needs Python 3.10 or newer, not " + sys.version.split()[0]) if sys.version_info < (3, 10) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install -e ".[dev]"
	touch $@

demo: $(VENV)/installed
	$(BIN)/nnssl_plugin demo -o "$(DEMO)"

# Two processes, a file each at a time; one thread each, so that they do not wait for one another.
test: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m "slow or not slow"

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages in docs/ as a site, in site/; a link that leads nowhere is an error.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q

clean:
	rm -rf $(VENV) build dist site *.egg-info
