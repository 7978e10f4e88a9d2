/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define COUNTER_VERSION 1
#include "tests/prog/nf/counter.h"
