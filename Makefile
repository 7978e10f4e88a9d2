# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# All rules of flowferry. Each directory's sources.mk says what it is made of.
#
#   make            programs and NF objects, without root
#   make check      what CI runs: deps, build, unit, prog and e2e tests (root)
#   make demo       moves of live traffic, by hand and by the loop, with a verdict (root)
#   make bench      every figure of BENCHMARKS.md, on this machine (root); SUITES="move idle": those
#   make kernels    BPF objects and prog tests on Debian 12's Linux 6.1, in QEMU (root)
#   make install    programs, NF objects, systemd units, examples, completion; PREFIX=, DESTDIR=
#   make lint       clang-format, clang-tidy, shellcheck; make format mends what the first finds
#   V=1 shows commands; SAN=1 builds with ASan and UBSan in build-san/

MAKEFLAGS += --no-builtin-rules --no-builtin-variables
SHELL := /bin/bash
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all tests deps demo check unit prog e2e kernels bench install clean FORCE
.PHONY: lint lint-format lint-tidy lint-shell format

# bpftool and ip live in sbin, which an ordinary user's PATH lacks
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

B := $(if $(filter 1,$(SAN)),build-san,build)
ifneq ($(filter 1,$(V)),1)
Q := @
say = @printf '  %-6s %s\n' '$(1)' '$(2)'
endif

CC := gcc
AR := ar
CLANG := clang
CLANG_FORMAT := clang-format
CLANG_TIDY := clang-tidy
SHELLCHECK := shellcheck
BPFTOOL := bpftool
LLVM_STRIP := llvm-strip
PREFIX := /usr/local
# systemd looks there for either prefix
UNIT_DIR := $(PREFIX)/lib/systemd/system

CFLAGS := -O2 -g -fstack-protector-strong
CPPFLAGS := -D_GNU_SOURCE -I. -I$(B)
WARNINGS := -Wall -Wextra -Werror
# criterion's macros define functions without prototypes
PROTOTYPES := -Wstrict-prototypes -Wmissing-prototypes
ifeq ($(SAN),1)
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
endif
USER_CFLAGS = -std=gnu11 -pthread $(WARNINGS) $(CFLAGS) $(SANFLAGS)
BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -Wall -Werror -I. -I$(B) \
	-I/usr/include/$(shell $(CC) -print-multiarch 2>/dev/null)

all:

# What is missing is the business of scripts/deps, which has a better message than pkg-config.
pkg = $(if $(2),$(shell pkg-config $(1) $(2) 2>/dev/null))

include bpf/sources.mk lib/sources.mk agent/sources.mk orchestrator/sources.mk tools/sources.mk
include tests/sources.mk tests/bench/sources.mk

# Everything compiled waits for this once: a message that names the apt command beats a compiler's.
$(B)/deps-%.stamp: scripts/deps
	$(Q)scripts/deps --check $*
	$(Q)mkdir -p $(@D) && touch $@

# ---- BPF: objects, and skeletons of those that user space has built in -------------------------

BUILT_IN_BPF := $(bpf_SRCS) $(bench_bpf_SRCS)
BPF_OBJECTS := $(BUILT_IN_BPF:%.c=$(B)/%.o)
SKELETONS := $(BUILT_IN_BPF:%.bpf.c=$(B)/%.skel.h)
NF_OBJECTS := $(nf_SRCS:bpf/%.c=$(B)/%.o)
TEST_NF_OBJECTS := $(test_nf_SRCS:tests/prog/%.c=$(B)/tests/%.o)
TEST_NF_VERSIONS := $(test_nf_SEDS:tests/prog/%.sed=$(B)/tests/%.bpf.o)

define compile_bpf
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -MT $@ -c $< -o $@
	$(Q)$(LLVM_STRIP) -g $@
endef

$(BPF_OBJECTS): $(B)/%.o: %.c | $(B)/deps-build.stamp
	$(compile_bpf)

$(NF_OBJECTS): $(B)/%.o: bpf/%.c | $(B)/deps-build.stamp
	$(compile_bpf)

$(TEST_NF_OBJECTS): $(B)/tests/%.o: tests/prog/%.c | $(B)/deps-build.stamp
	$(compile_bpf)

# a later version of an NF: made from it, so that it follows
$(TEST_NF_VERSIONS:.o=.c): $(B)/tests/nf/%2.bpf.c: bpf/nf/%.bpf.c tests/prog/nf/%2.sed
	@mkdir -p $(@D)
	$(Q)sed -E -f tests/prog/nf/$*2.sed $< > $@

