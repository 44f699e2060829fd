# Two commands do all the set-up: `make demo` runs real research cycles, `make test` runs the tests.

# Without bytecode every process would compile every library anew.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench docs chaos histories screenshots lock clean

demo: $(VENV)/installed
	@$(BIN)/python -m client.demo

# Three processes even on two processors: a test of a house on a server waits for much of its time.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 3 --dist worksteal

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .

# Measures everything beside its peers, which takes its time, and writes docs/benchmarks.md.
bench: $(VENV)/installed-bench
	$(BIN)/python -m benchmarks

# Writes the pages of docs/ that are made from the code: docs/commands.md and docs/settings.md.
docs: $(VENV)/installed
	$(BIN)/python -m client.help_pages

# The long form of what `make test` samples.
chaos: $(VENV)/installed-dev
	$(BIN)/python -m pytest --chaos

# Writes the kept histories anew. Only after a change that may break running cycles, and never to make a test pass.
histories: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests/workflows --keep-histories

# Takes the pictures in docs/ of the demo, the Web UI and a report anew, of cycles that it runs; needs a chromium on PATH.
screenshots: $(VENV)/installed-dev
	$(BIN)/python -m tests.demo_picture
	$(BIN)/python -m pytest tests/webui/test_pages.py tests/report/test_in_a_browser.py --keep-screenshots

lock: $(VENV)/installed-dev
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" requirements.in pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --extra dev -c requirements.txt requirements.in pyproject.toml -o requirements-dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --extra bench -c requirements-dev.txt requirements.in pyproject.toml -o requirements-bench.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" requirements-prefect.in -o requirements-prefect.txt

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages (once)..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	@echo "Installing what the tests need (once)..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

# Prefect has an environment of its own, as its bounds on other packages do not go together with ours.
$(VENV)/installed-bench: $(VENV)/installed-dev requirements-bench.txt requirements-prefect.txt
	@echo "Installing what the benchmarks compare with (once)..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	@test -x $(VENV)/prefect/bin/python || $(PYTHON) -m venv $(VENV)/prefect
	@$(VENV)/prefect/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-prefect.txt
	@touch $@
