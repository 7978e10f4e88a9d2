/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/silence.h"

void silence_ask(struct silence *s, uint64_t now_ns, uint64_t sent)
{
	unsigned int place = s->next++ % SILENCE_ASKED;

	s->asked[place].ns = now_ns;
	s->asked[place].sent = sent;
	if (!s->answered_ns && !s->owed_ns)
		s->answered_sent = sent; /* before that nobody asked */
	if (!s->owed_ns)
		s->owed_ns = now_ns;
}

/* An answer to none of our questions is an earlier agent's, or somebody's invention. */
static void answer_note(struct silence *s, uint64_t heard_ns)
{
	uint64_t owed_ns = 0;
	bool ours = false;

	for (unsigned int i = 0; i < SILENCE_ASKED; i++) {
		uint64_t ns = s->asked[i].ns;

		if (ns == heard_ns) {
			ours = true;
			s->answered_sent = s->asked[i].sent;
		} else if (ns > heard_ns && (!owed_ns || ns < owed_ns)) {
			owed_ns = ns;
		}
	}
	if (!ours)
		return;
	s->answered_ns = heard_ns;
	s->owed_ns = owed_ns;
}

bool silence_judge(struct silence *s, uint64_t now_ns, uint64_t heard_ns, uint64_t after_ns)
{
	bool was = s->silent;

	if (heard_ns > s->answered_ns)
		answer_note(s, heard_ns);
	s->silent = s->owed_ns && now_ns - s->owed_ns >= after_ns;
	return s->silent != was;
}

uint64_t silence_owed(const struct silence *s, uint64_t now_ns, uint64_t heard_ns)
{
	uint64_t newest_ns = s->asked[(s->next - 1) % SILENCE_ASKED].ns;

	return s->owed_ns && heard_ns < newest_ns && s->owed_ns < now_ns ? now_ns - s->owed_ns : 0;
}

uint64_t silence_unheard(const struct silence *s, uint64_t sent)
{
	return sent - s->answered_sent;
}
