/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* version.h - what all programs of one build call themselves (https://semver.org). */
#pragma once

#define FF_VERSION "0.1.0"
