# Two commands on a fresh machine: `make demo` and `make test`. Both install first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test lint docs dist audit bench clean

install: $(VENV)/.installed

# Python compiles the modules that are imported; pip would compile all, which takes longer than the
# rest of the installation.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/grap-seq demo overwrite=true

# Two test processes with one thread each use two cores better than one process with two. Tests of
# one group share a process: those of Spark, which takes long to start. Processes that tests start
# find the package compiled, also where the environment tells Python to keep no bytecode.
test: install
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy grap_seq benchmarks tests data_prep

# Into site/; a broken link or an unknown name is an error.
docs: install
	$(BIN)/mkdocs build --strict --quiet

# A wheel and a source archive in dist/, checked as an index would check them.
dist: install
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

# Known vulnerabilities of what constraints.txt pins, in an environment of its own.
audit:
	$(PYTHON) .ci/audit.py

bench: install
	$(BIN)/python benchmarks/pretrain_cost.py
	$(BIN)/python benchmarks/loader_memory.py
	$(BIN)/python benchmarks/weighting_cost.py --quick

clean:
	rm -rf dist site $(VENV) .venv-audit .mypy_cache .pytest_cache .ruff_cache
