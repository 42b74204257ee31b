# The two commands are `make demo` and `make test`. Each sets up what it needs from the lock files.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export DAGSTER_DISABLE_TELEMETRY := yes
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export HF_HUB_OFFLINE ?= 1

.PHONY: demo study corpus ui serve new-month test lint setup lock sbom audit bench clean-home faults

demo: $(READY)          ## the whole path: the embedded hospital to the evaluation report
	$(BIN)/python -m lang1_assets.cli demo $(if $(VARIANT),--variant $(VARIANT))

study: $(READY)         ## every study and claim of the paper on the profile's hospital
	$(BIN)/python -m lang1_assets.cli study

corpus: $(READY)        ## the corpus half: notes and web text to a pretrained model
	$(BIN)/python -m lang1_assets.cli corpus $(if $(VARIANT),--variant $(VARIANT))

ui: $(READY)            ## Dagster and MLflow on the same state
	$(BIN)/python -m lang1_assets.cli ui

serve: $(READY)         ## the services of a hospital, kept running: Dagster, MLflow and Dask over PostgreSQL
	$(BIN)/python -m lang1_assets.cli serve

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

lock: $(READY)          ## write the lock files, hashes included, from what is installed
	infra/dependencies/lock.sh

sbom: $(READY)          ## sbom.json: everything that is installed, as a CycloneDX bill of materials
	$(BIN)/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible --output-format JSON \
	  --output-file sbom.json

audit: sbom             ## licenses of everything installed, known vulnerabilities of everything locked
	$(BIN)/python infra/dependencies/licenses.py sbom.json
	$(BIN)/python infra/dependencies/vulnerabilities.py

# Which build of torch is tried first; another one of the same version that is there already stays.
TORCH ?= $(if $(shell command -v nvidia-smi),cuda cpu,cpu cuda)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
HASHED := --no-deps --require-hashes

$(READY): requirements.lock requirements-torch-cpu.lock requirements-torch-cuda.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	there=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("torch").split("+")[0])' 2>/dev/null); \
	  grep -q "^torch==$$there " requirements-torch-cuda.lock || for build in $(TORCH); do \
	  echo "torch: the $$build build"; $(PIP) install $(HASHED) -r requirements-torch-$$build.lock && break; done
	$(PIP) install $(HASHED) -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

bench: $(READY)
	for bench in bench/*.py; do $(BIN)/python $$bench || exit 1; done

faults: $(READY)        ## kill each kind of process again and again while the services run: the table of docs/reliability.md
	$(BIN)/python -m tests.faults

clean-home:             ## remove everything that runs have made
	rm -rf "$${LANG1_HOME:-lang1_home}"
