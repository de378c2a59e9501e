# The commands of README's first screen. STACK=… chooses the stack, YES=1 answers questions.
STACK ?= lab
# A part of `make test-rack`, by a word of the tests' names (reach, disk-loss, mirror, cycle), or of `make bench-rack`.
PART ?=
# How often `make test-control` runs each drill.
TIMES ?= 1
# The topology that `make test-rack` raises.
RACK ?= rack
export STACK

# Pulumi with this project's pinned tools; `eval "$(make -s env)"` gives a shell the same.
TOOLS = eval "$$(.venv/bin/python -m plugins.build)"
# A run that was killed leaves its lock; `lab unlock` takes it from the dead only.
PULUMI = $(TOOLS) && lab unlock && pulumi
# Pulumi's engine events of the last `up`; the flag that writes them is one for debugging.
EVENTS = .lab/stacks/$(STACK)/events.json
# The proof of a rack, in the order in which it is raised, used and destroyed.
STORY = $(addprefix tests/vm/test_,raise.py control.py use.py)
SOURCES = alpine artefacts components config equipment guest lab labmachine plugins tests __main__.py

.PHONY: up preview refresh down clean check built test test-hosts test-programs test-machines test-rack test-control test-moving bench bench-graph bench-rack bench-vagrant env setup setup-tests

up: setup ## raise the rack: tools, artefacts, lab machine, pulumi up
	@.venv/bin/lab machine up
	@install -d -m 700 .lab/stacks/$(STACK) && rm -f $(EVENTS)
	@$(PULUMI) stack select --create $(STACK) && { \
	  PULUMI_DEBUG_COMMANDS=true pulumi up --yes --skip-preview --event-log $(EVENTS); code=$$?; \
	  [ ! -e $(EVENTS) ] || lab timeline $(EVENTS); exit $$code; }

preview: setup ## what up would change; contacts no machine
	@$(TOOLS) && pulumi stack select --create $(STACK) && pulumi preview --diff

refresh: setup ## compare the state with the machines
	@$(PULUMI) stack select $(STACK) && pulumi refresh --yes --clear-pending-creates

down: setup ## destroy the stack and stop the lab machine
	@$(PULUMI) stack select --create $(STACK) && pulumi destroy --yes --skip-preview
	@.venv/bin/lab machine down

clean: ## remove artefacts, the lab machine and every stack's files
	@[ ! -x .venv/bin/lab ] || .venv/bin/lab machine down
	rm -rf .cache .lab .venv

check: setup-tests ## the quick checks, under a minute
	.venv/bin/ruff check $(SOURCES)
	.venv/bin/ruff format --check $(SOURCES)
	.venv/bin/mypy $(SOURCES)
	.venv/bin/pytest -m "not vm and not rack and not control and not moving and not hosts" --ignore=tests/plugins --ignore=tests/controlplane

built: setup # what takes long to build: before the tests, whose time limits are for hangs
	@.venv/bin/lab build

# the stacks whose images `built` builds for them
test: STACK = mini
test-control: STACK = quorum
test-moving: STACK = moving

test: check built ## the proof, real machines included
	$(MAKE) --jobs=2 test-programs test-machines # an emulated machine uses one core
	.venv/bin/pytest $(STORY) -m "rack and not long" -s --durations=0
	.venv/bin/lab machine down

test-programs:
	.venv/bin/pytest tests/plugins tests/controlplane --durations=5

test-machines:
	.venv/bin/pytest -m vm -s --durations=0

bench: setup ## raise the rack anew: its timeline, then what each idle machine costs
	@$(PULUMI) stack select --create $(STACK) && pulumi destroy --yes --skip-preview
	@$(MAKE) up
	@.venv/bin/lab idle --seconds 60

bench-graph: setup ## first previews of racks of 8 to 1000 servers, without machines
	@.venv/bin/python tests/bench/bench_graph.py

bench-rack: setup ## what a raised rack costs and bears; PART=memory, throughput, pauses or boots
	@.venv/bin/python tests/bench/bench_rack.py $(PART)

bench-vagrant: ## the eight servers raised by Pulumi and by vagrant-libvirt, side by side
	@$(MAKE) up STACK=servers
	@STACK=servers .venv/bin/python tests/bench/bench_vagrant.py

test-rack: built ## the whole rack, or RACK=mini; PART=cold-start or the like: what has that in its name alone
	.venv/bin/pytest $(STORY) -m rack --rack=$(RACK) -k "$(subst -,_,$(PART))" -s --durations=0
	.venv/bin/lab machine down

test-control: built ## the control plane's drills on rack quorum, TIMES each; PART= as above
	.venv/bin/pytest tests/controlplane tests/vm -m control --rack=quorum --times=$(TIMES) -k "$(subst -,_,$(PART))" -s --durations=0
	.venv/bin/lab machine down

test-moving: built ## the same for the boot server that moves, on rack moving
	.venv/bin/pytest tests/vm -m moving --rack=moving --times=$(TIMES) -k "$(subst -,_,$(PART))" -s --durations=0
	.venv/bin/lab machine down

test-hosts: built ## set-up on bare Debian 12 and 13, as root and as an ordinary user; needs root, raises no machine
	.venv/bin/pytest tests/hosts -m hosts -s --durations=0

env: setup
	@.venv/bin/python -m plugins.build

setup:
	@./setup.sh

setup-tests:
	@./setup.sh tests
