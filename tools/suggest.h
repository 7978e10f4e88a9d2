/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* suggest.h - which of the words that we know somebody may have meant. */
#pragma once

#include <stdbool.h>

#define SUGGEST_WORD_MAX 31 /* longer words than any verb or option are never near one */

/*
 * Edits between two words: a letter more, less, another, or two neighbours exchanged (optimal
 * string alignment). SUGGEST_WORD_MAX + 1 if one of them is too long to be compared.
 */
unsigned int suggest_distance(const char *typed, const char *known);

/* Near enough to ask: one edit in a short word, two in a longer one, or its beginning. */
bool suggest_near(const char *typed, const char *known);
