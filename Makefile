PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo

.PHONY: demo test test-slow test-spawn test-oldest test-wheel lint docs clean

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

# Processes start as on macOS and Windows: nothing is inherited.
test-spawn: $(VENV)/installed
	PYTHONPATH=tests/spawn OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# Every direct dependency in the oldest release that pyproject.toml allows; `make test` in a new venv has the newest.
test-oldest:
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install -q uv
	$(VENV)-oldest/bin/uv pip install -q --python $(VENV)-oldest/bin/python --resolution lowest-direct -e ".[dev]"
	OMP_NUM_THREADS=1 $(VENV)-oldest/bin/python -m pytest -n 2 --dist loadfile

# The wheel in a clean venv: its files, then the demo's chain at a tiny size, in another folder.
test-wheel:
	rm -rf $(VENV)-wheel dist
	$(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip wheel -q --no-deps -w dist .
	$(VENV)-wheel/bin/python -m zipfile -l dist/*.whl
	$(VENV)-wheel/bin/python -m pip install -q dist/*.whl
	cd / && "$(CURDIR)/$(VENV)-wheel/bin/python" "$(CURDIR)/tests/installed.py"

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages in docs/ as a site, in site/; a link that leads nowhere is an error.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q

clean:
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-wheel build dist site *.egg-info
