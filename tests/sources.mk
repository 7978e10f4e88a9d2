# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# unit needs no privileges; prog loads BPF programs; e2e/*.sh are found by e2e/run.
unit_SRCS := $(wildcard tests/unit/*.c)
prog_SRCS := $(wildcard tests/prog/*.c)
# NF objects that the prog tests load: good ones, and bad ones that must be refused
test_nf_SRCS := $(wildcard tests/prog/nf/*.bpf.c)
test_nf_SEDS := $(wildcard tests/prog/nf/*.sed)
# `make kernels`: loads everything on another kernel
kernels_SRCS := tests/kernels/load.c
tests_PKGS := criterion
# the exact solver that the planner is measured against; it has no pkg-config file
unit_LDLIBS := -lglpk -lm
