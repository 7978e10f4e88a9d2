/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cli_verbs.c - see cli_fixture.h: what holds of every verb. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/cli_fixture.h"

void cli_verbs_show(const struct cli_verb *verbs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct cli_run *run;

		cli.polls = 0;
		cli.method[0] = cli.path[0] = '\0';
		run = cli_run("%s", verbs[i].args);
		assert_status(run, 0);
		assert_has(run->out, verbs[i].shows);
		cr_assert_eq(strchr(run->out, '\033'), NULL, "colours without a terminal");
		if (verbs[i].path)
			cr_assert_str_eq(cli.path, verbs[i].path);
		cr_assert_str_eq(cli.method, verbs[i].method);
	}
}

void cli_verbs_json(const struct cli_verb *verbs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct cli_run *run;

		cli.polls = 0;
		run = cli_run("%s -o json", verbs[i].args);
		assert_status(run, 0);
		cr_assert(json_is_object(cli_json(run)), "%s", verbs[i].args);
		cr_assert_str_empty(run->err);
	}
}
