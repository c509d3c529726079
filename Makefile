# The two commands of the README are `make run` and `make test`; `make check` is what every commit passes.
VENV    ?= .venv
PY      := $(VENV)/bin/python
STAMP   := $(VENV)/.installed
KEEP    ?= 0
export DEBIAN_FRONTEND := noninteractive
# Some images set it; a daemon that compiles all its modules at each start takes twice as long to.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test check unit kernel kernels pictures bench soak fuzz deb deb-test deps clean

run: deps $(STAMP)
	$(VENV)/bin/enforcer lab $(if $(filter 1,$(KEEP)),--keep)

test: deps $(STAMP) check kernel

# How many times the usual number of random examples the dear tests draw: make unit EXAMPLES=10
EXAMPLES ?= 1
export ENFORCER_EXAMPLES = $(EXAMPLES)

# Fast and pure: style, types, unit tests. No root, no network.
check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/pytest -m "not kernel" -n 2

unit: $(STAMP)
	$(VENV)/bin/pytest -m "not kernel" -n 2

# The real kernel, in namespaces that the tests make and delete: three files at a time, for most of
# them wait for something; then two at a time those that hold something to its instant; then one
# after another those that want the processors (docs/decisions/0034).
kernel: deps $(STAMP)
	$(VENV)/bin/pytest -m "kernel and not (punctual or alone)" -n 3 --dist loadfile
	$(VENV)/bin/pytest -m "kernel and punctual" -n 2
	$(VENV)/bin/pytest -m "kernel and alone"

# The same on Debian 12's own kernel, and clock steps: in a virtual machine, emulated, hours. KERNELS
# names files, or `rest`: what the record (tests/vm/results) has not as green.
kernels: deps $(STAMP)
	tests/vm/run $(KERNELS)

# The pictures of the documentation, taken by the tests of the page and of a whole night.
pictures: deps $(STAMP)
	ENFORCER_PICTURES=docs/pictures $(VENV)/bin/pytest tests/kernel/test_page_browser.py \
		tests/kernel/test_night.py

bench: deps $(STAMP)
	$(PY) -m benchmarks

# Thousands of faults under numbered packets, about half an hour: every lost one is counted.
# SOAK gives options, for example: make soak SOAK="--seed 7 --kills 100"
soak: deps $(STAMP)
	$(PY) -m soak $(SOAK)

# Coverage-guided fuzzing, FUZZ_SECONDS for each target. FUZZ names targets: make fuzz FUZZ="registry ics"
FUZZ_SECONDS ?= 60
fuzz: $(STAMP)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[fuzz]"
	$(PY) -m fuzz --seconds $(FUZZ_SECONDS) $(FUZZ)

# The Debian package, in dist/, for the release of Debian that it is built on.
deb:
	packaging/deb/build

# Installed, used, upgraded, removed and purged in a clean root made by debootstrap; some minutes.
deb-test: deb
	packaging/deb/try

deps:
	@.ci/debian-packages

# --no-compile: Python compiles what is imported when it is, and most of this never is.
$(STAMP): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt \
		-e ".[packets,dev]"
	@touch $(STAMP)

clean:
	rm -rf $(VENV) .vm .deb build dist *.egg-info
