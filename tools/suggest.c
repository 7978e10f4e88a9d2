/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* suggest.c - which of the words that we know somebody may have meant; see suggest.h. */

#include "tools/suggest.h"

#include <string.h>

#include "lib/cleanup.h"

#define SHORT_WORD 4 /* up to here two edits can turn any word into any other */

unsigned int suggest_distance(const char *typed, const char *known)
{
	unsigned int d[SUGGEST_WORD_MAX + 1][SUGGEST_WORD_MAX + 1];
	size_t n = strlen(typed), m = strlen(known);

	if (n > SUGGEST_WORD_MAX || m > SUGGEST_WORD_MAX)
		return SUGGEST_WORD_MAX + 1;
	for (size_t i = 0; i <= n; i++)
		d[i][0] = (unsigned int)i;
	for (size_t k = 0; k <= m; k++)
		d[0][k] = (unsigned int)k;
	for (size_t i = 1; i <= n; i++) {
		for (size_t k = 1; k <= m; k++) {
			unsigned int other = typed[i - 1] != known[k - 1];
			unsigned int best = MIN(d[i - 1][k], d[i][k - 1]) + 1;

			best = MIN(best, d[i - 1][k - 1] + other);
			if (i > 1 && k > 1 && typed[i - 1] == known[k - 2] &&
			    typed[i - 2] == known[k - 1])
				best = MIN(best, d[i - 2][k - 2] + 1);
			d[i][k] = best;
		}
	}
	return d[n][m];
}

bool suggest_near(const char *typed, const char *known)
{
	size_t n = strlen(typed);

	if (n >= 2 && strncmp(typed, known, n) == 0)
		return true;
	return suggest_distance(typed, known) <= (n <= SHORT_WORD ? 1u : 2u);
}
