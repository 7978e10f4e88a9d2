/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* move.c - see move.h for the picture. Each phase is a set of calls, and a rule for what is next. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "orchestrator/move.h"

/* What a step collects. */
struct step {
	struct move *move;
	uint64_t now_ns;
	struct move_action *actions;
	size_t n;
};

static const struct {
	enum move_call call; /* which this phase asks of the hosts that have one of these roles */
	uint8_t roles;
	enum move_phase next;
	enum move_phase fallback; /* forward phases: where a failure leads */
} phases[MOVE_PHASES] = {
	[MOVE_PREPARE] = { MOVE_CALL_PREPARE, MOVE_ALL, MOVE_PRECOPY, MOVE_ABORT },
	[MOVE_PRECOPY] = { MOVE_CALL_PRECOPY, MOVE_SOURCE, MOVE_SWITCH, MOVE_ABORT },
	[MOVE_SWITCH] = { MOVE_CALL_SWITCH, MOVE_STEERING, MOVE_FINAL, MOVE_DECIDE },
	[MOVE_FINAL] = { MOVE_CALL_FINAL, MOVE_SOURCE, MOVE_FINISH, MOVE_DECIDE },
	[MOVE_FINISH] = { MOVE_CALL_FINISH, MOVE_ALL, MOVE_ENDED, 0 },
	[MOVE_ABORT] = { MOVE_CALL_ABORT, MOVE_ALL, MOVE_ENDED, 0 },
	[MOVE_DECIDE] = { MOVE_CALL_QUERY, MOVE_SOURCE | MOVE_TARGET, MOVE_HOLD, 0 },
	[MOVE_STAY] = { MOVE_CALL_STAY, MOVE_STEERING, MOVE_HOLD, 0 },
	[MOVE_HOLD] = { MOVE_CALL_HOLD, MOVE_SOURCE, MOVE_DECIDE, 0 },
	[MOVE_UNSWITCH] = { MOVE_CALL_UNSWITCH, MOVE_STEERING, MOVE_RETURN, 0 },
	[MOVE_RETURN] = { MOVE_CALL_RETURN, MOVE_TARGET, MOVE_RESUME, 0 },
	[MOVE_RESUME] = { MOVE_CALL_RESUME, MOVE_SOURCE, MOVE_REVERT, 0 },
	[MOVE_REVERT] = { MOVE_CALL_REVERT, MOVE_ALL, MOVE_ENDED, 0 },
};

static bool phase_is_forward(enum move_phase phase)
{
	return phase >= MOVE_PREPARE && phase <= MOVE_FINAL;
}

/* What has to be done, for order, before the target may return what it has parked. */
static bool phase_prepares_return(enum move_phase phase)
{
	return phase == MOVE_STAY || phase == MOVE_HOLD || phase == MOVE_UNSWITCH;
}

/* ---- calls ---------------------------------------------------------------------------------- */

static bool host_is_dead(const struct move *move, unsigned int host)
{
	return move->dead & 1u << host;
}

/* Whether all that have the role are dead; of source and target there is one. */
static bool role_is_dead(const struct move *move, enum move_role role)
{
	for (unsigned int host = 0; host < move->hosts; host++)
		if ((move->roles[host] & role) && !host_is_dead(move, host))
			return false;
	return true;
}

static void call_send(struct step *step, unsigned int host, enum move_call call)
{
	struct move *move = step->move;
	struct move_slot *slot = &move->slots[host][call];
	bool fence = move->fence;

	if (host_is_dead(move, host)) {
		slot->state = MOVE_SLOT_GIVEN_UP;
		return;
	}

	/* without the target's own fence there is nothing for resume to wait for */
	if (call == MOVE_CALL_RESUME)
		for (unsigned int h = 0; h < move->hosts; h++)
			if (move->roles[h] & MOVE_TARGET)
				fence &= move->slots[h][MOVE_CALL_RETURN].state == MOVE_SLOT_DONE;

	if (!slot->attempts)
		slot->first_ns = step->now_ns;
	slot->attempts += slot->attempts < UINT8_MAX;
	slot->state = MOVE_SLOT_SENT;
	slot->due_ns = 0;
	slot->tag++;

	assert(step->n < MOVE_ACTIONS_MAX);
	step->actions[step->n++] = (struct move_action){
		.kind = MOVE_DO_CALL,
		.host = host,
		.call = call,
		.tag = slot->tag,
		.fence = fence,
	};
}

