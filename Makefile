# `make demo` and `make test` need Python 3.10 or newer and make, nothing else.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
CACHE  ?= .cache

.PHONY: demo test lint guide guide-lint bench bench-speed bench-fix bench-nodes bench-exports \
	bench-preview bench-compare oracle docs clean

demo: $(VENV)/.installed
	@$(BIN)/python scripts/demo.py --cache $(CACHE)/demo

test: $(VENV)/.dev lint
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict graphfix

# speed and memory of check, paired in one run against onnx's own loading and inference
bench: $(VENV)/.dev
	$(BIN)/python scripts/bench_check.py

# predictions against the verdicts of the real GE parser; fetches public models once
oracle: $(VENV)/.dev
	$(BIN)/python tests/oracle/fetch_models.py $(CACHE)/oracle
	$(BIN)/python tests/oracle/predict.py $(CACHE)/oracle $(CACHE)/predictions.jsonl
	$(BIN)/python tests/oracle/score.py tests/oracle/verdicts.csv.gz $(CACHE)/predictions.jsonl --list -1
	GRAPHFIX_ORACLE=$(CACHE)/oracle $(BIN)/python -m pytest -m oracle

# speed and memory of fix, paired in one run with other optimizers
bench-speed: $(VENV)/.bench
	$(BIN)/python scripts/bench_speed.py

# fix over the real public models: findings before and after, differences, time, memory
bench-fix: $(VENV)/.dev
	$(BIN)/python tests/oracle/fetch_models.py $(CACHE)/oracle --no-edge
	$(BIN)/python scripts/bench_fix.py $(CACHE)/oracle

# fix over onnx's node models, opsets 7 to 23: by operator, what was refused, what remains and why
bench-nodes: $(VENV)/.dev
	$(BIN)/python tests/oracle/fetch_models.py $(CACHE)/oracle --no-edge
	$(BIN)/python scripts/bench_fix.py $(CACHE)/oracle --node-tests

# a guide's transformer (50,000 x 768) from PyTorch to a bundle for ATC, static and with profiles of
# its length; each in one command, with the time of every stage
guide: $(VENV)/.dev
	$(BIN)/python scripts/guide.py $(CACHE)/guide

# the commands of a guide and the known mistakes: what lint says, and the right command
guide-lint: $(VENV)/.dev
	@$(BIN)/python scripts/generate_docs.py --show atc_mistakes.md

# fix over what both torch exporters write: BERT, GPT-2, Llama, ViT and a guide's transformer
bench-exports: $(VENV)/.bench
	$(BIN)/python scripts/bench_exports.py $(CACHE)/exports

# the fp16 preview against true half runs in ONNX Runtime, its keep lists, and its cost
bench-preview: $(VENV)/.dev
	$(BIN)/python tests/oracle/fetch_models.py $(CACHE)/oracle --no-edge
	$(BIN)/python scripts/bench_preview.py $(CACHE)/oracle

# compare: planted faults, clean pairs, speed and memory, on public and generated models
bench-compare: $(VENV)/.dev
	$(BIN)/python tests/oracle/fetch_models.py $(CACHE)/oracle --no-edge
	$(BIN)/python scripts/bench_compare.py --models $(CACHE)/oracle

docs: $(VENV)/.dev
	$(BIN)/python scripts/generate_docs.py

clean:
	rm -rf $(VENV) $(CACHE) build dist *.egg-info

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.bench: $(VENV)/.dev pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	@touch $@
