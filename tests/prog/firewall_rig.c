/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* firewall_rig.c - see firewall_rig.h. */
#include <criterion/criterion.h>

#include "tests/prog/firewall_rig.h"

const struct row syn_c = { "from the client",
			   RIG_CLIENT,
			   { C4, TCP_C, .tcp_flags = TH_SYN },
			   SENT };
const struct row synack_s = { "answer",
			      RIG_SERVER,
			      { S4, TCP_S, .tcp_flags = SYNACK, .ack = 1 },
			      SENT };

void firewall_init(void)
{
	rig_init("firewall", RIG_STEERING);
}

void state_expect(const char *flow, const char *state)
{
	cr_assert(rig_flow_known(flow), "%s isn't known", flow);
	cr_expect_eq((int)rig_flow(flow, "state", 0), rig_enum(state), "%s: state %d, not %s", flow,
		     (int)rig_flow(flow, "state", 0), state);
}