static bool call_out_of_patience(const struct step *step, const struct move_slot *slot)
{
	const struct move *move = step->move;
	/* for `stay`, which is for order alone, the flows of the other steering hosts don't wait long */
	bool less = phase_is_forward(move->phase) || move->phase == MOVE_STAY;
	uint64_t patience = less ? move->patience_ns : move->patience_back_ns;

	if (move->attempts_max && slot->attempts >= move->attempts_max)
		return true;
	return step->now_ns - slot->first_ns >= patience;
}

/* No answer, or one that isn't final: once more later, unless patience has gone. */
static void call_retry(const struct step *step, struct move_slot *slot)
{
	if (call_out_of_patience(step, slot)) {
		slot->state = MOVE_SLOT_GIVEN_UP;
		slot->due_ns = 0;
		return;
	}
	slot->state = MOVE_SLOT_RETRY;
	slot->due_ns = step->now_ns + MOVE_RETRY_NS;
}

/* ---- phases --------------------------------------------------------------------------------- */

static void phase_call(struct step *step, enum move_call call, uint8_t roles)
{
	struct move *move = step->move;
	/* which has the most to do, and to delete */
	uint8_t first = call == MOVE_CALL_FINISH ? MOVE_SOURCE : 0;

	for (int pass = 0; pass < 2; pass++) {
		for (unsigned int host = 0; host < move->hosts; host++) {
			bool leads = move->roles[host] & first;

			if (!(move->roles[host] & roles) || leads != (pass == 0))
				continue;
			move->slots[host][call].attempts = 0;
			call_send(step, host, call);
		}
	}
}

static void phase_enter(struct step *step, enum move_phase phase)
{
	struct move *move = step->move;
	enum move_phase from = move->phase;

	if (!phase_is_forward(phase) && phase != MOVE_FINISH && phase_is_forward(from))
		move->failed_in = from;
	move->phase = phase;
	step->actions[step->n++] = (struct move_action){ .kind = MOVE_DO_JOURNAL, .phase = phase };

	if (phase == MOVE_DECIDE)
		move->decides++;
	/* the source waits for the fences itself, so final travels together with switch */
	if (phase == MOVE_SWITCH)
		phase_call(step, MOVE_CALL_FINAL, MOVE_SOURCE);
	if (phase != MOVE_FINAL)
		phase_call(step, phases[phase].call, phases[phase].roles);
}

static void phase_end(struct step *step, enum move_outcome outcome)
{
	step->move->phase = MOVE_ENDED;
	step->move->outcome = outcome;
	step->actions[step->n++] = (struct move_action){
		.kind = MOVE_DO_END,
		.phase = MOVE_ENDED,
		.outcome = outcome,
	};
}

/* Whether nothing more is to be expected of the phase's calls. */
static bool phase_settled(const struct move *move, enum move_phase phase)
{
	for (unsigned int host = 0; host < move->hosts; host++) {
		if (!(move->roles[host] & phases[phase].roles))
			continue;
		switch (move->slots[host][phases[phase].call].state) {
		case MOVE_SLOT_DONE:
		case MOVE_SLOT_REFUSED:
		case MOVE_SLOT_GIVEN_UP:
			break;
		default:
			return false;
		}
	}
	return true;
}

static bool phase_has(const struct move *move, enum move_phase phase, enum move_slot_state state)
{
	for (unsigned int host = 0; host < move->hosts; host++)
		if ((move->roles[host] & phases[phase].roles) &&
		    move->slots[host][phases[phase].call].state == state)
			return true;
	return false;
}

static bool phase_failed(const struct move *move, enum move_phase phase)
{
	return phase_has(move, phase, MOVE_SLOT_REFUSED) ||
	       phase_has(move, phase, MOVE_SLOT_GIVEN_UP);
}

