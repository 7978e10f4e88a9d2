/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* detect.c - see detect.h. */
#include "orchestrator/detect.h"

#include <stdio.h>

#include "lib/cleanup.h"
#include "lib/clock.h"

#define GAP_LEAST_MS 300 /* between two steps: longer, and we were stopped */

const char *detect_verdict_name(enum detect_verdict verdict)
{
	static const char *const names[] = {
		[DETECT_UNKNOWN] = "unknown", [DETECT_ALIVE] = "alive",
		[DETECT_SUSPECT] = "suspect", [DETECT_DEAF] = "deaf",
		[DETECT_DEAD] = "dead",
	};

	return verdict < ARRAY_SIZE(names) ? names[verdict] : "?";
}

static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

static uint64_t failure_ns(const struct detect_facts *facts)
{
	return facts->failure_ms * NSEC_PER_MSEC;
}

static bool agent_is_silent(const struct detect_facts *facts, const struct detect_host *host)
{
	return !host->open || since(facts->now_ns, host->heard_ns) > failure_ns(facts);
}

/* ---- witnesses ------------------------------------------------------------------------------- */

static bool hears(const struct detect_facts *facts, const struct detect_host *witness,
		  uint16_t host)
{
	const struct detect_peer *peer = &witness->peers[host];

	return peer->told_ns && !peer->silent && peer->silent_ns < failure_ns(facts);
}

/* Whether what it tells is fresh, and it hears anybody, if there is more than one to be heard. */
static bool is_witness(const struct detector *detector, const struct detect_facts *facts,
		       const struct detect_host *witness)
{
	size_t told = 0, heard = 0;

	if (!witness->open || !witness->heard_ns ||
	    since(facts->now_ns, witness->heard_ns) >
		    failure_ns(facts) + DETECT_PERIOD_MS * NSEC_PER_MSEC)
		return false;
	for (size_t i = 0; i < facts->hosts_n; i++) {
		uint16_t id = facts->hosts[i].id;

		heard += hears(facts, witness, id);
		/* one that is dead anyhow tells nothing about the witness */
		told += witness->peers[id].told_ns && detector->verdicts[id] != DETECT_DEAD;
	}
	return told <= 1 || heard > 0;
}

/* What the witnesses say of one host. */
struct hearsay {
	unsigned int hear, silent;
	uint64_t silent_ns; /* the least that one of them says */
	const char *name;   /* of one that says what counts */
};

