# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The monitor with other code over the same state: one that is upgraded in place.
s/^(#define MON_IDLE_S +)300 /\1299 /
