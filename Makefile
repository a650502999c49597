# Two commands on a fresh machine with Python and make: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint generate clean

# Made anew whenever a dependency changes.
$(VENV)/.done: pyproject.toml runtime/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]' -e './runtime[async,dynamodb,monitoring,jwks,test]'
	touch $@

demo: $(VENV)/.done
	$(BIN)/python examples/demo.py

# A file's tests stay on one worker: they share what is dear to start. One worker more than there are
# processors: the long tests wait for most of their time.
WORKERS = $$(($$(getconf _NPROCESSORS_ONLN) + 1))

test: $(VENV)/.done
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pymacaron_ci.options.render --check
	$(BIN)/python action/lock.py --check

generate: $(VENV)/.done
	$(BIN)/python -m pymacaron_ci.options.render
	$(BIN)/python action/lock.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