$(TEST_NF_VERSIONS): %.o: %.c | $(B)/deps-build.stamp
	$(compile_bpf)

$(SKELETONS): $(B)/%.skel.h: $(B)/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< > $@

# ---- user space: an archive for each directory, and a program where there is a main.c ----------

# $(call directory,name,archive): its objects; everything but main.c goes into the archive
define directory
$(1)_OBJS := $$($(1)_SRCS:%.c=$(B)/obj/%.o)
$(1)_CFLAGS := $$(call pkg,--cflags,$$($(1)_PKGS))
$(1)_LIBS := $$(call pkg,--libs,$$($(1)_PKGS)) $$($(1)_LDLIBS)
$$($(1)_OBJS): DIR_CFLAGS = $$($(1)_CFLAGS) $$(lib_CFLAGS) $$(PROTOTYPES)
$(B)/$(2).a: $$(filter-out %/main.o,$$($(1)_OBJS))
$(B)/$(2).list: PARTS = $$(filter-out %/main.o,$$($(1)_OBJS))
endef

$(eval $(call directory,lib,libff))
$(eval $(call directory,agent,agent))
$(eval $(call directory,orchestrator,orchestrator))
$(eval $(call directory,tools,tools))

unit_OBJS := $(unit_SRCS:%.c=$(B)/obj/%.o)
prog_OBJS := $(prog_SRCS:%.c=$(B)/obj/%.o)
kernels_OBJS := $(kernels_SRCS:%.c=$(B)/obj/%.o)
bench_OBJS := $(bench_SRCS:%.c=$(B)/obj/%.o)
bench_tested_OBJS := $(bench_tested_SRCS:%.c=$(B)/obj/%.o)
$(bench_OBJS): DIR_CFLAGS := $(agent_CFLAGS) $(tools_CFLAGS) $(lib_CFLAGS) $(PROTOTYPES)
$(B)/obj/tests/bench/machine.o: CPPFLAGS += \
	-DFF_CLANG_VERSION='"$(shell $(CLANG) --version 2>/dev/null | head -n 1)"'
$(unit_OBJS) $(prog_OBJS) $(kernels_OBJS): DIR_CFLAGS := $(agent_CFLAGS) $(orchestrator_CFLAGS) \
	$(tools_CFLAGS) $(lib_CFLAGS) $(call pkg,--cflags,$(tests_PKGS))

OBJECTS := $(lib_OBJS) $(agent_OBJS) $(orchestrator_OBJS) $(tools_OBJS) $(unit_OBJS) $(prog_OBJS) \
	$(kernels_OBJS) $(bench_OBJS)

$(OBJECTS): $(B)/obj/%.o: %.c | $(B)/deps-build.stamp
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(USER_CFLAGS) $(DIR_CFLAGS) -MMD -MP -c $< -o $@

$(unit_OBJS) $(prog_OBJS): | $(B)/deps-test.stamp

# which skeleton an object includes is only known after its first compilation
$(agent_OBJS) $(tools_OBJS) $(prog_OBJS) $(kernels_OBJS) $(bench_OBJS): | $(SKELETONS)

ARCHIVES := $(B)/agent.a $(B)/orchestrator.a $(B)/tools.a $(B)/libff.a

$(ARCHIVES): %.a: %.list
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

# changes when a source comes or goes, so that an archive never keeps what is gone
$(ARCHIVES:.a=.list): FORCE
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(PARTS)' | cmp -s - $@ || echo '$(PARTS)' > $@

FORCE:

define link
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -pthread $(CFLAGS) $(SANFLAGS) $^ -o $@ -Wl,--as-needed $(sort $(LIBS))
endef

$(B)/flowferry-agent: LIBS = $(agent_LIBS) $(lib_LIBS)
$(B)/flowferry-agent: $(B)/obj/agent/main.o $(B)/agent.a $(B)/libff.a
	$(link)

$(B)/flowferry-orchestrator: LIBS = $(orchestrator_LIBS) $(lib_LIBS)
$(B)/flowferry-orchestrator: $(B)/obj/orchestrator/main.o $(B)/orchestrator.a $(B)/libff.a
	$(link)

$(B)/flowferry: LIBS = $(tools_LIBS) $(lib_LIBS)
$(B)/flowferry: $(B)/obj/tools/main.o $(B)/tools.a $(B)/libff.a
	$(link)

