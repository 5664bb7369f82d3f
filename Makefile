# make reproduce   the whole chain on the embedded data set, from nothing to a report
# make quick       every module's main path; the aim: 90 seconds on two cores
# make test        lint, then the tests that are not marked slow; the aim: 6 minutes on two cores
# make types       mypy on model, data, training and evaluation (a minute; then seconds)
# make lab         JupyterLab at the project's root; as root, too, as in containers
# make demo        a page to try the network of the last `make reproduce`
# make docs        the pages of docs/, the API and the executed notebooks as a site: build/docs/index.html
# make bench       speed and memory beside the original's way of computing, as one table (10 minutes)
# make speedrun    the shortest training of the demo to a given score: benchmarks/speedrun.md
# make bench-more  ... how they grow; the modes of training, processes, preparing, export; a GPU's
# Each makes .venv and installs into it when needed. Python 3.11 or newer; nothing else.

PYTHON ?= python3
RUN ?= demo
DATA ?=
FORCE ?=
ARGS ?=
# of the tests, this many at a time, each on one core; 0: in one process, as a debugger wants them
JOBS ?= 2
BIN := .venv/bin
READY := .venv/.installed

.PHONY: reproduce quick test lint types docs lab demo speedrun bench bench-more setup clean

reproduce: $(READY)
	$(BIN)/dghin reproduce 'run=$(RUN)' $(if $(DATA),'data=$(DATA)') $(ARGS) $(if $(FORCE),--force)

# the tests of a list, in its order: tests/quick.txt
quick: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS) @tests/quick.txt

test: $(READY) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/nbstripout --verify notebooks/*.ipynb

types: $(READY)
	$(BIN)/mypy

# warnings are errors; links to the outside: make docs ARGS="-b linkcheck"
docs: $(READY)
	RUN='$(RUN)' $(BIN)/sphinx-build -q -W --keep-going -c docs . build/docs $(ARGS)

lab: $(READY)
	$(BIN)/jupyter lab --ServerApp.root_dir='$(CURDIR)' $(if $(filter 0,$(shell id -u)),--allow-root)

demo: $(READY)
	$(BIN)/dghin demo 'run=$(RUN)' $(if $(DATA),'data=$(DATA)') $(ARGS)

speedrun: $(READY)
	$(BIN)/python benchmarks/speedrun.py $(ARGS)

bench: $(READY)
	$(BIN)/python benchmarks/speed.py $(ARGS)

bench-more: $(READY)
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/modes.py
	$(BIN)/python benchmarks/processes.py
	$(BIN)/python benchmarks/preparing.py
	$(BIN)/python benchmarks/intervals.py
	$(BIN)/python benchmarks/muon.py
	$(BIN)/python benchmarks/exported.py
	$(BIN)/python benchmarks/gpu.py

setup: $(READY)

# torch first: torchvision (which timm imports) is then installed beside it, not the other way
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	    { echo "error: $(PYTHON) is older than Python 3.11. Name a newer one: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt torch
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[all,score,embedded,tensorboard,export,demo,test,docs]'
	touch $@

clean:
	rm -rf .venv data/shapes reports/demo
