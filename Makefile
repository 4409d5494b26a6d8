# Plimsoll: every command a person or CI needs. `make help` lists them.
# A fresh machine needs make and Python >= 3.11; all else is fetched, locked, into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
# Where binaries built once (kube-apiserver, etcd, the VPA recommender) are kept between checkouts.
export PLIMSOLL_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/plimsoll

.PHONY: help
help: ## what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 18

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Plimsoll needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: on Debian and Ubuntu install the package python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# The run lock is a subset of the dev lock, so either may be installed over the other.
$(VENV)/.run: requirements/run.lock pyproject.toml | $(UV)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/run.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml | $(UV)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run

.PHONY: venv
venv: $(VENV)/.dev ## the development environment

# What the images install: the dev lock's versions, and only what is imported there (tests/chart/test_images.py).
LOCK_IMAGE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
  -c requirements/dev.lock --custom-compile-command 'make lock'
NOT_IN_OPERATOR := pyarrow typer rich shellingham pygments markdown-it-py mdurl annotated-doc

.PHONY: lock
lock: | $(UV) ## resolve the locks anew (no addresses in them)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --all-extras \
	  --group build $(LOCK_ARGS) --custom-compile-command 'make lock' pyproject.toml -o requirements/dev.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --extra operator --extra sandbox --extra redis \
	  --group build -c requirements/dev.lock --custom-compile-command 'make lock' pyproject.toml -o requirements/run.lock
	$(LOCK_IMAGE) --extra operator --extra redis $(addprefix --no-emit-package ,$(NOT_IN_OPERATOR)) pyproject.toml -o requirements/operator.lock
	$(LOCK_IMAGE) --extra operator --extra redis --extra forecast $(addprefix --no-emit-package ,$(NOT_IN_OPERATOR)) pyproject.toml -o requirements/operator-forecast.lock
	$(LOCK_IMAGE) requirements/agent.in -o requirements/agent.lock
	$(LOCK_IMAGE) --group build -o requirements/build.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-deps --group peers \
	  --custom-compile-command 'make lock' -o requirements/peers.lock
	$(MAKE) --no-print-directory lock-arm64

.PHONY: lock-arm64
lock-arm64: | $(UV) ## note which wheel each image's lock gives on linux/arm64; fails where there is none
	$(BIN)/python requirements/arm64.py $(UV)

.PHONY: demo
demo: $(VENV)/.run ## watch limits follow recorded production memory, then read the outcome
	@$(BIN)/plimsoll sandbox

.PHONY: test
test: $(VENV)/.dev ## every test; the real API server's too where `make apiserver` has been run
	$(BIN)/python -m pytest -n 2 --dist loadgroup --cov --cov-report=term:skip-covered tests
	$(BIN)/coverage report --fail-under=90 --include='core/*' >/dev/null

.PHONY: e2e e2e-all e2e-kind cluster cluster-down images-podman
# The core: installing and upgrading, following usage, OOM kills, disruptions.
e2e: $(VENV)/.dev ## core of the end-to-end tests, on a real cluster (PLIMSOLL_CLUSTER=kind|vm|kubeconfig); fails where none can be had
	kind/e2e.sh core $(E2E_ARGS)

e2e-all: $(VENV)/.dev ## all end-to-end tests
	kind/e2e.sh all $(E2E_ARGS)

e2e-kind: $(VENV)/.dev ## kind itself, run in a virtual machine where there is no docker: the Dockerfiles, the chart, a stated core of the tests
	PLIMSOLL_CLUSTER=kind-vm PLIMSOLL_CLUSTER_NAME=plimsoll-kind WORKERS=1 kind/e2e.sh kind $(E2E_ARGS)

cluster: $(VENV)/.dev ## bring up the cluster of `make e2e` and leave it up
	kind/up.sh

cluster-down: ## remove it
	kind/down.sh

images-podman: $(VENV)/.dev ## build both Dockerfiles with podman in a virtual machine, and say what the images weigh
	trap 'kind/vm/kind/cluster.sh down' EXIT; kind/vm/kind/cluster.sh images

.PHONY: lint
lint: $(VENV)/.dev ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(VENV)/.dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: crds
crds: $(VENV)/.dev ## write the CRD YAML and its documentation from the typed models
	$(BIN)/python -m plimsoll_operator.crds operator/plimsoll_operator/crds charts/plimsoll/files/crds
	$(BIN)/python docs/generate.py

.PHONY: proto proto-release
proto: $(VENV)/.dev ## write the Python of proto/ anew, and check it: style, and that nothing breaks what was released
	$(BIN)/python proto/generate.py
	cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf breaking --against released.binpb

proto-release: $(VENV)/.dev ## what is in proto/ now is what later versions must not break
	$(BIN)/python proto/generate.py --release

.PHONY: chart-golden
chart-golden: $(VENV)/.dev ## render the chart's golden files anew, to be read before they are committed
	PLIMSOLL_WRITE_GOLDEN=1 $(BIN)/python -m pytest -q tests/chart/test_golden.py

