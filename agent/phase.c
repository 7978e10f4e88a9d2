/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/phase.h"

const char *phase_name(enum phase phase)
{
	static const char *const names[] = {
		[PHASE_NONE] = "none",		 [PHASE_PREPARED] = "prepared",
		[PHASE_PRECOPY] = "precopy",	 [PHASE_CONVERGED] = "converged",
		[PHASE_HANDOVER] = "held",	 [PHASE_DONE] = "done",
		[PHASE_HOLDING] = "holding",	 [PHASE_RESUMED] = "resumed",
		[PHASE_COMMITTED] = "committed", [PHASE_RELEASED] = "released",
		[PHASE_RETURNED] = "returned",
	};

	return names[phase];
}

static enum answer source_request(enum phase phase, enum request request)
{
	switch (request) {
	case REQUEST_PRECOPY:
		if (phase == PHASE_PREPARED || phase == PHASE_PRECOPY)
			return ANSWER_GO;
		return phase == PHASE_CONVERGED ? ANSWER_ALREADY : ANSWER_REFUSE;
	case REQUEST_FINAL:
		if (phase == PHASE_CONVERGED || phase == PHASE_HANDOVER)
			return ANSWER_GO;
		return phase == PHASE_DONE ? ANSWER_ALREADY : ANSWER_REFUSE;
	case REQUEST_HOLD:
		if (phase <= PHASE_HANDOVER)
			return ANSWER_GO;
		return phase == PHASE_HOLDING ? ANSWER_ALREADY : ANSWER_REFUSE;
	case REQUEST_RESUME:
		if (phase == PHASE_HOLDING)
			return ANSWER_GO;
		return phase == PHASE_RESUMED ? ANSWER_ALREADY : ANSWER_REFUSE;
	case REQUEST_ABORT:
		return phase == PHASE_DONE ? ANSWER_REFUSE : ANSWER_GO;
	case REQUEST_FINISH:
		/* holding: it was told to take back what the target, unheard, had committed */
		return phase == PHASE_DONE || phase == PHASE_HANDOVER || phase == PHASE_HOLDING ?
			       ANSWER_GO :
			       ANSWER_REFUSE;
	default:
		return ANSWER_REFUSE;
	}
}

static enum answer target_request(enum phase phase, enum request request)
{
	switch (request) {
	case REQUEST_COMMIT:
		if (phase == PHASE_PREPARED)
			return ANSWER_GO;
		return phase == PHASE_COMMITTED || phase == PHASE_RELEASED ? ANSWER_ALREADY :
									     ANSWER_REFUSE;
	case REQUEST_RETURN:
		if (phase == PHASE_PREPARED)
			return ANSWER_GO;
		return phase == PHASE_RETURNED ? ANSWER_ALREADY : ANSWER_REFUSE;
	case REQUEST_ABORT:
		return phase == PHASE_COMMITTED || phase == PHASE_RELEASED ? ANSWER_REFUSE :
									     ANSWER_GO;
	case REQUEST_FINISH:
		return phase == PHASE_RELEASED ? ANSWER_GO : ANSWER_REFUSE;
	default:
		return ANSWER_REFUSE;
	}
}

enum answer phase_request(enum phase source, enum phase target, enum request request)
{
	bool both = request == REQUEST_ABORT || request == REQUEST_FINISH;
	bool of_target = request == REQUEST_COMMIT || request == REQUEST_RETURN;
	enum answer answer;

	if (both) {
		answer = source ? source_request(source, request) : ANSWER_GO;
		if (answer == ANSWER_GO && target)
			answer = target_request(target, request);
		return answer;
	}
	if (of_target)
		return target ? target_request(target, request) : ANSWER_REFUSE;
	return source ? source_request(source, request) : ANSWER_REFUSE;
}

/* The target's entry: parked until it is released. */
static void steer_target(const struct phase_view *v, struct ff_steer *steer)
{
	steer->here = v->to;
	if (v->parks && v->target != PHASE_RELEASED) {
		steer->flags = FF_STEER_PARK;
		steer->lane = v->target_lane;
	}
}

/*
 * The host of both is to forget the move, and may have taken the target's state away: if packets
 * don't wait for the end of that, they find the source.
 */
static bool gave_back(const struct phase_view *v)
{
	return v->target == PHASE_RETURNED && !v->parks;
}

static void steer_source(const struct phase_view *v, struct ff_steer *steer)
{
	switch (v->source) {
	case PHASE_HANDOVER:
	case PHASE_DONE:
		if (gave_back(v))
			steer->here = v->from;
		else if (v->target) /* both on this host: the flows change hands right here */
			steer_target(v, steer);
		return;
	case PHASE_HOLDING:
		steer->here = v->from;
		steer->flags = FF_STEER_PARK;
		steer->lane = v->source_lane;
		return;
	case PHASE_RESUMED:
		steer->here = v->from;
		return;
	default:
		steer->here = v->from;
		if (!v->handover) {
			steer->flags = FF_STEER_LOG;
			steer->lane = v->source_lane;
		}
		return;
	}
}

struct ff_steer phase_steer(const struct phase_view *v)
{
	bool gone = v->source == PHASE_HANDOVER || v->source == PHASE_DONE;
	bool come = v->target == PHASE_COMMITTED || v->target == PHASE_RELEASED;
	bool back = v->target == PHASE_RETURNED && (!gone || gave_back(v));
	struct ff_steer steer = { .owner = !back && (v->switched || gone || come) ? v->to :
										    v->from };

	if (v->source)
		steer_source(v, &steer);
	else if (v->target && v->target != PHASE_RETURNED)
		steer_target(v, &steer);
	return steer;
}
