# The commands of README's first screen. STACK=… chooses the stack, YES=1 answers questions.
STACK ?= lab
# A part of `make test` or `make test-rack`, by a word of the tests' names (reach, disk-loss, mirror, cycle), or of `make bench-rack`.
PART ?=
# Which step `make test-kill` kills Pulumi at; all, one after the other, where it is empty.
KILL ?=
# How often `make test-control` runs each drill.
TIMES ?= 1
# The topology that `make test-rack` raises.
RACK ?= rack
# Not empty: `make up` raises the rack, whatever is kept of it (lab:keep).
FRESH ?=
# Which topologies `make test-fuzz` makes; the first seed of `make soak`, and how many it has.
SEED ?= 1
SEEDS ?= 50
export STACK

# The stack is named to each process: nothing depends on a stack that is selected.
LAB = .venv/bin/lab --stack "$$STACK"
PULUMI = .venv/bin/pulumi
# Of `make test-kill` what `make test` has the time for: one kill, with each commit another.
A_KILL = 'kill.py::test_an_up_that_was_killed_is_finished_by_the_next[volumes]'
# The proof of a rack, in the order in which it is raised, used and destroyed.
STORY = $(addprefix tests/vm/test_,raise.py reach.py control.py ways_back.py $(A_KILL) use.py)
KILLS_SEED = $(shell git rev-list --count HEAD 2>/dev/null || echo 1)
SOURCES = alpine artefacts components config equipment guest lab labmachine plugins tests __main__.py

.PHONY: up preview refresh down clean check check-source check-go check-units built test test-hosts test-parts test-programs test-machines test-small-rack test-rack test-control test-moving test-kill soak test-two-racks test-host test-mirror test-intel test-raft test-fuzz topology-docs locks bench bench-graph bench-rack bench-takeover bench-first-run bench-vagrant setup setup-tests

up: setup ## raise the rack: tools, artefacts, lab machine, pulumi up
	@$(LAB) build
	@[ -z "$(FRESH)" ] || $(LAB) snapshot forget
	@$(LAB) machine up --unless-kept
	@$(PULUMI) up --stack "$$STACK" --yes --skip-preview

preview: setup ## what up would change; contacts no machine
	@$(PULUMI) preview --stack "$$STACK" --diff

refresh: setup ## compare the state with the machines
	@$(PULUMI) refresh --stack "$$STACK" --yes

down: setup ## destroy the stack; stop the lab machine if no other is raised on it
	@$(PULUMI) destroy --stack "$$STACK" --yes --skip-preview
	@$(LAB) machine down --unless-used

clean: ## remove the lab machine, every stack's files and .venv; not while a rack would stay
	@[ ! -x .venv/bin/lab ] || { $(LAB) removable && $(LAB) machine down; }
	rm -rf .lab .venv .setup.lock

check: setup-tests ## the quick checks, under a minute
	$(MAKE) --jobs=2 --output-sync=target check-source check-go check-units

check-source: ## linters and types
	.venv/bin/ruff check $(SOURCES)
	.venv/bin/ruff format --check $(SOURCES)
	.venv/bin/mypy $(SOURCES)

check-go: ## the same for the Go program; staticcheck is compiled the first time
	@.venv/bin/python tests/golint/check.py

# With a cache that can't be: a test that built something would fail on each machine.
check-units: ## tests that build nothing and start no machine
	LAB_CACHE=/dev/null/none .venv/bin/pytest -m "not vm" $(addprefix --ignore=tests/,controlplane hosts intel mirror plugins raft vm)

built: setup # what takes long to build: before the tests, whose time limits are for hangs
	@$(LAB) build

# the stacks whose images `built` builds for them
test: STACK = mini
test-two-racks test-kill test-host test-mirror test-intel soak: STACK = mini
test-control: STACK = quorum
test-moving: STACK = moving

ifdef PART
test: built ## the proof, real machines included; PART=disk-loss: the small rack's tests with that in their name
	.venv/bin/pytest $(STORY) -m rack -k "$(subst -,_,$(PART))" -s --durations=0
else
test: check built
	$(MAKE) --jobs=2 test-parts test-small-rack # an emulated machine uses one core of two
endif

test-parts:
	$(MAKE) test-programs
	$(MAKE) test-machines

test-programs: ## the plug-ins' and the control plane's own tests
	.venv/bin/pytest tests/plugins tests/mirror tests/controlplane -m "not vm" --durations=5

test-machines: ## Alpine's boot and the lab machine, each on a machine of its own
	.venv/bin/pytest tests/alpine tests/labmachine -m vm -s --durations=0

test-small-rack: ## switches and volumes, then the small rack, but for its long tests, on this project's lab machine
	.venv/bin/pytest tests/vm/test_networks_and_volumes.py -m vm -s --durations=0
	.venv/bin/pytest $(STORY) -m "rack and not long or kill" --kills=1 --kills-seed=$(KILLS_SEED) -s --durations=0
	.venv/bin/lab machine down

