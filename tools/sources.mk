# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
tools_SRCS := $(wildcard tools/*.c)
tools_PKGS := libbpf
