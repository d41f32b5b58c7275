# The two commands of this project are `make demo` and `make test`. Everything else is for those who change it.
.DELETE_ON_ERROR:
PYTHON ?= python3
BIN := .venv/bin
# Of the tests: three are done soonest on two cores.
PROCESSES ?= 3
# Python keeps what it compiled, also where the environment says not to: compiling anew costs every process two seconds.
unexport PYTHONDONTWRITEBYTECODE
# Every example; what they import lies beside or above them, and is none.
RECIPES = $(filter-out %/decision_log.py,$(sort $(wildcard cookbook/$(if $(ONLY),$(ONLY)*.py cookbook/$(ONLY))*/*.py)))

.PHONY: help setup demo up test check bench bench-retrieval bench-scale chaos races bench-curation bench-end-to-end soak cookbook bench-agno lock clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.ready  ## make .venv with the locked dependencies

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup  ## the main job, start to end, on the embedded services and the offline model
	@$(BIN)/learning-machine demo

up: setup  ## the same stack, kept running in the foreground
	@$(BIN)/learning-machine up

cookbook: setup  ## the cookbook's examples, on one embedded stack: ONLY=01_basics or ONLY=01_basics/03, MODEL=openai
	@$(if $(RECIPES),,echo "no example begins with ONLY=$(ONLY): cookbook/README.md lists them, such as 01_basics/03" >&2; exit 2)
	@PYTHONPATH=cookbook/08_advanced LEARNING_STORES=decision_log:DecisionLogStore \
	  $(BIN)/learning-machine run $(if $(MODEL),--model $(MODEL)) $(RECIPES)

test: setup check  ## all tests, against real embedded servers
	@$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder  # in the order that tests/conftest.py gives

check: setup  ## lint, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@MYPYPATH=cookbook $(BIN)/mypy --scripts-are-modules cookbook/agent.py $(wildcard cookbook/*/*.py)
	@$(BIN)/lint-imports

bench: setup  ## the figures of docs/benchmarks.md
	@PYTHONPATH=tests $(BIN)/python -m benchmarks $(ONLY)

bench-retrieval: setup  ## LoCoMo's evidence found by ranking, beside BM25 and fusion; LEARNING_FIXTURES is its folder
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.retrieval $(ARGS)

bench-agno: setup  ## a turn of agno's agent without learning, with agno's own, with ours; calls, tokens, writes at once (four minutes)
	@AGNO_TELEMETRY=false PYTHONPATH=tests $(BIN)/python -m benchmarks agno_turns

bench-scale: setup  ## recall of 1,000 to 1,000,000 learnings, and the vectors' index (six to ten minutes); ARGS="--sizes 1000 100000" for less
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.scale $(ARGS)

bench-curation: setup  ## planted duplicates and contradictions, a judge that errs, upkeep of 100,000 learnings; LEARNING_FIXTURES is its folder
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.curation $(ARGS)

bench-end-to-end: setup  ## the whole system beside a naive design on Celery (eight to ten minutes); ARGS="--backlog 50000 --backlog-seconds 900" for more
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.end_to_end $(ARGS)

soak: setup  ## steady load with curator jobs for MINUTES (20), judged at the end; draws docs/soak.svg, or PLOT
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),20) --plot $(or $(PLOT),docs/soak.svg) $(ARGS)

chaos: setup  ## kill, stop and cut everything under load, and compare: SEED=2, ARGS="--events 2000 --seconds 60 --times 3"
	@PYTHONPATH=tests $(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) $(ARGS)

races: setup  ## forget, replay and undo beside every other writer, two hundred rounds each
	@RACE_ROUNDS=50 $(BIN)/python -m pytest -q --timeout 1200 tests/integration/stores/test_forgetting_races.py tests/integration/stores/test_replay_races.py

lock:  ## choose newer dependencies: rewrite constraints.txt
	@test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet uv; }
	@printf 'uv\nhatchling>=1.27\n' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header pyproject.toml - -o constraints.txt

clean:  ## remove what was made here
	rm -rf .venv .learning .mypy_cache .ruff_cache .pytest_cache