/* ---- what is next --------------------------------------------------------------------------- */

static bool forward_advance(struct step *step)
{
	struct move *move = step->move;
	enum move_phase phase = move->phase;

	/* the answer to final counts more than a switch whose answer is still missing */
	if (phase == MOVE_SWITCH) {
		if (phase_settled(move, MOVE_FINAL) && !phase_failed(move, MOVE_FINAL)) {
			phase_enter(step, MOVE_FINISH);
			return true;
		}
		if (phase_failed(move, MOVE_FINAL)) {
			phase_enter(step, MOVE_DECIDE);
			return true;
		}
	}
	if (phase_failed(move, phase)) {
		phase_enter(step, phases[phase].fallback);
		return true;
	}
	if (!phase_settled(move, phase))
		return false;
	if (phase == MOVE_PREPARE && move->copied)
		phase = MOVE_PRECOPY; /* done already */
	phase_enter(step, phases[phase].next);
	return true;
}

/* Not committed, as far as anybody can tell: on with the way back. */
static void decide_back(struct step *step)
{
	struct move *move = step->move;

	/* from a dead source nothing more comes, but what has come may still be committed: not after return */
	if (role_is_dead(move, MOVE_SOURCE))
		phase_enter(step, move->returns < MOVE_RETURNS_MAX ? MOVE_RETURN : MOVE_REVERT);
	else if (move->returns)
		phase_enter(step, move->returns < MOVE_RETURNS_MAX ? MOVE_RETURN : MOVE_RESUME);
	else if (move->held || move->decides >= MOVE_DECIDES_MAX)
		phase_enter(step, MOVE_UNSWITCH);
	else
		phase_enter(step, MOVE_STAY);
}

/* A query that found `committed` has entered finish already; here nobody has said so yet. */
static bool decide_advance(struct step *step)
{
	struct move *move = step->move;
	bool target_answered = false, target_open = false;

	for (unsigned int host = 0; host < move->hosts; host++) {
		const struct move_slot *slot = &move->slots[host][MOVE_CALL_QUERY];

		if (!(move->roles[host] & MOVE_TARGET))
			continue;
		target_answered = slot->state == MOVE_SLOT_DONE;
		target_open = slot->state == MOVE_SLOT_SENT || slot->state == MOVE_SLOT_RETRY;
	}
	/* the target's word is enough; the source's matters when the target can't be asked */
	if (!target_answered && (target_open || !phase_settled(move, MOVE_DECIDE)))
		return false;
	move->doubt |= !target_answered;
	decide_back(step);
	return true;
}

static bool hold_advance(struct step *step)
{
	struct move *move = step->move;

	if (!phase_settled(move, MOVE_HOLD))
		return false;
	/* refused: it says that it has nothing to take back, so look again whether it's committed */
	move->held = !phase_has(move, MOVE_HOLD, MOVE_SLOT_REFUSED);
	phase_enter(step, MOVE_DECIDE);
	return true;
}

static bool way_back_failed(const struct move *move)
{
	if (move->doubt || phase_failed(move, MOVE_RETURN))
		return true;
	/* what a dead source would have to do isn't needed any more */
	return !role_is_dead(move, MOVE_SOURCE) &&
	       (phase_failed(move, MOVE_HOLD) || phase_failed(move, MOVE_UNSWITCH) ||
		phase_failed(move, MOVE_RESUME));
}

static bool back_advance(struct step *step)
{
	struct move *move = step->move;
	enum move_phase phase = move->phase;
	bool failed;

	if (!phase_settled(move, phase))
		return false;
	if (phase == MOVE_RETURN && phase_has(move, phase, MOVE_SLOT_REFUSED)) {
		move->returns++;
		phase_enter(step, MOVE_DECIDE);
		return true;
	}
	if (phases[phase].next != MOVE_ENDED) {
		phase_enter(step, phases[phase].next);
		return true;
	}

	if (phase == MOVE_FINISH) {
		phase_end(step, MOVE_COMPLETED);
		return true;
	}
	failed = phase == MOVE_REVERT && way_back_failed(move);
	phase_end(step, failed ? MOVE_FAILED : MOVE_ROLLED_BACK);
	return true;
}

