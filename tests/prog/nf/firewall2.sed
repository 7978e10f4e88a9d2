# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The firewall as a later version of it might be, made from the firewall itself: its state has a new field
# in front, packets behind bytes, and a wider counter of drops.
/^struct fw_flow \{/,/^\};/ {
	/^struct fw_flow/a\	__u64 last_ns ff_max ff_clock; /* new */
	/__u64 packets\[2\]/d
	/__u64 bytes\[2\]/a\	__u64 packets[2] ff_sum; /* that passed */
	s/__u32 dropped/__u64 dropped/
}
s/^(\t+)flow->packets\[dir\]\+\+;/&\n\1flow->last_ns = pkt->now_ns;/
