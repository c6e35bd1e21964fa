# Everything here works from a fresh clone: the virtual environment is made, and what it lacks is installed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test test-all test-unit lint bench faults matrix schema docs lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       set up a GPU server of real parts on this machine and deploy to it (needs root or sudo)"
	@echo "make test       every kind of test, on the same real parts (needs root or sudo)"
	@echo "make test-all   the same with further cases of each kind"
	@echo "make test-unit  the tests that need nothing but Python"
	@echo "make bench      our times over those of docker and ssh themselves; writes BENCHMARKS.md"
	@echo "make faults     whatever may go wrong on a server, in parts; goes on where it stopped; writes docs/reliability.md"
	@echo "make matrix     the docker, RabbitMQ, OpenSSH and Python of other Debians; goes on where it stopped; writes docs/compatibility.md"
	@echo "make docs       what is made from the code: docs/hosts-yaml.md, docs/json.md, the rooms in docs/architecture.md, the journal in docs/how-a-run-works.md"
	@echo "make lock       requirements*.lock from requirements*.txt: all packages with their hashes, which is what is installed"
	@echo "make lint       style, types, what the server's half may use, and which room may import which"

demo: .venv/runs
	@$(BIN)/python -m sandbox.demo

TEST := $(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

test: .venv/ready
	@$(TEST) --kinds

test-all: .venv/ready
	@$(TEST)

test-unit: .venv/ready
	@$(BIN)/python -m pytest tests/unit

lint: .venv/ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/vermin --quiet --no-tips --eval-annotations --target=3.8- --violations $(addprefix gpu_runbook/,server protocol common)
	@$(BIN)/python -m tests.rooms

bench: .venv/ready
	@$(BIN)/python -m bench

faults: .venv/ready
	@$(BIN)/python -m tests.faults --all --replace

matrix: .venv/ready
	@$(BIN)/python -m tests.matrix --all

schema: .venv/ready
	@$(BIN)/python -m gpu_runbook.laptop.inventory.schema > hosts.schema.json

docs: .venv/ready
	@$(BIN)/python -m docs.generate

lock:
	@sh sandbox/lock.sh $(PYTHON)

# To run it needs less than to check it.
.venv/runs: requirements.lock
	@sh sandbox/venv.sh $(PYTHON) requirements.lock
	@touch $@

.venv/ready: requirements-dev.lock
	@sh sandbox/venv.sh $(PYTHON) requirements-dev.lock
	@touch $@ .venv/runs

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
