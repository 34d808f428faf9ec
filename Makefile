# make help lists the targets. Python 3.11 or newer is the only requirement: each target installs what it needs into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help run test test-quick coverage lint format e2e screenshots bench
.DEFAULT_GOAL := run

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

run: $(VENV)/run.stamp ## migrate the database and start the service (the default)
	@$(BIN)/flask --app wsgi db upgrade
	@HOST=$${HOST:-127.0.0.1} LOG_FORMAT=$${LOG_FORMAT:-text} exec $(BIN)/gunicorn -c gunicorn.conf.py wsgi:app

test: $(VENV)/dev.stamp ## run all tests but the end-to-end ones, on SQLite and PostgreSQL
	@$(BIN)/python -m pytest --ignore=tests/e2e

test-quick: $(VENV)/dev.stamp ## run the quick tests: SQLite only, no running service
	@$(BIN)/python -m pytest --ignore=tests/e2e --ignore=tests/bench -m "not postgresql and not live and not slow"

# A third slower than `make test`. Fails below the `fail_under` of pyproject.toml
coverage: $(VENV)/dev.stamp ## run all tests and report the lines and branches that none reached
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest --ignore=tests/e2e
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report

lint: $(VENV)/dev.stamp ## check format, style and types
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q . && $(BIN)/mypy

format: $(VENV)/dev.stamp ## format the code, and fix what can be fixed safely
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format -q .

# newman, whose Node.js comes from a pip package; Chromium, which .ci/install-debian.sh installs; Schemathesis; the
# newest SDK of Basalt; generators of clients; senders of traces; axe-core, which checks the pages
e2e: $(VENV)/e2e.stamp ## run the Postman collection, /docs in a browser, a fuzzer, generated clients and clients' SDKs
	@$(BIN)/python -m pytest tests/e2e

screenshots: $(VENV)/e2e-python.stamp ## take pictures of the pages for the documents, with Chromium
	@$(BIN)/python -m tests.e2e.screenshots

bench: $(VENV)/dev.stamp ## measure speed: see docs/performance.md
	@$(BIN)/python -m bench

E2E_LISTS := package.json package-lock.json .npmrc langfuse/package.json langfuse/package-lock.json langfuse/.npmrc
E2E_LISTS += basalt-sdk-1.txt senders.txt langfuse-3.txt
$(VENV)/e2e.stamp: $(E2E_LISTS:%=tests/e2e/%) $(VENV)/e2e-python.stamp
	@echo "Installing newman, clients' SDKs, axe-core and what a client in TypeScript needs …"
	@$(BIN)/pip install -q --upgrade --target $(VENV)/basalt-sdk-1 -r tests/e2e/basalt-sdk-1.txt
	@$(BIN)/pip install -q --upgrade --target $(VENV)/senders -r tests/e2e/senders.txt
	@$(BIN)/pip install -q --upgrade --no-deps --target $(VENV)/langfuse-3 -r tests/e2e/langfuse-3.txt
	@for folder in tests/e2e tests/e2e/langfuse; do \
		PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --prefix $$folder --loglevel=error >/dev/null || exit 1; done
	@touch $@

# Each list of requirements includes the one before it, so installing one brings the stamps of those up to date

$(VENV)/e2e-python.stamp: requirements-e2e.txt requirements-dev.txt requirements.txt $(BIN)/pip
	@echo "Installing what the tests and the end-to-end runs need …"
	@$(BIN)/pip install -q -r $<
	@touch $(VENV)/run.stamp $(VENV)/dev.stamp $@

$(VENV)/dev.stamp: requirements-dev.txt requirements.txt $(BIN)/pip
	@echo "Installing what PromptCrafter and its tests need into $(VENV) …"
	@$(BIN)/pip install -q -r $<
	@touch $(VENV)/run.stamp $@

$(VENV)/run.stamp: requirements.txt $(BIN)/pip
	@echo "Installing what PromptCrafter needs into $(VENV) …"
	@$(BIN)/pip install -q -r $<
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "PromptCrafter needs Python 3.11 or newer; try make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV)
