# `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTHONS := 3.11 3.12 3.13 3.14
SYSTEMS := x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin x86_64-pc-windows-msvc

.PHONY: help demo test test-distributed test-server lint check-python docs dagster mlflow app lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 20

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $@

demo: $(INSTALLED)  ## compare the embedders on a small library that comes with a package
	@$(BIN)/musicflow demo

# The tests make thousands of small databases, and every change of one waits for the disk. So they
# are made in memory where 8 GB of it are free.
MEMORY := $(shell [ "$$(df --output=avail -BG /dev/shm 2> /dev/null | tr -dc 0-9)" -ge 8 ] \
	2> /dev/null && echo /dev/shm)

test: $(INSTALLED)  ## run all tests; `.venv/bin/pytest` runs the quick ones
	TMPDIR="$(or $(MEMORY),$(TMPDIR))" $(BIN)/pytest -m "" -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-distributed: $(INSTALLED)  ## run a backfill over two Celery workers, with Redis and Postgres
	command -v redis-server && ls -d /usr/lib/postgresql/*/bin || apt-get install --yes redis-server postgresql
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[distributed]'
	$(BIN)/pytest -m "" deploy/test_distributed.py

# The nodes of a cluster: URL="http://a:6333 http://b:6333 http://c:6333". Optional: KEY, READ_KEY,
# OTHER (the address of a second server), and the commands RESTART (the server) and KILL (the last
# node).
test-server: $(INSTALLED)  ## hold the server engine against a real server: URL=http://HOST:6333
	MUSICFLOW_TEST_QDRANT="$(URL)" MUSICFLOW_TEST_QDRANT_KEY="$(KEY)" \
	MUSICFLOW_TEST_QDRANT_READ_KEY="$(READ_KEY)" MUSICFLOW_TEST_QDRANT_OTHER="$(OTHER)" \
	MUSICFLOW_TEST_QDRANT_RESTART="$(RESTART)" MUSICFLOW_TEST_QDRANT_KILL="$(KILL)" \
		$(BIN)/pytest -m server musicflow_tests/index

lint: $(INSTALLED)  ## check style, types and layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-python: $(INSTALLED)  ## resolve the dependencies to wheels for each Python and system we name
	@for python in $(PYTHONS); do for system in $(SYSTEMS); do echo $$python $$system; done; done \
		| xargs -P 8 -L 1 sh -c '$(BIN)/uv pip compile --quiet --only-binary :all: \
			--python-version $$0 --python-platform $$1 --extra all --extra distributed \
			pyproject.toml > /dev/null && echo $$0 on $$1: yes'

docs: $(INSTALLED)  ## build the site into site/, strictly and without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

dagster: $(INSTALLED)  ## open the Dagster UI
	@$(BIN)/musicflow dagster

mlflow: $(INSTALLED)  ## open the MLflow UI
	@$(BIN)/musicflow mlflow

app: $(INSTALLED)  ## open the app
	@$(BIN)/musicflow app

lock: $(INSTALLED)  ## renew constraints.txt from what is installed
	@head -2 constraints.txt > $(VENV)/lock
	@$(BIN)/pip freeze --exclude-editable >> $(VENV)/lock
	@mv $(VENV)/lock constraints.txt

clean:  ## remove what make made here; homes and weights stay
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