$(B)/flowferry-bench: LIBS = $(agent_LIBS) $(orchestrator_LIBS) $(tools_LIBS) $(lib_LIBS) \
	$(bench_LDLIBS)
$(B)/flowferry-bench: $(bench_OBJS) $(ARCHIVES)
	$(link)

PROGRAMS := $(if $(wildcard agent/main.c),$(B)/flowferry-agent) \
	$(if $(wildcard orchestrator/main.c),$(B)/flowferry-orchestrator) \
	$(if $(wildcard tools/main.c),$(B)/flowferry) \
	$(if $(wildcard tests/bench/main.c),$(B)/flowferry-bench)

all: $(B)/libff.a $(PROGRAMS) $(BPF_OBJECTS) $(SKELETONS) $(NF_OBJECTS)

# ---- tests -------------------------------------------------------------------------------------

# linked against archives, so that a test pulls in the modules that it names and no others
TEST_LIBS = $(agent_LIBS) $(orchestrator_LIBS) $(tools_LIBS) $(lib_LIBS) $(bench_LDLIBS) \
	$(call pkg,--libs,$(tests_PKGS))

$(B)/tests/unit $(B)/tests/prog $(B)/tests/load: LIBS = $(TEST_LIBS)
$(B)/tests/unit: LIBS += $(unit_LDLIBS)
$(B)/tests/unit: $(unit_OBJS) $(bench_tested_OBJS) $(ARCHIVES)
	$(link)

$(B)/tests/prog: $(prog_OBJS) $(ARCHIVES)
	$(link)

$(B)/tests/load: $(kernels_OBJS) $(B)/libff.a
	$(link)

# where tests find what they run and load
TEST_ENV := BUILD=$(B) FF_NF_DIR=$(B)/nf FF_TEST_NF_DIR=$(B)/tests/nf
TESTS := $(if $(unit_SRCS),$(B)/tests/unit) $(if $(prog_SRCS),$(B)/tests/prog)
tests: all $(TESTS) $(TEST_NF_OBJECTS) $(TEST_NF_VERSIONS)

# test_cli runs the programs themselves
unit: $(if $(unit_SRCS),$(B)/tests/unit $(B)/flowferry $(B)/flowferry-bench)
	$(Q)$(TEST_ENV) tests/run-criterion $(B)/tests/unit

prog: all $(if $(prog_SRCS),$(B)/tests/prog) $(TEST_NF_OBJECTS)
	$(Q)$(TEST_ENV) tests/run-criterion --root $(B)/tests/prog

# some NF objects of the prog tests are bad input in the e2e tests
e2e: all $(TEST_NF_OBJECTS) $(TEST_NF_VERSIONS)
	$(Q)BUILD=$(B) tests/e2e/run $(SCENARIOS)

# not part of check: it downloads a kernel, and boots it in software emulation
kernels:
	$(Q)scripts/deps build test kernels
	$(Q)$(AS_OWNER) $(MAKE) --no-print-directory $(JOBS) tests $(B)/tests/load
	$(Q)BUILD=$(B) tests/kernels/run

# `sudo make check` leaves the build directory to the owner of the tree, who can then go on with
# plain `make`; the tests that need no root run without it.
ifneq ($(filter-out 0,$(SUDO_UID)),)
AS_OWNER := $(if $(filter $(SUDO_UID),$(shell stat -c %u .)),setpriv --reuid=$(SUDO_UID) \
	--regid=$(SUDO_GID) --init-groups)
endif
# not `:=`: MAKEFLAGS tells of -j in recipes alone
JOBS = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

# one make after the other: what `deps` installs is seen by the next one's pkg-config
check:
	$(Q)scripts/deps
	$(Q)$(AS_OWNER) $(MAKE) --no-print-directory $(JOBS) tests
	$(Q)$(AS_OWNER) $(MAKE) --no-print-directory unit
	$(Q)$(MAKE) --no-print-directory prog
	$(Q)$(MAKE) --no-print-directory e2e

demo:
	$(Q)scripts/deps
	$(Q)$(AS_OWNER) $(MAKE) --no-print-directory $(JOBS) all
	$(Q)BUILD=$(B) scripts/demo

bench:
	$(Q)scripts/deps build test bench
	$(Q)$(AS_OWNER) $(MAKE) --no-print-directory $(JOBS) all
	$(Q)$(TEST_ENV) $(B)/flowferry bench $(SUITES)

deps:
	$(Q)scripts/deps

# ---- the rest ----------------------------------------------------------------------------------

