/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* foreign.h - a pinned map as another version of the agent would have left it: alike but for a struct. */
#pragma once

/* Pins, instead of the map at @path, one of its size and content in which struct @name has other fields. */
void foreign_pin(const char *path, const char *name);
