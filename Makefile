# Everything starts here: `make serve` and `make test` need only git, make and python3 (3.11 or newer).

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8080
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK := $(BIN)/uv --quiet pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

# $(call debian,command that succeeds when it is there,packages): installs Debian packages, as root and only when missing.
define debian
	@if ! { $(1); } >/dev/null 2>&1; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			export DEBIAN_FRONTEND=noninteractive; \
			apt-get -q update && apt-get -q -y install --no-install-recommends $(2); \
		else \
			echo "Missing system packages: $(2). As root: apt-get update && apt-get install $(2)" >&2; exit 1; \
		fi; \
	fi
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve test test-heavy bench bench-screening attack soak audit sbom mutate lint format lock chromium java postgresql deployment

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

# A development profile: any browser origin may call, the preview page is on. docs/integrating.md says how to run it for real.
serve: $(VENV)/.installed ## Run the service and its preview page on 127.0.0.1:8080 (PORT=, HOST= change it)
	@LEGCRAMP_DEVELOPMENT=$${LEGCRAMP_DEVELOPMENT:-1} \
	LEGCRAMP_PUBLIC_BASE_URL=$${LEGCRAMP_PUBLIC_BASE_URL:-http://$(HOST):$(PORT)} \
	exec $(BIN)/legcramp serve --host $(HOST) --port $(PORT)

test: chromium postgresql lint ## Lint, type-check, check the arrows, run every test that is not heavy (ARGS= goes to pytest)
	$(BIN)/pytest -n auto $(ARGS)

# Without a test marked heavy there is nothing to run, and it says so. As soon as one is marked, pytest's "nothing
# collected" (exit code 5) fails like any other failure.
test-heavy: $(VENV)/.installed-spark chromium java postgresql deployment ## Run the tests marked heavy, one at a time
	@if grep -rqsE --include='*.py' 'mark\.heavy\b' tests; then \
		echo "$(BIN)/pytest -m heavy $(ARGS)"; $(BIN)/pytest -m heavy $(ARGS); \
	else \
		echo "No test is marked heavy: nothing was run."; \
	fi

bench: $(VENV)/.installed-dev ## Measure what a request costs, beside orjson and fhir.resources (ARGS="--json FILE")
	$(BIN)/python -m tests.benchmarks $(ARGS)

attack: $(VENV)/.installed-dev ## Attack the service with more than 100,000 inputs; exits with 1 on any fault (ARGS="--seed 7 --scale 0.1")
	$(BIN)/python -m tests.attack $(ARGS)

soak: $(VENV)/.installed-dev ## Three minutes of mixed traffic; exits with 1 when memory or descriptors grow (ARGS="--requests 200000")
	$(BIN)/python -m tests.soak $(ARGS)

mutate: $(VENV)/.installed-dev ## Slip every small mistake into the rules; list those that no scenario notices (ARGS="--only ID")
	$(BIN)/legcramp rules mutate --equivalents tests/review/equivalent-mutants.yaml $(ARGS)

bench-screening: $(VENV)/.installed-dev ## Measure the screening of exports beside reading them (ARGS="--patients 100000")
	$(BIN)/python -m tests.benchmarks.screening $(ARGS)

audit: $(VENV)/.installed-dev ## Known weaknesses of what is locked; "NOT AUDITED" and code 3 where none can be looked up
	$(BIN)/python tools/audit.py requirements/runtime.txt

sbom: build/sbom.json ## The software bill of materials of what is locked, as CycloneDX JSON, in build/sbom.json

build/sbom.json: requirements/runtime.txt $(VENV)/.installed-dev
	@mkdir -p $(@D)
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON -o $@ requirements/runtime.txt

lint: $(VENV)/.installed-dev ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-dev ## Let ruff lay out the code and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.installed-dev ## Lock what pyproject.toml asks for (UPGRADE=1: the newest versions)
	$(LOCK) --all-extras --group build -o requirements/spark.txt pyproject.toml
	$(LOCK) -c requirements/spark.txt --extra test --extra dev --group build -o requirements/dev.txt pyproject.toml
	$(LOCK) -c requirements/dev.txt --extra postgresql -o requirements/runtime.txt pyproject.toml
	$(LOCK) -c requirements/dev.txt -o requirements/build.txt --group build

chromium:
	$(call debian,command -v chromium,chromium fonts-liberation)

# Only the tests start one, in a folder of their own.
postgresql:
	$(call debian,ls /usr/lib/postgresql/*/bin/initdb,postgresql)

# What the heavy tests of deploy/ build an image with, and what stands before the service there.
deployment:
	$(call debian,command -v buildah && command -v mmdebstrap && command -v haproxy && command -v nginx && command -v sqlite3,buildah mmdebstrap haproxy nginx sqlite3)

# pip is the last thing that venv makes: with it there, the environment is whole.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.11" >&2; exit 1; }
	$(call debian,$(PYTHON) -c "import ensurepip",python3-venv)
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml requirements/build.txt requirements/runtime.txt | $(BIN)/pip
	$(PIP) install --require-hashes -r requirements/build.txt -r requirements/runtime.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements/dev.txt $(VENV)/.installed
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

# Apart from the rest, because it is large: only the heavy tests run Spark, which needs a Java of Debian's.
$(VENV)/.installed-spark: requirements/spark.txt $(VENV)/.installed-dev
	$(PIP) install --require-hashes -r requirements/spark.txt
	@touch $@

java:
	$(call debian,command -v java,default-jre-headless)
