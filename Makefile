# Two commands on a fresh machine with Python 3.11+ and make: `make setup`, `make demo`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export MLFLOW_TRACKING_URI ?= sqlite:///mlflow.db
export MLFLOW_DISABLE_TELEMETRY = true
# mlflow looks for `python` on PATH with --env-manager local
export PATH := $(CURDIR)/$(BIN):$(PATH)
RUN := mlflow run . --env-manager local

.PHONY: setup demo team-demo try test bench lint show ui mlproject docs fuzz kills

setup: $(VENV)/.installed ## environment with the exact pins of conda.yaml

$(VENV)/.installed: conda.yaml pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is wanted, this is " + sys.version) if sys.version_info < (3, 11) else None'
	@case "$$PWD" in *%*) echo 'the path of this folder holds a %, from where MLflow cannot make its tables: give the folder another name'; exit 2;; esac
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed -n 's/^ *- \([A-Za-z0-9._-]*==[^ ]*\).*$$/\1/p' conda.yaml > $(VENV)/pins.txt
	@echo 'installing the packages of conda.yaml, torch with its CUDA libraries among them: two to three minutes, without a word'
	$(BIN)/python -m pip install --quiet --progress-bar off --no-compile -r $(VENV)/pins.txt
	@# on all cores, where pip takes one; torch has a file in the syntax of a newer Python, which counts as an error
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib > /dev/null || true
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

demo: setup ## the whole job on the built-in phantom; prints where the figures are
	$(RUN) -e demo

try: setup ## DATA=/my/folder [ENCODER=/my/encoder.pth [TRAINED_ON=imagenet]] [PIPELINES=moco@target,…] [MINUTES=60]: what is pretraining worth on your data?
	@test -n "$(DATA)" || { echo 'make try DATA=/my/folder [ENCODER=/my/encoder.pth] [PIPELINES=moco@target,...] [MINUTES=60]'; exit 2; }
	$(RUN) -e tryout -P data_root="$(DATA)" -P encoder="$(ENCODER)" -P trained_on="$(TRAINED_ON)" -P pipelines="$(PIPELINES)" -P minutes=$(or $(MINUTES),60)

team-demo: setup ## PostgreSQL and mlflow server with passwords on loopback: tried, left up until Enter; docs/how-to/team.md
	$(BIN)/python -m team

test: setup ## lint and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadfile

bench: setup ## ratios against the peers (pip install -e '.[bench]'), into benchmarks/results.json and docs/reference/performance.md
	$(BIN)/python -m benchmarks $(IDS)

fuzz: setup ## 500 damaged or hostile inputs of each format; MUTATIONS=… for more, RECORD=--record into docs/reference/reliability.md
	$(BIN)/python -m tests.reliability.fuzz --mutations $(or $(MUTATIONS),500) $(RECORD)

kills: setup ## SIGKILL at random effects of pretraining, fine-tuning, sweep and tune; KILLS=… of each
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.reliability.long.kills --kills $(or $(KILLS),20) $(RECORD)

lint: setup ## format in place, then check style and types
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

show: setup ## the committed ACDC studies: their figures made again, then the runs of one in the UI (STUDY=acdc-h200)
	-$(BIN)/python -m analysis.page.show
	$(BIN)/mlflow ui --backend-store-uri sqlite:///.sslseg/show/$(or $(STUDY),acdc-h200)/mlflow.db --host 127.0.0.1 --port $(or $(PORT),5000)

ui: setup ## the tracking UI on this machine only
	$(BIN)/mlflow ui --host 127.0.0.1 --port $(or $(PORT),5000)

mlproject: setup ## MLproject and the pages of knobs and commands, from the dataclasses in config/params/ and methods/
	$(BIN)/python -m sslseg.config.mlproject > MLproject.new && mv MLproject.new MLproject
	$(BIN)/python docs/generate.py

docs: setup ## one site with a search box, built into out/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo 'read it: $(BIN)/python -m http.server --directory out/docs --bind 127.0.0.1 8000'
