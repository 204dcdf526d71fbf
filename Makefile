PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
INSTALLED := $(VENV)/.installed
TESTABLE := $(VENV)/.testable
BENCHABLE := $(VENV)/.benchable

.DEFAULT_GOAL := help
.PHONY: help install serve test bench check lint format types imports faults fast screenshots lock clean

help: ## Show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-13s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv with Kasse and what it needs, at the locked versions [PYTHON=]

serve: $(INSTALLED) ## Start a demo server, installing first if needed [HOST= PORT= DATABASE=]
	@exec $(BIN)/kasse demo $(if $(HOST),--host '$(HOST)') $(if $(PORT),--port '$(PORT)') \
		$(if $(DATABASE),--database '$(DATABASE)')

test: $(TESTABLE) ## Run all tests; the browser tests use the system's Chromium [ARGS= CHROMIUM=]
	@scripts/postgres >/dev/null && scripts/web-sdk >/dev/null && CHROMIUM="$$(scripts/chromium)" && export CHROMIUM && \
		$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

faults: $(TESTABLE) ## Kill, cut, fill, race and simulate for long, on both engines; some 20 minutes, SCALE=0.1 less [SCALE= LONGEST= ARGS=]
	@scripts/postgres >/dev/null && timeout --foreground --signal=INT '$(or $(LONGEST),45m)' \
		$(BIN)/python -m pytest -p no:schemathesis --long --scale '$(or $(SCALE),1)' -o faulthandler_timeout=1200 \
		-n 2 --dist worksteal tests/faults tests/simulation $(ARGS)

fast: $(TESTABLE) ## Run the tests of the rules and operations only [ARGS=]
	@$(BIN)/python -m pytest -p no:schemathesis tests/domain tests/operations $(ARGS)

screenshots: $(TESTABLE) ## Take pictures of the page in each state into build/screenshots, with an index [FOLDER= CHROMIUM=]
	@CHROMIUM="$$(scripts/chromium)" && export CHROMIUM && \
		$(BIN)/python -m tests.page.screenshots '$(or $(FOLDER),build/screenshots)'

bench: $(BENCHABLE) ## Measure Kasse beside the limits of this machine; tables and pictures go to benchmarks/results [ARGS=]
	@scripts/postgres >/dev/null && $(BIN)/python -m benchmarks $(ARGS)

check: lint format types imports ## Check style, format, types and the direction of imports; changes nothing

lint: $(TESTABLE)
	$(BIN)/ruff check

format: $(TESTABLE)
	$(BIN)/ruff format --check

types: $(TESTABLE)
	$(BIN)/mypy

imports: $(TESTABLE)
	$(BIN)/lint-imports --no-logo

COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

lock: | $(VENV)/pyvenv.cfg ## Remake the lock files from pyproject.toml [UPGRADE=1 takes newer versions]
	@test -x $(BIN)/uv || $(PIP) install uv
	$(COMPILE) --group build --output-file requirements.lock
	$(COMPILE) --group build --all-extras --constraint requirements.lock --output-file requirements-server.lock
	$(COMPILE) --group build --group test --all-extras --constraint requirements-server.lock \
		--output-file requirements-test.lock
	$(COMPILE) --group build --group test --group bench --all-extras --constraint requirements-test.lock \
		--output-file requirements-bench.lock
	@! grep -n '://' requirements*.lock || { echo 'A lock file names a host.' >&2; exit 1; }

clean: ## Remove .venv, caches and built packages; databases stay
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.lock pyproject.toml | $(VENV)/pyvenv.cfg
	@echo 'Installing Kasse and what it needs into $(VENV)'
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(TESTABLE): requirements-test.lock $(INSTALLED)
	@echo 'Installing what the tests and checks need into $(VENV)'
	@$(PIP) install --require-hashes -r requirements-test.lock
	@touch $@

$(BENCHABLE): requirements-bench.lock $(TESTABLE)
	@echo 'Installing what the benchmarks need into $(VENV)'
	@$(PIP) install --require-hashes -r requirements-bench.lock
	@touch $@

$(VENV)/pyvenv.cfg:
	@command -v '$(PYTHON)' >/dev/null || { echo "Kasse needs Python 3.11 or newer, and there is no '$(PYTHON)':" \
		"install it, or name one with PYTHON=/path/to/python3." >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Kasse needs Python 3.11 or newer," \
		"and '$(PYTHON)' is $$('$(PYTHON)' -V 2>&1): name a newer one with PYTHON=/path/to/python3." >&2; exit 1; }
	@'$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null || { echo "'$(PYTHON)' cannot make virtual environments:" \
		"install its venv module (on Debian: apt-get install python3-venv)." >&2; exit 1; }
	@'$(PYTHON)' -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