.PHONY: released-chart
released-chart: $(VENV)/.dev ## keep the chart of a release for the tests of upgrades: make released-chart COMMIT=the commit that releases it
	$(BIN)/python tests/builders/released.py $(COMMIT)

.PHONY: apiserver
apiserver: ## build and cache a real kube-apiserver, etcd, kubectl and kubeadm from Go modules
	kind/vm/build-binaries.sh apiserver etcd kubectl kubeadm

.PHONY: promtool foreign-crds
promtool: ## fetch and cache a real promtool for tests, from Debian's package (apt-get; nothing is installed)
	kind/promtool.sh

foreign-crds: ## fetch and cache the CRDs of prometheus-operator, cert-manager and KEDA for tests, from Go modules
	kind/foreign-crds.sh

.PHONY: redis
redis: ## fetch and cache a real redis-server for tests, from Debian's packages (apt-get; nothing is installed)
	kind/redis.sh

.PHONY: train train-pressure
train: $(VENV)/.dev ## fit the forecast's weights and price tables anew: make train TRACES=directory (about half an hour)
	$(BIN)/python bench/train_prior.py --traces $(TRACES) $(BENCH_ARGS)

train-pressure: $(VENV)/.dev ## fit the pressure predictor's weights anew: make train-pressure [RECORDINGS=files]
	$(BIN)/python bench/train_pressure.py $(if $(RECORDINGS),--recordings $(RECORDINGS)) $(BENCH_ARGS)

.PHONY: bench bench-ablation bench-agent bench-basis bench-circumstances bench-classes bench-cold bench-control bench-coord bench-e2e bench-e2e-figures bench-faults bench-forecast bench-fuzz bench-leak bench-loop bench-node bench-own bench-pages bench-placement bench-placement-scheduler bench-pressure bench-priors bench-prophet bench-share bench-steering bench-tried bench-usage bench-demo
bench: bench-agent bench-cold bench-demo bench-leak bench-forecast bench-loop bench-prophet bench-usage ## the benches of the core; the others are run one by one

.PHONY: record-container
record-container: $(VENV)/.dev ## a container of the cluster, recorded by its node's agent and drawn: make record-container POD=namespace/name
	$(BIN)/python bench/record_container.py "$(POD)" --output build/heatmap/container $(BENCH_ARGS)

bench-ablation: $(VENV)/.dev ## what each part of the pipeline earns, taken away in turn on the judged half
	$(BIN)/python bench/ablation.py --traces $(TRACES) $(BENCH_ARGS)

bench-agent: $(VENV)/.dev ## what the node agent costs a node of 100 and of 500 containers
	$(BIN)/python bench/agent.py $(BENCH_ARGS)

bench-basis: $(VENV)/.dev ## what limits made for needed memory save at the same refault budget, on a model of a container's memory
	$(BIN)/python bench/basis.py $(BENCH_ARGS)

bench-circumstances: $(VENV)/.dev ## what knowing of rollouts, starts and pods is worth, on made series
	$(BIN)/python bench/circumstances.py $(BENCH_ARGS)

bench-classes: $(VENV)/.dev ## how often the class that is told is that of the whole series, and whether promises are kept by it
	$(BIN)/python bench/classes.py --traces $(TRACES) $(BENCH_ARGS)

bench-cold: $(VENV)/.dev ## the first day of containers that have relatives, with and without what those did
	$(BIN)/python bench/cold.py --traces $(TRACES) $(BENCH_ARGS)

bench-control: $(VENV)/.dev ## laws of proactive reclaim beside each other, on a model of a container's memory
	$(BIN)/python bench/control.py $(BENCH_ARGS)

bench-coord: $(VENV)/.dev ## what agents' streams cost the operator, from 100 to 5,000, and a storm of reconnections
	$(BIN)/python bench/coord.py $(BENCH_ARGS)

bench-faults: $(VENV)/.dev ## every fault that is survived, made by its test and counted; then the fuzzer (make redis first)
	$(BIN)/python bench/faults.py $(BENCH_ARGS)

bench-fuzz: $(VENV)/.dev ## a million inputs against the operator's side of an agent's stream
	$(BIN)/python bench/fuzz_coord.py $(BENCH_ARGS)

bench-demo: $(VENV)/.dev ## the demo's outcome as figures, and its picture
	$(BIN)/python bench/demo.py $(BENCH_ARGS)

bench-e2e: $(VENV)/.dev ## how long the end-to-end tests take on a real cluster, and what the images weigh
	$(BIN)/python bench/e2e.py $(BENCH_ARGS)

bench-e2e-figures: $(VENV)/.dev ## what end-to-end tests measure on the way: shrinks, leases, shared models, placement on real kernels
	$(BIN)/python bench/e2e_figures.py $(BENCH_ARGS)

bench-leak: $(VENV)/.dev ## how often the leak detector cries wolf, and how soon it tells of a leak
	$(BIN)/python bench/leak.py --traces $(TRACES) $(BENCH_ARGS)

