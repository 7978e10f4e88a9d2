/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/filter_check.h"

#include <ctype.h>
#include <errno.h>
#include <pcap/pcap.h>
#include <string.h>

#include "lib/cleanup.h"

/* ---- words --------------------------------------------------------------------------------- */

#define WORD_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/-"

/* The language's words that make sense for flows, or that the check of loads answers better. */
static const char words[] =
	" and or not ip ip6 tcp udp sctp icmp icmp6 src dst host net mask port portrange proto "
	"broadcast multicast icmptype icmpcode icmp-echo icmp-echoreply icmp6type icmp6code "
	"icmp6-echo icmp6-echoreply len less greater tcpflags tcp-fin tcp-syn tcp-rst tcp-push "
	"tcp-ack tcp-urg protochain arp rarp ether vlan ";

static bool word_is(const char *word, size_t len, const char *known)
{
	return strlen(known) == len && !memcmp(word, known, len);
}

static bool word_is_known(const char *word, size_t len)
{
	const char *at = words;

	while ((at = memmem(at, strlen(at), word, len))) {
		if (at[-1] == ' ' && at[len] == ' ')
			return true;
		at++;
	}
	return false;
}

/* Whether libpcap could take the word for the name of a host or a network. */
static bool word_is_name(const char *word, size_t len)
{
	bool letter = false;

	for (size_t i = 0; i < len; i++) {
		if (word[i] == ':')
			return false; /* an IPv6 address, or an offset and a size in brackets */
		letter |= isalpha((unsigned char)word[i]) != 0;
	}
	if (len > 2 && word[0] == '0' && word[1] == 'x' &&
	    strspn(word + 2, "0123456789abcdefABCDEF") >= len - 2)
		return false;
	return letter;
}

/* Behind these stand names of services and protocols: local files, never the network. */
static bool word_takes_name(const char *word, size_t len)
{
	return word_is(word, len, "port") || word_is(word, len, "portrange") ||
	       word_is(word, len, "proto");
}

int filter_check_words(const char *expr, struct ff_error *err)
{
	const char *at = expr;
	bool named = false;

	while (*at) {
		size_t len = strspn(at, WORD_CHARS);

		if (!len) {
			named &= isspace((unsigned char)*at) || *at == '\\';
			at++;
			continue;
		}
		if (!named && !word_is_known(at, len) && word_is_name(at, len))
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
					 "write addresses as numbers, and see pcap-filter(7)",
					 "filter \"%.200s\": \"%.*s\" is no word of a flow filter",
					 expr, (int)MIN(len, (size_t)60), at);
		named = word_takes_name(at, len);
		at += len;
	}
	return 0;
}

/* ---- loads --------------------------------------------------------------------------------- */

/*
 * One pass over the program, in which all jumps are forward, with what is known before each
 * instruction: the IP versions that can get there, and whether A holds the version byte. What a
 * path isn't known to exclude counts as possible, so the answer errs on the side of refusing.
 */
#define VERSION_4 1u
#define VERSION_6 2u

enum a_holds { A_OTHER, A_BYTE0, A_VERSION }; /* A_VERSION: byte 0 & 0xf0 */

struct known {
	unsigned int versions; /* 0: not reached */
	enum a_holds a;
};

static void known_join(struct known *to, struct known from)
{
	if (to->versions && to->a != from.a)
		from.a = A_OTHER;
	to->versions |= from.versions;
	to->a = from.a;
}

static bool range_holds(unsigned int first, unsigned int end, unsigned int at, unsigned int size)
{
	return at >= first && at < end && size <= end - at;
}

/* Fixed places: in the IPv4 header and the ports behind it, in the IPv6 header and the ports. */
static bool place_is_known(unsigned int version, unsigned int at, unsigned int size)
{
	if (range_holds(0, 1, at, size))
		return true;
	if (version == VERSION_4) /* "no fragment", protocol, addresses, ports */
		return range_holds(6, 8, at, size) || range_holds(9, 10, at, size) ||
		       range_holds(12, 24, at, size);
	return range_holds(6, 7, at, size) || range_holds(8, 44, at, size);
}

static bool load_is_known(const struct bpf_insn *insn, unsigned int versions)
{
	unsigned int size = BPF_SIZE(insn->code) == BPF_W ? 4 :
			    BPF_SIZE(insn->code) == BPF_H ? 2 :
							    1;

	switch (BPF_MODE(insn->code)) {
	case BPF_ABS:
		return (!(versions & VERSION_4) || place_is_known(VERSION_4, insn->k, size)) &&
		       (!(versions & VERSION_6) || place_is_known(VERSION_6, insn->k, size));
	case BPF_IND: /* behind an IPv4 header of any length */
		return versions == VERSION_4 && range_holds(0, 4, insn->k, size);
	case BPF_LEN:
		return false;
	default:
		return true; /* constants and scratch memory */
	}
}

/* What A holds after an instruction that is no jump. */
static enum a_holds a_after(const struct bpf_insn *insn, enum a_holds a)
{
	switch (BPF_CLASS(insn->code)) {
	case BPF_LD:
		return insn->code == (BPF_LD | BPF_B | BPF_ABS) && !insn->k ? A_BYTE0 : A_OTHER;
	case BPF_ALU:
		if (a == A_BYTE0 && insn->code == (BPF_ALU | BPF_AND | BPF_K) && insn->k == 0xf0)
			return A_VERSION;
		return A_OTHER;
	case BPF_MISC:
		return A_OTHER;
	default:
		return a; /* LDX, ST, STX leave A alone */
	}
}

static void jump_follow(const struct bpf_insn *insn, struct known here, struct known *next)
{
	struct known yes = here, no = here;
	unsigned int version = 0;

	if (BPF_OP(insn->code) == BPF_JA) {
		known_join(&next[insn->k], here);
		return;
	}
	if (here.a == A_VERSION && insn->code == (BPF_JMP | BPF_JEQ | BPF_K))
		version = insn->k == 0x40 ? VERSION_4 : insn->k == 0x60 ? VERSION_6 : 0;
	if (version) {
		yes.versions &= version;
		no.versions &= ~version;
	}
	if (yes.versions)
		known_join(&next[insn->jt], yes);
	if (no.versions)
		known_join(&next[insn->jf], no);
}

bool filter_check_loads(const struct bpf_program *program)
{
	_cleanup_free_ struct known *known = calloc(program->bf_len + 1, sizeof(*known));

	if (!known)
		return false;
	known[0].versions = VERSION_4 | VERSION_6;
	for (unsigned int i = 0; i < program->bf_len; i++) {
		const struct bpf_insn *insn = &program->bf_insns[i];
		struct known here = known[i];

		if (!here.versions)
			continue;
		switch (BPF_CLASS(insn->code)) {
		case BPF_RET:
			continue;
		case BPF_JMP:
			jump_follow(insn, here, &known[i + 1]);
			continue;
		case BPF_MISC:
			if (BPF_MISCOP(insn->code) == BPF_TAX)
				return false; /* an offset that the packet itself decides */
			break;
		case BPF_LD:
			if (!load_is_known(insn, here.versions))
				return false;
			break;
		}
		here.a = a_after(insn, here.a);
		known_join(&known[i + 1], here);
	}
	return true;
}
