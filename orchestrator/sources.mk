# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
orchestrator_SRCS := $(wildcard orchestrator/*.c)
orchestrator_PKGS := sqlite3 libsystemd
orchestrator_LDLIBS := -lm