static bool move_advance(struct step *step)
{
	switch (step->move->phase) {
	case MOVE_NEW:
	case MOVE_ENDED:
		return false;
	case MOVE_DECIDE:
		return decide_advance(step);
	case MOVE_HOLD:
		return hold_advance(step);
	default:
		if (phase_is_forward(step->move->phase))
			return forward_advance(step);
		return back_advance(step);
	}
}

/* ---- events --------------------------------------------------------------------------------- */

/* Whether the answer to this call still matters in the phase that the move is in. */
static bool call_is_wanted(const struct move *move, enum move_call call)
{
	if (call == phases[move->phase].call && move->phase != MOVE_NEW)
		return move->phase != MOVE_ENDED;
	return move->phase == MOVE_SWITCH && call == MOVE_CALL_FINAL;
}

/* An error answer ends a call where the way leads elsewhere; on the way back it may pass. */
static bool refusal_is_final(const struct move *move, enum move_call call)
{
	if (phase_is_forward(move->phase))
		return true;
	return call == MOVE_CALL_HOLD || call == MOVE_CALL_RETURN;
}

static void event_lost(struct step *step, struct move_slot *slot, enum move_call call)
{
	/* whether final was done is a question for decide: repeating it would only park longer */
	if (call == MOVE_CALL_FINAL)
		slot->state = MOVE_SLOT_GIVEN_UP;
	else
		call_retry(step, slot);
}

static void event_gone(struct step *step, struct move_slot *slot)
{
	/* going forward it has forgotten what it must know; going back there is nothing to undo */
	slot->state = phase_is_forward(step->move->phase) ? MOVE_SLOT_REFUSED : MOVE_SLOT_DONE;
}

static void event_reply(struct step *step, const struct move_event *event)
{
	struct move *move = step->move;
	struct move_slot *slot = &move->slots[event->host][event->call];

	if (!call_is_wanted(move, event->call) || slot->state != MOVE_SLOT_SENT ||
	    slot->tag != event->tag)
		return;
	switch (event->kind) {
	case MOVE_EV_OK:
		slot->state = MOVE_SLOT_DONE;
		if (event->call == MOVE_CALL_QUERY && event->committed)
			phase_enter(step, MOVE_FINISH);
		if (event->call == MOVE_CALL_PREPARE && event->copied)
			move->copied = true;
		if (event->call == MOVE_CALL_STAY && event->switched)
			move->switched |= (uint16_t)(1u << event->host);
		break;
	case MOVE_EV_GONE:
		event_gone(step, slot);
		break;
	case MOVE_EV_REFUSED:
		if (refusal_is_final(move, event->call))
			slot->state = MOVE_SLOT_REFUSED;
		else
			call_retry(step, slot);
		break;
	default:
		event_lost(step, slot, event->call);
		break;
	}
}

static void event_tick(struct step *step)
{
	struct move *move = step->move;

	for (unsigned int host = 0; host < move->hosts; host++) {
		for (unsigned int call = 0; call < MOVE_CALLS; call++) {
			struct move_slot *slot = &move->slots[host][call];

			if (slot->state == MOVE_SLOT_RETRY && call_is_wanted(move, call) &&
			    step->now_ns >= slot->due_ns)
				call_send(step, host, call);
		}
	}
}

static void event_cancel(struct step *step)
{
	struct move *move = step->move;

	if (move->phase == MOVE_NEW)
		phase_end(step, MOVE_ROLLED_BACK);
	else if (phase_is_forward(move->phase))
		phase_enter(step, phases[move->phase].fallback);
}

