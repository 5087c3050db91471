.DEFAULT_GOAL := help
.PHONY: help env demo reproduce test soak search bench growth unit integration lint format proto api settings kill-test parity clean
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

env: ## make or update the environment in .venv (every target below does this first)
	@$(PYTHON) infra/bootstrap.py

demo: env ## see it happen: recommend, three clicks, recommend; Ctrl-C stops all of it
	@$(BIN)/nearline demo $(ARGS)

reproduce: env ## run a published comparison again: make reproduce DATASET=beauty (none: the list)
	@$(BIN)/nearline reproduce $(DATASET) $(ARGS)

test: env lint ## all checks and all tests but those of minutes (soak), with the real parts
	$(BIN)/python -m pytest -m "not soak" $(ARGS)

soak: env ## the tests that take minutes: retraining killed at five moments, training on a local Ray
	$(BIN)/python -m pytest -m soak $(ARGS)

search: env ## property tests with examples that nobody has tried; `make test` has the same each time
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile search $(ARGS)

bench: env ## measure answers, event -> changed recommendation, and the goals, beside floors
	@$(BIN)/nearline bench --start $(ARGS)

growth: env ## what 10k to 1M items and customers cost: ARGS="--sizes 10k,100k" for minutes
	@$(BIN)/nearline bench growth $(ARGS)

unit: env ## the tests that need no server (a minute or two)
	$(BIN)/python -m pytest tests/unit $(ARGS)

integration: env ## the tests against real Valkey, Feast, MLflow, Ray and gRPC
	$(BIN)/python -m pytest -m "not soak" tests/integration $(ARGS)

kill-test: env ## kill the worker 20 times under load, then recount every event with SQL
	$(BIN)/python -m pytest -s tests/integration/stream/test_kills.py $(ARGS)

parity: env ## 1,000 online vectors against their offline recomputation, bit for bit
	@$(BIN)/nearline features parity $(ARGS)

lint: env ## ruff, mypy --strict, and the rule that rooms never import each other
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: env ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: env ## generate nearline/v1 from proto/
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=. --grpc_python_out=. --pyi_out=. proto/nearline/v1/*.proto
	rm -f nearline/v1/feast_value_pb2_grpc.py

api: env ## write what /v1 promises to docs/api/v1.json; refuses what would break it
	@$(BIN)/python -m tests.unit.api.snapshot $(ARGS)

settings: env ## write docs/settings.md anew from nearline/settings.py
	@$(BIN)/python -m tests.unit.settings_page

clean: ## remove what runs have left (.nearline) and caches; keeps the environment
	rm -rf .nearline .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