LINT_C := $(lib_SRCS) $(agent_SRCS) $(orchestrator_SRCS) $(tools_SRCS) $(unit_SRCS) $(prog_SRCS) \
	$(kernels_SRCS) $(bench_SRCS)
LINT_BPF := $(bpf_SRCS) $(bench_bpf_SRCS) $(nf_SRCS) $(test_nf_SRCS)
LINT_H := $(wildcard bpf/*.h bpf/nf/*.h lib/*.h agent/*.h orchestrator/*.h tools/*.h tests/*/*.h \
	tests/prog/nf/*.h)
# generated headers are as a system's: nothing in them is ours to mend
LINT_CFLAGS = -D_GNU_SOURCE -DFF_CLANG_VERSION=__VERSION__ -I. -isystem $(B) -std=gnu11 -Wall \
	-Wextra $(lib_CFLAGS) $(agent_CFLAGS) $(orchestrator_CFLAGS) $(tools_CFLAGS) \
	$(call pkg,--cflags,$(tests_PKGS))

lint: lint-format lint-tidy lint-shell

lint-format: | $(B)/deps-lint.stamp
	$(Q)$(CLANG_FORMAT) --dry-run -Werror $(LINT_C) $(LINT_BPF) $(LINT_H)

# A stamp for each file, newer than its object: what hasn't changed, headers included, isn't looked at
# again. All findings are shown, not those of the first file alone.
TIDY_C := $(LINT_C:%.c=$(B)/tidy/%.ok)
TIDY_BPF := $(LINT_BPF:%.c=$(B)/tidy/%.ok)
.PHONY: tidy
tidy: $(TIDY_C) $(TIDY_BPF)

lint-tidy: | $(B)/deps-lint.stamp
	$(Q)$(MAKE) --no-print-directory --keep-going $(JOBS) tidy

$(TIDY_C) $(TIDY_BPF): .clang-tidy
$(TIDY_C): $(B)/tidy/%.ok: $(B)/obj/%.o
$(filter $(B)/tidy/bpf/nf/%,$(TIDY_BPF)): $(B)/tidy/bpf/%.ok: $(B)/%.o
$(filter $(B)/tidy/tests/prog/%,$(TIDY_BPF)): $(B)/tidy/tests/prog/%.ok: $(B)/tests/%.o
$(BUILT_IN_BPF:%.c=$(B)/tidy/%.ok): $(B)/tidy/%.ok: $(B)/%.o
$(TIDY_C): TIDY_FLAGS = $(LINT_CFLAGS)
$(TIDY_BPF): TIDY_FLAGS = $(BPF_CFLAGS)

# what goes to stderr is the count of suppressed warnings
$(TIDY_C) $(TIDY_BPF): $(B)/tidy/%.ok: %.c
	$(call say,TIDY,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG_TIDY) --quiet $< -- $(TIDY_FLAGS) 2>/dev/null
	$(Q)touch $@

LINT_SH = $(wildcard scripts/*.bash tests/e2e/*.sh tests/e2e/*.bash) scripts/demo scripts/deps \
	tests/e2e/run tests/kernels/run tests/kernels/init tests/run-criterion

lint-shell: | $(B)/deps-lint.stamp
	$(Q)$(SHELLCHECK) $(LINT_SH)

format: | $(B)/deps-lint.stamp
	$(Q)$(CLANG_FORMAT) -i $(LINT_C) $(LINT_BPF) $(LINT_H)

install: all
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/flowferry/nf
	$(Q)install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	$(Q)install -m 644 $(NF_OBJECTS) $(DESTDIR)$(PREFIX)/lib/flowferry/nf
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/flowferry/policies $(DESTDIR)$(UNIT_DIR)
	$(Q)install -m 644 policies/*.yaml $(DESTDIR)$(PREFIX)/share/flowferry/policies
	$(Q)install -m 644 deploy/*.yaml $(DESTDIR)$(PREFIX)/share/flowferry
	$(Q)for unit in flowferry-agent flowferry-orchestrator; do \
		sed 's,@PREFIX@,$(PREFIX),' deploy/$$unit.service.in > \
			$(DESTDIR)$(UNIT_DIR)/$$unit.service || exit 1; \
	done
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(Q)$(B)/flowferry completion bash > \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/flowferry

clean:
	rm -rf build build-san

-include $(OBJECTS:.o=.d) $(BPF_OBJECTS:.o=.d) $(NF_OBJECTS:.o=.d) $(TEST_NF_OBJECTS:.o=.d) $(TEST_NF_VERSIONS:.o=.d)
