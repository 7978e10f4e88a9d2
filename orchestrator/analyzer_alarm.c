/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * analyzer_alarm.c - from figures against bounds to conditions that hold: two bounds, and a time
 * for which each has to be passed.
 */
#include <stdio.h>

#include "lib/clock.h"
#include "orchestrator/analyzer_internal.h"

#define CHANGES_FIRST 64

bool alarm_move(struct alarm *alarm, enum verdict verdict, uint64_t now_ns, uint64_t up_ms,
		uint64_t down_ms)
{
	enum verdict other = alarm->raised ? VERDICT_GOOD : VERDICT_BAD;
	uint64_t lasts_ms = alarm->raised ? down_ms : up_ms;

	if (verdict != other) {
		alarm->pending_ns = 0;
		return false;
	}
	if (!alarm->pending_ns)
		alarm->pending_ns = now_ns;
	if (now_ns - alarm->pending_ns < lasts_ms * NSEC_PER_MSEC)
		return false;
	alarm->pending_ns = 0;
	alarm->raised = !alarm->raised;
	return true;
}

void alarm_pause(struct alarm *alarm)
{
	alarm->pending_ns = 0;
}

enum verdict verdict_high(double value, double bad, double good)
{
	return value > bad ? VERDICT_BAD : value < good ? VERDICT_GOOD : VERDICT_BETWEEN;
}

static struct condition_change *change_new(struct analyzer *analyzer)
{
	if (analyzer->changes_n == analyzer->changes_size) {
		size_t size = MAX(2 * analyzer->changes_size, (size_t)CHANGES_FIRST);
		void *grown = reallocarray(analyzer->changes, size, sizeof(*analyzer->changes));

		if (!grown)
			return NULL;
		analyzer->changes = grown;
		analyzer->changes_size = size;
	}
	return &analyzer->changes[analyzer->changes_n++];
}

void alarm_say(struct step *step, struct alarm *alarm, const struct alarm_subject *subject,
	       const char *fmt, ...)
{
	struct condition condition = {
		.kind = subject->kind,
		.about = subject->about,
		.id = subject->id,
		.service = subject->service,
		.since_ns = step->now_ns,
		.forecast = subject->forecast,
		.value = subject->value,
		.bound = subject->bound,
	};
	struct condition_change *change;
	va_list args;

	if (subject->name)
		snprintf(condition.name, sizeof(condition.name), "%s", subject->name);
	va_start(args, fmt);
	vsnprintf(condition.why, sizeof(condition.why), fmt, args);
	va_end(args);
	if (alarm->raised)
		alarm->condition = condition;
	else
		condition.since_ns = alarm->condition.since_ns;
	change = change_new(step->analyzer);
	if (change)
		*change = (struct condition_change){ .raised = alarm->raised,
						     .condition = condition };
	else
		step->analyzer->no_memory = true;
}
