# SPDX-License-Identifier: GPL-2.0
# The verbs for people; Kbuild says what is built. Each sets up what it needs.
#
#   make          the module for Debian's stock kernel, into build/stock/
#                 (KDIR=... builds natively for another Rust-enabled kernel, into build/kdir/;
#                 KERNEL=VERSION takes another one of Debian's, KSRC= another source of it)
#   make demo     a NIC is pulled, in QEMU, on Debian's own kernel; PART=hold: what holding
#                 one does to the hub that it was in; PART=devd: the same, with a driver that submits
#   make check    all tests, on Debian's kernel, the debug and the lockdep kernel (FULL=1: every count as
#                 the issues name it, resumable; ISSUE=N only those of one issue)
#   make debug lockdep   the module for that kernel, into build/debug/, build/lockdep/
#   make bench    what it costs, in instructions, and what it may; build/bench.json
#   make storm    how long removing 16 to 1,000 interfaces takes (STORM="256" only that many,
#                 STORM="--rounds 3 16 64" fewer rounds)
#   make mutants  changes of the order-critical core that the model must notice; resumable
#   make shell    a shell in the VM with the module at hand
#   make lint doc clean

MAKEFLAGS += --no-print-directory
STOCK = $$(scripts/kernel stock)
ENTER = k=$(STOCK) && export IFREF_KERNEL="$$k" && scripts/enter --kernel "$$k" --
ENTER_ALL = k=$(STOCK) && d=$$(scripts/kernel debug) && l=$$(scripts/kernel lockdep) && \
	export IFREF_KERNEL="$$k" IFREF_DEBUG="$$d" IFREF_LOCKDEP="$$l" && \
	scripts/enter --kernel "$$k" --kernel "$$d" --kernel "$$l" --

all:
ifdef KDIR
	@scripts/build "$(KDIR)" build/kdir
else
	@$(ENTER) scripts/build "$$k/out" build/stock
endif

debug lockdep:
	@k=$$(scripts/kernel $@) && scripts/enter --kernel "$$k" -- scripts/build "$$k/out" build/$@

demo: all
	@$(ENTER) python3 scripts/demo $(PART)

check: all debug lockdep
	@$(ENTER_ALL) scripts/check

bench: all
	@$(ENTER) scripts/bench

storm: all
	@$(ENTER) scripts/storm $(STORM)

mutants:
	@scripts/enter -- scripts/mutants

shell: all
	@scripts/vm --shell

lint: all
	@$(ENTER) scripts/lint "$$k"

doc: all
	@$(ENTER) scripts/doc "$$k"

clean:
	@rm -rf build

.PHONY: all debug lockdep demo check bench storm mutants shell lint doc clean
