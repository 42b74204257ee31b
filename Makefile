# The two commands are `make demo` and `make test`. Each sets up what it needs from the one lock file.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export DAGSTER_DISABLE_TELEMETRY := yes
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export HF_HUB_OFFLINE ?= 1

.PHONY: demo study corpus ui new-month test lint setup lock bench clean-home

demo: $(READY)          ## the whole path: the embedded hospital to the evaluation report
	$(BIN)/python -m lang1_assets.cli demo $(if $(VARIANT),--variant $(VARIANT))

study: $(READY)         ## every study and claim of the paper on the profile's hospital
	$(BIN)/python -m lang1_assets.cli study

corpus: $(READY)        ## the corpus half: notes and web text to a pretrained model
	$(BIN)/python -m lang1_assets.cli corpus $(if $(VARIANT),--variant $(VARIANT))

ui: $(READY)            ## Dagster and MLflow on the same state
	$(BIN)/python -m lang1_assets.cli ui

new-month: $(READY)     ## one more month of the embedded hospital: make new-month MONTH=2025-02
	$(BIN)/python -m lang1_assets.cli new-month $(MONTH)

test: $(READY)          ## every test that needs no service and no GPU
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint dbt_notes/models

setup: $(READY)

lock: $(READY)          ## write the lock file from what is installed
	$(BIN)/python -m pip list --format freeze --exclude-editable | sed 's/+cpu$$//' | grep -v '^pip==' > requirements.lock

# torch by itself first: a CUDA build brings the libraries that belong to it, a CPU build needs none.
$(READY): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

bench: $(READY)
	for bench in bench/*.py; do $(BIN)/python $$bench || exit 1; done

clean-home:             ## remove everything that runs have made
	rm -rf "$${LANG1_HOME:-lang1_home}"