# The whole development set is not in the repository (docs/benchmark.md says where it is published): where it
# lies beside the checkout it is taken, else the sample that ships. `make bench-forecast TRACES=directory`.
TRACES ?= $(or $(wildcard ../shared/data/memory_traces),sample)
bench-forecast: $(VENV)/.dev ## every recommender on the judged half of recorded traces: tables, frontiers, calibration
	$(BIN)/python bench/forecast.py --traces $(TRACES) $(BENCH_ARGS)

bench-loop: $(VENV)/.dev ## the operator's loop at 1k, 10k and 100k containers, beside the real VPA recommender
	$(BIN)/python bench/loop.py $(BENCH_ARGS)

bench-node: $(VENV)/.dev ## agent on, off and Senpai in turn on a real kernel, then the pressure stress: more than three hours, by its blocks
	kind/vm/packages.sh
	$(BIN)/python bench/node.py $(BENCH_ARGS)

bench-own: $(VENV)/.dev ## what refitting the forecast to a fleet's own hours gains on workloads held out
	$(BIN)/python bench/own.py --traces $(TRACES) $(BENCH_ARGS)

# libcachesim (GPL-3) is a peer: installed for this bench alone, without what it declares for other readers.
PAGE_TRACES ?= $(wildcard ../shared/data/page_traces)
bench-pages: $(VENV)/.dev ## replacement, reclaim by epochs, prefetch and their cost on recorded page traces: make bench-pages PAGE_TRACES=directory
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements/peers.lock || echo "libcachesim cannot be installed here: its row will be empty" >&2
	$(BIN)/python bench/pages.py --traces "$(PAGE_TRACES)" $(BENCH_ARGS)

bench-pressure: $(VENV)/.dev ## which predictor sees memory pressure coming, on a model of a kernel or on recordings (RECORDINGS=files)
	$(BIN)/python bench/pressure.py $(if $(RECORDINGS),--recordings $(RECORDINGS)) $(BENCH_ARGS)

bench-placement: $(VENV)/.dev ## what placing pods by forecast is worth: nodes, shortages, gap to the optimum, time
	$(BIN)/python bench/placement.py --traces $(TRACES) $(BENCH_ARGS)

.PHONY: bench-placement-admission
bench-placement-admission: $(VENV)/.dev ## what placing pods at admission costs the operator, with up to 5,000 kube nodes
	$(BIN)/python bench/placement_admission.py $(BENCH_ARGS)

bench-placement-scheduler: $(VENV)/.dev ## the model of kube-scheduler against kube-scheduler, on a real API server with 1,000 nodes of kwok
	kind/vm/build-binaries.sh apiserver etcd kubectl scheduler kwok
	PYTHONPATH=tests $(BIN)/python bench/placement_scheduler.py --traces $(TRACES) $(BENCH_ARGS)

bench-priors: $(VENV)/.dev ## what calibration and OOM kills of an image's other containers would be worth to a young one
	$(BIN)/python bench/priors.py --traces $(TRACES) $(BENCH_ARGS)

bench-prophet: $(VENV)/.dev ## Prophet beside auto, seasonal and VPA, on series of more than two weeks with a season
	$(BIN)/python bench/judge_prophet.py --traces $(TRACES) $(BENCH_ARGS)

bench-share: $(VENV)/.dev ## what a model learned on one kube node is worth to the same image on another, its first hour: make bench-share PAGE_TRACES=directory
	$(BIN)/python bench/share.py --traces "$(PAGE_TRACES)" $(BENCH_ARGS)

bench-steering: $(VENV)/.dev ## where slack:X and oom:X land in a fleet that steers its price
	$(BIN)/python bench/steering.py --traces $(TRACES) $(BENCH_ARGS)

bench-tried: $(VENV)/.dev ## changes that were tried and are not there: buffers begun where their class's are, raises that look further
	$(BIN)/python bench/tried.py --traces $(TRACES) $(BENCH_ARGS)

bench-usage: $(VENV)/.dev ## the columnar history and VPA's histogram at 100k containers
	$(BIN)/python bench/usage.py $(BENCH_ARGS)

.PHONY: results-stale docs-results
results-stale: $(VENV)/.dev ## name the results that are older than what they measure, with the files that changed; fails where any is
	@$(BIN)/python bench/measured.py

docs-results: $(VENV)/.dev ## copy bench/results/*.json into the docs' tables
	$(BIN)/python docs/generate.py --results

.PHONY: golden-cron
golden-cron: ## make the vectors of CronJob schedules anew with the controller's own Go library (needs Go)
	mkdir -p build
	cd tests/golden/cron && go run -buildvcs=false . "$(CURDIR)/build/starts.tsv.gz"
	mv build/starts.tsv.gz tests/golden/cron/starts.tsv.gz

.PHONY: golden-vpa
golden-vpa: ## make VPA's histogram vectors anew with its own Go package (needs Go)
	mkdir -p build
	cd tests/golden/vpa && go build -buildvcs=false -trimpath -o "$(CURDIR)/build/golden-vpa" .
	build/golden-vpa > build/vectors.bin.gz
	mv build/vectors.bin.gz tests/golden/vpa/vectors.bin.gz

.PHONY: clean
clean: ## remove what make made here (the cache in PLIMSOLL_CACHE stays)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage .coverage.* .hypothesis bench/results build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