topology-docs: setup ## docs/topology.md and the JSON schema, anew from the descriptions
	@.venv/bin/python -m config.reference

locks: setup ## versions and checksums of Debian's packages and Pulumi's releases, anew from their archives
	@for each in alpine.debian labmachine.emulator labmachine.image plugins.released; do .venv/bin/python -m $$each; done

test-fuzz: setup ## 30,000 topologies changed by chance; SEED= for others
	.venv/bin/pytest tests/config/test_fuzz.py --fuzz-cases=30000 --fuzz-seed=$(SEED) --timeout=7200

bench: setup ## raise the rack anew: its timeline, then what each idle machine costs
	@$(PULUMI) destroy --stack "$$STACK" --yes --skip-preview
	@$(MAKE) up
	@$(LAB) idle --seconds 60

bench-graph: setup ## first previews of racks of 8 to 1000 servers, without machines
	@.venv/bin/python tests/bench/bench_graph.py

bench-rack: setup ## what a raised rack costs and bears; PART=memory, throughput, pauses or boots
	@.venv/bin/python tests/bench/bench_rack.py $(PART)

bench-takeover: setup ## how soon another server serves, by the timing of profile kvm; on loopback, no machine
	@.venv/bin/python tests/bench/bench_takeover.py

bench-first-run: setup-tests ## what a first run builds: offline, and with a mirror's packages and kernel; no machine
	@PYTHONPATH=tests/helpers:tests/mirror .venv/bin/python tests/bench/bench_first_run.py

bench-vagrant: ## the eight servers raised by Pulumi and by vagrant-libvirt, side by side
	@$(MAKE) up STACK=servers
	@STACK=servers .venv/bin/python tests/bench/bench_vagrant.py

test-rack: built ## all tests of the whole rack, or RACK=mini; PART=cold-start or the like: what has that in its name alone
	.venv/bin/pytest $(STORY) -m rack --rack=$(RACK) -k "$(subst -,_,$(PART))" -s --durations=0
	.venv/bin/lab machine down

test-control: built ## the control plane's drills on rack quorum, TIMES each; PART= as above
	.venv/bin/pytest tests/controlplane tests/vm -m control --rack=quorum --times=$(TIMES) -k "$(subst -,_,$(PART))" -s --durations=0
	.venv/bin/lab machine down

test-moving: built ## the same for the boot server that moves, on rack moving
	.venv/bin/pytest tests/vm -m moving --rack=moving --times=$(TIMES) -k "$(subst -,_,$(PART))" -s --durations=0
	.venv/bin/lab machine down

test-kill: built ## Pulumi is killed at each step of an up and of a destroy; PART=up or destroy, KILL=7 or 7-40: at these steps
	.venv/bin/pytest tests/vm/test_kill.py -m kill $(if $(KILL),--kill=$(KILL)) -k "$(PART)" -s --durations=0
	.venv/bin/lab machine down

soak: built ## random faults of every kind on the small rack, SEEDS seeds from SEED on, five faults each
	.venv/bin/pytest tests/vm/test_soak.py -m soak --seed=$(SEED) --seeds=$(SEEDS) -s --durations=0
	.venv/bin/lab machine down

test-two-racks: built ## bad lines, two firewalls, a second rack beside it, racks without a state
	.venv/bin/pytest tests/vm/test_two_racks.py -m two_racks -s --durations=0
	.venv/bin/lab machine down --unless-used

test-hosts: built ## set-up on bare Debian 12 and 13, as root and as an ordinary user; needs root, raises no machine
	.venv/bin/pytest tests/hosts -m hosts -s --durations=0

test-host: built ## a real lab machine: a plain Debian 12, emulated, is prepared, raises the small rack, is given back; Debian 13 is prepared; needs root
	.venv/bin/pytest tests/vm/test_host.py tests/vm/test_other_host.py tests/vm/test_host_local.py tests/vm/test_host_kvm.py -m host -s -x --durations=0

test-mirror: built ## Alpine's packages from a mirror: locked, fetched, images, the small rack; URL= of a real one, KEYS= folder
	.venv/bin/pytest tests/mirror tests/vm/test_mirror_rack.py $(if $(URL),--mirror=$(URL)) $(if $(KEYS),--mirror-keys=$(KEYS)) -s --durations=0
	.venv/bin/lab machine down

test-raft: setup-tests ## raft's own tests on the patched raft that consul is built with
	.venv/bin/pytest tests/raft -s --durations=0

test-intel: built ## an emulated Intel machine: lab machine, node and guest inside one another on its VMX; raises no rack
	.venv/bin/pytest tests/intel -m intel -s --durations=0

setup:
	@./setup.sh

setup-tests:
	@./setup.sh tests
