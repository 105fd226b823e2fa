PYTHON ?= .venv/bin/python

.PHONY: check fix test test-long bench faults docs docs-operators

check:
	$(PYTHON) -m ruff format --check dataflow tests bench examples
	$(PYTHON) -m ruff check dataflow tests bench examples
	$(PYTHON) -m mypy
	$(PYTHON) -m pyright
	$(PYTHON) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

fix:
	$(PYTHON) -m ruff format dataflow tests bench examples
	$(PYTHON) -m ruff check --fix dataflow tests bench examples

test:
	$(PYTHON) -m pytest

test-long:
	$(PYTHON) -m pytest -n 0 -m "faults or long"

bench:
	$(PYTHON) -m bench

faults:
	$(PYTHON) -m bench.faults --size full

docs:
	$(PYTHON) -m pytest tests/docs tests/examples

docs-operators:
	$(PYTHON) tests/docs/operators_page.py
