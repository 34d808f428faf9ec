# make run, make test: all a newcomer needs. Python 3.11 or newer is the only requirement.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test coverage lint e2e bench
.DEFAULT_GOAL := run

run: $(VENV)/run.stamp
	@$(BIN)/flask --app wsgi db upgrade
	@HOST=$${HOST:-127.0.0.1} LOG_FORMAT=$${LOG_FORMAT:-text} $(BIN)/gunicorn -c gunicorn.conf.py wsgi:app

test: $(VENV)/dev.stamp
	@$(BIN)/python -m pytest --ignore=tests/e2e

# The same, a third slower, and which lines and branches no test went through
coverage: $(VENV)/dev.stamp
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest --ignore=tests/e2e
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q . && $(BIN)/mypy

# The Postman collection through newman, whose Node.js comes from a pip package, /docs in Chromium, which
# .ci/install-debian.sh installs, a fuzzer, and the newest SDK of Basalt
e2e: $(VENV)/e2e.stamp
	@$(BIN)/python -m pytest -n0 tests/e2e

# How fast it is, and how near to what its own parts could do: see docs/performance.md
bench: $(VENV)/dev.stamp
	@$(BIN)/python -m bench

$(VENV)/e2e.stamp: tests/e2e/package.json tests/e2e/package-lock.json tests/e2e/.npmrc tests/e2e/basalt-sdk-1.txt $(VENV)/e2e-python.stamp
	@echo "Installing newman …"
	@$(BIN)/pip install -q --upgrade --target $(VENV)/basalt-sdk-1 -r tests/e2e/basalt-sdk-1.txt
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --prefix tests/e2e --loglevel=error >/dev/null
	@touch $@

# Each list of requirements takes in the one before it, so one installation serves for all up to it

$(VENV)/e2e-python.stamp: requirements-e2e.txt requirements-dev.txt requirements.txt $(BIN)/pip
	@echo "Installing what its tests and the end-to-end runs need …"
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
