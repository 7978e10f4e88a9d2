# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
agent_SRCS := $(wildcard agent/*.c)
agent_PKGS := libbpf libelf libsystemd