/* What is under way to it has no answer, and what only it could do won't be done. */
static void event_dead(struct step *step, unsigned int host)
{
	struct move *move = step->move;

	if (host_is_dead(move, host))
		return;
	move->dead |= (uint16_t)(1u << host);
	for (unsigned int call = 0; call < MOVE_CALLS; call++) {
		struct move_slot *slot = &move->slots[host][call];

		if (slot->state == MOVE_SLOT_SENT || slot->state == MOVE_SLOT_RETRY)
			slot->state = MOVE_SLOT_GIVEN_UP;
	}
	if (phase_is_forward(move->phase))
		phase_enter(step, phases[move->phase].fallback);
	else if (role_is_dead(move, MOVE_SOURCE) && phase_prepares_return(move->phase))
		phase_enter(step, MOVE_RETURN);
}

/* Nothing is known but the journal: every call is repeatable, so the phase is done over again. */
static void event_recover(struct step *step, const struct move_event *event)
{
	enum move_phase journalled = event->phase;
	struct move *move = step->move;

	move->doubt = event->doubt;
	move->patience_back_ns = MAX(move->patience_back_ns, MOVE_RECOVER_NS);
	switch (journalled) {
	case MOVE_NEW:
	case MOVE_PREPARE:
	case MOVE_PRECOPY:
		move->failed_in = journalled;
		phase_enter(step, MOVE_ABORT);
		break;
	case MOVE_SWITCH:
	case MOVE_FINAL:
		move->failed_in = journalled;
		phase_enter(step, MOVE_DECIDE);
		break;
	case MOVE_HOLD:
		phase_enter(step, MOVE_DECIDE);
		break;
	case MOVE_RETURN: /* must know which steering hosts have gone back */
		phase_enter(step, MOVE_UNSWITCH);
		break;
	case MOVE_ENDED:
	case MOVE_PHASES:
		break;
	default:
		phase_enter(step, journalled);
		break;
	}
}

int move_step(struct move *move, const struct move_event *event, uint64_t now_ns,
	      struct move_action *ret_actions, size_t max, size_t *ret_n)
{
	struct step step = { .move = move, .now_ns = now_ns, .actions = ret_actions };

	if (max < MOVE_ACTIONS_MAX)
		return -E2BIG;
	switch (event->kind) {
	case MOVE_EV_START:
	case MOVE_EV_RECOVER:
		if (move->phase != MOVE_NEW)
			return -EINVAL;
		if (event->kind == MOVE_EV_START)
			phase_enter(&step, MOVE_PREPARE);
		else
			event_recover(&step, event);
		break;
	case MOVE_EV_CANCEL:
		event_cancel(&step);
		break;
	case MOVE_EV_TICK:
		event_tick(&step);
		break;
	case MOVE_EV_DEAD:
		if (event->host >= move->hosts)
			return -EINVAL;
		event_dead(&step, event->host);
		break;
	default:
		if (event->host >= move->hosts || event->call >= MOVE_CALLS)
			return -EINVAL;
		event_reply(&step, event);
		break;
	}
	/* a phase without calls (a move without steering hosts) is over as soon as it begins */
	while (move_advance(&step))
		;
	*ret_n = step.n;
	return 0;
}

/* ---- the rest ------------------------------------------------------------------------------- */

void move_init(struct move *move, bool fence)
{
	*move = (struct move){
		.fence = fence,
		.patience_ns = MOVE_PATIENCE_NS,
		.patience_back_ns = MOVE_BACK_NS,
	};
}

int move_add_host(struct move *move, unsigned int place, uint8_t roles)
{
	if (place >= MOVE_HOSTS_MAX)
		return -E2BIG;
	move->roles[place] |= roles;
	move->hosts = MAX(move->hosts, place + 1);
	return 0;
}

uint64_t move_due(const struct move *move)
{
	uint64_t due_ns = UINT64_MAX;

	for (unsigned int host = 0; host < move->hosts; host++)
		for (unsigned int call = 0; call < MOVE_CALLS; call++)
			if (move->slots[host][call].state == MOVE_SLOT_RETRY &&
			    call_is_wanted(move, call))
				due_ns = MIN(due_ns, move->slots[host][call].due_ns);
	return due_ns;
}

bool move_can_cancel(const struct move *move)
{
	return move->phase == MOVE_NEW || phase_is_forward(move->phase);
}
