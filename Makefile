# `make run` and `make test` are all that a fresh machine needs: Python 3.11 or newer, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
QUIET := --quiet --disable-pip-version-check
# `make HASHES=1 run` installs files whose hashes are known, and no others, into a fresh folder.
ifeq ($(HASHES),1)
READY := $(VENV)/ready-by-hash
LOCK := requirements.hashes.lock
FRESH := --clear
LOCKED := --require-hashes -r $(LOCK)
else
READY := $(VENV)/ready
LOCK := requirements.lock
LOCKED := -r $(LOCK)
endif

.PHONY: ready run test test-ci lint types check lock schema pictures clean

run: $(READY)
	@$(BIN)/superdef-bench run configs/quickstart.toml -o runs/quickstart

ready: $(READY)

# A worker per core, each with one thread: two of torch's thread pools on the same cores crawl.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

# What takes longer: journeys through the docs, a browser, processes that are killed, trainings.
test-ci: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m ci --numprocesses auto --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: test lint types

$(READY): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "superdef-bench needs Python 3.11 or newer; hint: make PYTHON=python3.12 run"; exit 2; }
	@echo "setting up $(VENV) (PyTorch is large: a few minutes)"
	@$(PYTHON) -m venv $(FRESH) $(VENV)
	@$(BIN)/python -m pip install $(QUIET) $(LOCKED)
	@$(BIN)/python -m pip install $(QUIET) --no-deps --no-build-isolation --editable .
	@touch $(READY)

# Needs uv. The header line of each lock is ours, the rest is uv's. The second has the versions of
# the first, with the hashes that the Python Package Index has of their files.
lock:
	{ echo "# Every dependency of the package and of its tests, pinned. Regenerate with: make lock"; \
	  uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --no-header \
	    --no-annotate; } > requirements.lock.new
	mv requirements.lock.new requirements.lock
	{ echo "# The files of requirements.lock by their hashes. Regenerate with: make lock"; \
	  uv pip compile requirements.lock --no-deps --universal --python-version 3.11 --no-header \
	    --no-annotate --generate-hashes; } > requirements.hashes.lock.new
	mv requirements.hashes.lock.new requirements.hashes.lock

# The JSON Schema of results files is made of the models that read them.
schema: $(READY)
	$(BIN)/python -m superdef_bench.results.json_schema > docs/results.schema.json

# Photographs, which the repository never holds: pictures/ is ignored.
pictures: $(READY)
	for defense in bicubic_x2 mustafa rcan superdef; do \
	  $(BIN)/superdef-bench apply $$defense --dataset photos --force -o pictures || exit; done
	if [ -d data/sr-test ]; then \
	  $(BIN)/superdef-bench quality bicubic_x2 mustafa rcan superdef --data sr-test \
	    --picture pictures/restored.png --photograph Set5/img_003 --crop 88,60,96; fi

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
