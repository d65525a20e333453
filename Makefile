# The project's two commands are `make demo` and `make test`; `make help` lists the rest.
# The first that is there and new enough; `make venv PYTHON=...` decides otherwise.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS)
# Rooms that decide: every branch of theirs is to be tried.
DECIDING := operator/trainyard/model/*,operator/trainyard/planning/*,operator/trainyard/scheduling/*,operator/trainyard/launch/*
# What the names of the tests' clusters begin with: another word lets a second checkout test beside the first.
export TRAINYARD_TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help venv programs images helm lock generate verify test test-unit test-apiserver test-nodes test-long test-oldest test-down \
	demo demo-down bench image clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

demo: venv ## a real training job on a real Kubernetes: started, killed, resumed, done
	hack/demo up

demo-down: venv ## take the demo down without a trace
	hack/demo down

test: ## everything below: verify, and the three suites
	$(MAKE) verify
	$(MAKE) test-unit
	status=0; $(MAKE) test-apiserver && $(MAKE) test-nodes || status=$$?; $(MAKE) test-down; exit $$status

verify: venv ## what can be checked without running: style, types, contracts, generated files, licences, ...
	hack/verify

test-unit: venv helm ## is each decision right? no cluster needed
	rm -f .coverage .coverage.*
	$(BIN)/coverage run --parallel-mode -m pytest -q -n $(WORKERS) -m "not apiserver and not nodes and not slow"
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --include='$(DECIDING)' --fail-under=95
	$(BIN)/coverage json -q -o - --include='$(DECIDING)' | $(BIN)/python hack/branches.py 95

test-apiserver: venv programs helm ## does a real control plane agree? kubelets are simulated; are the rights right?
	hack/rights --name $(TRAINYARD_TESTS)-api --begin
	$(PYTEST) -m "apiserver and not slow"
	hack/rights --name $(TRAINYARD_TESTS)-api

test-nodes: venv images helm ## do pods, signals, names, volumes and the chart work on real nodes?
	$(BIN)/python -m pytest -q -m "nodes and not slow"

test-long: venv images helm ## what takes too long for every change: each upgrade of the chart, Helm 3, each alert
	hack/yard build --only helm3
	status=0; $(BIN)/python -m pytest -q -m slow || status=$$?; $(MAKE) test-down; exit $$status

test-oldest: venv images helm ## schema, admission policy, lives of jobs and chart on the oldest Kubernetes that is supported
	hack/yard build --kubernetes 1.34 --no-images
	status=0; TRAINYARD_TESTS=oldest TRAINYARD_KUBERNETES=1.34 $(BIN)/python -m pytest -q tests/apiserver/crd \
		tests/apiserver/test_lifecycle.py tests/security/test_admission.py tests/chart -m "apiserver or nodes" || status=$$?; \
		hack/yard down --name 'oldest-*'; exit $$status

test-down: venv ## take down the clusters that tests leave for the next run
	hack/yard down --name '$(TRAINYARD_TESTS)-*'

bench: venv ## gang start, restart, cost per pod and placement, against raw load
	hack/bench

image: venv ## build the operator's image
	hack/image

generate: venv ## render again what is rendered: CRDs, references, chart, install manifest, dashboards
	hack/generate
	hack/manifests
	hack/dashboards

venv: $(VENV)/.installed ## make the virtual environment from the lock
$(VENV)/.installed: requirements/dev.txt pyproject.toml
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Trainyard needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ [ "$$(id -u)" = 0 ] && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv; } || \
		{ echo "$(PYTHON) comes without venv; as root on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

programs: venv ## build what local clusters run, once a version, into the cache: about 15 minutes on 2 cores
	hack/yard build --no-images

images: programs ## make the images for real nodes, once a version, into the cache: about 3 minutes, as root
	hack/yard build

helm: venv ## build the Helm that installs the chart in tests, once a version, into the cache: about 5 minutes
	hack/yard build --only helm

lock: venv ## resolve the dependencies again into requirements/*.txt
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements/operator.txt
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml --group dev -o requirements/dev.txt

clean: ## remove what was built in the checkout (not the cache of cluster binaries, not running clusters)
	rm -rf $(VENV) build dist out .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
