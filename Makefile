# Two commands do all set-up: `make run` and `make test`. What they make lies in .venv.
.PHONY: run test check bench test-cluster browser node php servers lists clean
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

run: $(VENV)/installed
	@exec $(BIN)/doublet demo $(ARGS)

test: check browser node php servers lists
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

check: $(VENV)/installed-test
	@$(BIN)/ruff format --check doublet tests bench scripts
	@$(BIN)/ruff check doublet tests bench scripts
	@$(BIN)/mypy

bench: $(VENV)/installed-test
	@for name in collect userdata pixel load models audiences web market persons attribution lift lookalikes rates pacing delivery decide alerts relay reconcile insights memory kill; do echo "== $$name"; $(BIN)/python bench/$$name.py || exit 1; done

test-cluster: $(VENV)/installed-test
	@$(BIN)/python -m pytest -m cluster $(ARGS)

# Debian's Chromium, where it is missing and packages may be installed; otherwise the browser tests
# say why they are skipped (with CI=true they fail).
browser:
	@command -v chromium >/dev/null || scripts/install_package chromium || true

# Clients from npm, likewise.
node: $(VENV)/installed-test
	@command -v npm >/dev/null || scripts/install_package npm || true
	@cmp -s tests/node/package.json $(VENV)/node/installed || ! command -v npm >/dev/null || \
		{ mkdir -p $(VENV)/node && cp tests/node/package.json $(VENV)/node && \
		npm install --silent --no-package-lock --no-audit --no-fund --prefix $(VENV)/node && \
		cp tests/node/package.json $(VENV)/node/installed; } || true

# PHP, under which the plug-ins of the recipes run, likewise.
php:
	@command -v php >/dev/null || scripts/install_package php-cli || true

# The web servers of docs/first_party.md, likewise; /usr/sbin is not on everybody's path.
servers:
	@for name in nginx caddy; do \
		PATH="$$PATH:/usr/sbin" command -v $$name >/dev/null || scripts/install_package $$name || true; done

# Blocking lists, likewise: uBlock Origin's package brings EasyList and EasyPrivacy too.
lists:
	@test -d /usr/share/chromium/extensions/ublock-origin || \
		scripts/install_package webext-ublock-origin-chromium || true

$(VENV)/bin/pip:
	@scripts/make_venv $(PYTHON) $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/pip
	@echo "Installing Doublet into $(VENV) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(VENV)/bin/pip
	@echo "Installing Doublet and its test tools into $(VENV) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build *.egg-info
