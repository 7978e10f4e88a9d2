# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Those in bpf/ get a skeleton; an NF is loaded at run time and has none.
bpf_SRCS := $(wildcard bpf/*.bpf.c)
nf_SRCS := $(wildcard bpf/nf/*.bpf.c)
