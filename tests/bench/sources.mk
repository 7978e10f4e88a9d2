# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# flowferry-bench, and the BPF programs that it compares with
bench_SRCS := $(filter-out %.bpf.c,$(wildcard tests/bench/*.c))
bench_bpf_SRCS := $(wildcard tests/bench/*.bpf.c)
# by tests/unit
bench_tested_SRCS := $(addprefix tests/bench/,bench.c figure.c planner_world.c report.c)
bench_LDLIBS := -lm
