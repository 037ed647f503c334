# One line a target. FEDTRACE_DATA=DIR adds the measurements on real data; ONLY=NAME picks a benchmark.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN = .venv/bin
RUN = OMP_NUM_THREADS=1

.PHONY: demo test test-system check bench lock golden venv

demo: venv ; $(BIN)/fedtrace demo
test: venv ; $(RUN) $(BIN)/python -m pytest -q -n 2
test-system: venv ; $(RUN) FEDTRACE_THOROUGH=1 $(BIN)/python -m pytest -q -m "system or thorough"
check: venv ; $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports && PYTHONPATH=tests $(BIN)/python -m supply.advisories
bench: venv ; $(RUN) PYTHONPATH=tests $(BIN)/python -m bench $(ONLY)
lock: venv ; PYTHONPATH=tests $(BIN)/python -m supply.lock
golden: venv ; $(RUN) PYTHONPATH=tests $(BIN)/python -m golden.record
venv: .venv/installed

.venv/installed: pyproject.toml constraints.txt $(wildcard privacy/kernel/source/*)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@