static struct hearsay hearsay_of(const struct detector *detector, const struct detect_facts *facts,
				 const struct detect_host *host)
{
	struct hearsay say = { .silent_ns = UINT64_MAX };

	for (size_t i = 0; i < facts->hosts_n; i++) {
		const struct detect_host *witness = &facts->hosts[i];
		const struct detect_peer *peer = &witness->peers[host->id];

		if (witness == host || !peer->told_ns || !is_witness(detector, facts, witness))
			continue;
		if (hears(facts, witness, host->id)) {
			say.hear++;
			say.name = witness->name;
			continue;
		}
		say.silent++;
		if (!say.hear)
			say.name = witness->name;
		if (peer->silent_ns != UINT64_MAX)
			say.silent_ns = MIN(say.silent_ns,
					    peer->silent_ns + since(facts->now_ns, peer->told_ns));
	}
	return say;
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static enum detect_verdict judge_silent(const struct detect_facts *facts,
					const struct detect_host *host, const struct hearsay *say,
					struct detect_change *change)
{
	uint64_t silent_ns = since(facts->now_ns, host->heard_ns);

	if (say->hear) {
		snprintf(change->why, sizeof(change->why),
			 "its agent is silent, but %s hears its data path", say->name);
		return DETECT_SUSPECT;
	}
	if (!say->silent) {
		snprintf(change->why, sizeof(change->why),
			 "its agent is silent, and no other host can tell of its data path");
		return DETECT_DEAF;
	}
	if (host->heard_ns && say->silent_ns != UINT64_MAX)
		silent_ns = MIN(silent_ns, say->silent_ns);
	change->silent_ms = silent_ns / NSEC_PER_MSEC;
	snprintf(change->why, sizeof(change->why),
		 "its agent is silent, and %s hears its data path no more", say->name);
	return DETECT_DEAD;
}

static enum detect_verdict judge_talking(const struct detect_facts *facts,
					 const struct detect_host *host, const struct hearsay *say,
					 struct detect_change *change)
{
	uint64_t bound_ns = failure_ns(facts) * (host->cut ? 1 : DETECT_CUT_TIMES);

	/* one that was never heard has no heartbeats yet: its agent has just begun */
	if (say->hear || !say->silent || say->silent_ns == UINT64_MAX || say->silent_ns < bound_ns)
		return DETECT_ALIVE;
	change->silent_ms = say->silent_ns / NSEC_PER_MSEC;
	snprintf(change->why, sizeof(change->why),
		 "its agent talks%s, but %s hears its data path no more",
		 host->cut ? " of a fabric link that is down" : "", say->name);
	return DETECT_DEAD;
}

static enum detect_verdict judge(const struct detector *detector, const struct detect_facts *facts,
				 const struct detect_host *host, struct detect_change *change)
{
	struct hearsay say = hearsay_of(detector, facts, host);

	if (!host->heard_ns &&
	    since(facts->now_ns, detector->started_ns) < DETECT_START_MS * NSEC_PER_MSEC)
		return DETECT_UNKNOWN;
	return agent_is_silent(facts, host) ? judge_silent(facts, host, &say, change) :
					      judge_talking(facts, host, &say, change);
}

const struct detect_host *detect_unheard_by(const struct detector *detector,
					    const struct detect_facts *facts,
					    const struct detect_host *host)
{
	struct hearsay say = hearsay_of(detector, facts, host);

	if (!say.hear) /* then it's the host */
		return NULL;
	for (size_t i = 0; i < facts->hosts_n; i++) {
		const struct detect_host *witness = &facts->hosts[i];
		const struct detect_peer *peer = &witness->peers[host->id];

		/* one that it never heard may just have begun */
		if (witness != host && witness->steers && peer->told_ns &&
		    peer->silent_ns != UINT64_MAX && !hears(facts, witness, host->id) &&
		    is_witness(detector, facts, witness))
			return witness;
	}
	return NULL;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void clock_note(struct detector *detector, const struct detect_facts *facts)
{
	uint64_t gap_ns = MAX(2 * failure_ns(facts), GAP_LEAST_MS * NSEC_PER_MSEC);

	if (!detector->started_ns)
		detector->started_ns = detector->resumed_ns = facts->now_ns;
	else if (since(facts->now_ns, detector->stepped_ns) > gap_ns)
		detector->resumed_ns = facts->now_ns;
	detector->stepped_ns = facts->now_ns;
}

size_t detect_step(struct detector *detector, const struct detect_facts *facts,
		   struct detect_change ret_changes[FF_HOSTS_MAX])
{
	bool settled;
	size_t n = 0;

	clock_note(detector, facts);
	if (!facts->failure_ms)
		return 0;
	settled = since(facts->now_ns, detector->resumed_ns) > failure_ns(facts);
	for (size_t i = 0; i < facts->hosts_n; i++) {
		const struct detect_host *host = &facts->hosts[i];
		struct detect_change change = { .host = host->id,
						.before = detector->verdicts[host->id] };

		change.now = judge(detector, facts, host, &change);
		if (change.now == change.before || (change.now == DETECT_DEAD && !settled))
			continue;
		detector->verdicts[host->id] = change.now;
		ret_changes[n++] = change;
	}
	return n;
}

uint64_t detect_due(const struct detector *detector, const struct detect_facts *facts)
{
	uint64_t due_ns = facts->now_ns +
			  MIN(failure_ns(facts) ?: UINT64_MAX, DETECT_PERIOD_MS * NSEC_PER_MSEC);

	for (size_t i = 0; facts->failure_ms && i < facts->hosts_n; i++) {
		uint64_t silent_ns = facts->hosts[i].heard_ns + failure_ns(facts) + 1;

		if (silent_ns > facts->now_ns)
			due_ns = MIN(due_ns, silent_ns);
	}
	if (detector->resumed_ns + failure_ns(facts) + 1 > facts->now_ns)
		due_ns = MIN(due_ns, detector->resumed_ns + failure_ns(facts) + 1);
	return due_ns;
}
