# Everything sets itself up: `make demo` needs Python 3.11 or later and make; `make test` and `make screenshots` want Chromium, too.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test mutants fuzz soak lint bench screenshots format clean
.DELETE_ON_ERROR:

setup: $(READY)

$(READY): pyproject.toml constraints.txt $(wildcard src/callsheet/_*.c)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "callsheet needs Python 3.11 or later: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/callsheet demo demo

test: $(READY)
	$(BIN)/python -m pytest -n 3 --dist worksteal

# Bugs, planted one at a time: the suite must notice each. Which, and what notices it: tests/mutants/table.py.
mutants: $(READY)
	$(BIN)/python tests/mutants/run.py

# Every input from outside, with examples that nobody has tried. What is found is kept below tests/fuzz/corpus/ and tells what to do with it.
FUZZ_SECONDS ?= 600
fuzz: $(READY)
	end=$$(($$(date +%s) + $(FUZZ_SECONDS))); while [ $$(date +%s) -lt $$end ]; do \
		$(BIN)/python -m pytest tests/fuzz -k whatever_comes --hypothesis-profile=fuzz || exit 1; \
	done

# A million simulated histories, and long runs on real files and real servers; tests/soak.py says which. `make soak SOAK='killed crowd'` for some.
soak: $(READY)
	$(BIN)/python tests/soak.py $(SOAK)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python benchmarks/bench.py

# Every state of the page, into screenshots/; and those of the README into docs/images/.
screenshots: $(READY)
	PYTHONPATH=tests $(BIN)/python tests/page/screenshots.py screenshots

clean:
	rm -rf $(VENV) demo build screenshots .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis src/*.egg-info src/callsheet/*.so
