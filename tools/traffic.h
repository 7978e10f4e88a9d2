/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic.h - the parts of `flowferry traffic`: the judge of demo and tests.
 *
 *	end		one side of the UDP traffic: generator and judge, in BPF or on sockets
 *	sender		the thread that paces what ends send
 *	socket		an end on sockets
 *	tcp		real connections, with what happened to them
 *	result		the verdict: pure, from what was sent and what arrived
 *	report		the verdict as JSON and as a table
 *	file		one end's share, for a verdict that is made elsewhere
 *
 * Threads: the caller's, which sets up, waits for signals and judges; one or two that send UDP; in
 * socket mode one that receives for each end; two for TCP. They share counters, which have one
 * writer each, and the flag `stop`.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/types.h>

#include "bpf/traffic_abi.h"
#include "lib/addr.h"
#include "lib/error.h"
#include "lib/flow.h"

struct traffic_bpf;
struct traffic_sockets;

/* ---- what is asked for ----------------------------------------------------------------------- */

#define TRAFFIC_WORST_MAX 1000 /* flows listed one by one */

/* By how much each kind of defect may happen without failing the run. */
struct traffic_tolerance {
	uint64_t lost, duplicated, reordered, corrupted, broken;
};

struct traffic_settings {
	bool udp, tcp;
	bool bidirectional;
	bool sockets;
	uint8_t families; /* TRAFFIC_IPV4 | TRAFFIC_IPV6 */
	uint8_t order;
	uint32_t run;
	uint32_t flows;
	uint32_t elephants;	    /* the first flows, so many: */
	uint32_t elephants_percent; /* their share of the packets */
	uint32_t size;		    /* L3 bytes of a UDP packet */
	uint64_t rate;	      /* UDP packets per second and direction; 0: as fast as it goes */
	uint64_t debt_ns;     /* further behind the rate than this, packets are given up */
	uint64_t count;	      /* UDP packets per direction; 0: no bound */
	uint64_t duration_ns; /* 0: until a signal */
	uint64_t idle_ns;     /* end when nothing has come for so long, after the first; 0: don't */
	uint64_t drain_ns;    /* how long to wait for what is under way, at most */
	uint16_t client_port, server_port;
	uint32_t threads; /* that send UDP: 1 or 2 */
	uint32_t cpu;	  /* of the first of them */
	uint32_t worst;
	struct traffic_tolerance tolerance;

	uint32_t tcp_flows;
	uint32_t tcp_short; /* short connections per second */
	uint32_t tcp_rate;  /* records per second of each long connection; 0: flat out */
	uint32_t tcp_size;  /* bytes of a record */
	bool tcp_echo; /* the server sends each record back; else one way (or both, each its own) */
};

/* ---- payloads -------------------------------------------------------------------------------- */

/* What a payload says. */
struct traffic_stamp {
	uint32_t run;
	uint32_t flow;
	uint32_t direction;
	uint64_t seq;
	uint64_t sent_ns;
};

/* Writes a payload of @len bytes, at least sizeof(struct traffic_payload). */
void traffic_payload_make(void *at, size_t len, const struct traffic_stamp *stamp);
/*
 * -ENOMSG: no payload of ours; -EBADMSG: its header is damaged, *ret_stamp means nothing; -EILSEQ:
 * its filling is, the stamp is good.
 */
int traffic_payload_read(const void *at, size_t len, struct traffic_stamp *ret_stamp);

/* ---- an end ---------------------------------------------------------------------------------- */

struct traffic_link {
	uint32_t ifindex;
	int old_prog_fd; /* what was attached before; -1: nothing */
	int lock_fd;	 /* held while this process judges on the interface */
	bool attached;
};

/* One side of the UDP traffic. `direction` is that of what it sends; it judges the other. */
struct traffic_end {
	const char *name; /* of its namespace, or "this host" */
	int netns_fd;
	bool sends, judges;
	uint8_t clock[16]; /* which clock it read: the boot id of its kernel */
	struct traffic_config config;
	struct traffic_bpf *bpf; /* or: */
	struct traffic_sockets *sockets;
	struct traffic_link links[TRAFFIC_LINKS_MAX];
	size_t n_links;

	/* what it knows, whichever way it sends and judges: */
	uint64_t *sent;		    /* [flow], if it sends */
	struct traffic_flow *flows; /* [flow], once collected, if it judges */
	size_t sent_mapped;

	/* written by the thread that sends */
	_Atomic uint64_t sent_packets;
	uint64_t first_sent_ns, last_sent_ns;
	uint64_t behind;	 /* packets given up because the sender couldn't keep the rate */
	uint64_t refused_before; /* frames that its interfaces had refused when the run began */

	/* gathered at the end, for the verdict and for the file */
	struct traffic_tally tally;
	uint64_t refused, overload;
};

/* Fills addresses and next hops of @end from its namespace: traffic_route.c. */
int traffic_end_route(struct traffic_end *end, struct ff_error *err);
/* The address of @family (AF_INET, AF_INET6) that programs in the namespace would use; -ENOENT. */
int traffic_address(int netns_fd, int family, struct ff_addr *ret_addr);

/*
 * Loads the programs and attaches them in the place of whatever program is there now; or, with
 * @sockets, opens those. On failure too, the end is to be released by traffic_end_done().
 */
int traffic_end_open(struct traffic_end *end, bool sockets, struct ff_error *err);
/* Puts back what was attached before. What was collected stays until traffic_end_done(). */
void traffic_end_detach(struct traffic_end *end);
void traffic_end_done(struct traffic_end *end);

/* Sends up to TRAFFIC_BURST_MAX packets at once. Returns how many, or a negative errno. */
#define TRAFFIC_BURST_MAX 256
int traffic_end_send(struct traffic_end *end, uint32_t count);
/* What has arrived, over all CPUs. */
int traffic_end_tally(const struct traffic_end *end, struct traffic_tally *ret_tally);
/* Has this CPU do network work that it has put off; only for ends in BPF. */
void traffic_end_help(struct traffic_end *end);
/* How many packets a BPF judge has seen so far: cheap. */
uint64_t traffic_end_judged(const struct traffic_end *end);
/* Reads all that it knows into `flows`, `tally`, `refused` and `overload`, once all is over. */
int traffic_end_collect(struct traffic_end *end);
/* Frames that the end's own interfaces refused, ever: lost before any network. */
uint64_t traffic_end_refused(const struct traffic_end *end);

/* ---- sending --------------------------------------------------------------------------------- */

/* A thread that sends for one or two ends. */
struct traffic_sender {
	pthread_t thread;
	bool running;
	struct traffic_end *ends[2];
	const struct traffic_end *peers[2]; /* who judges what they send, if here and in BPF */
	size_t n_ends;
	const struct traffic_settings *settings;
	bool half; /* the other end is elsewhere: answer only while it sends */
	uint32_t cpu;
	atomic_bool *stop;
	int error; /* negative errno that ended it early */
};

int traffic_sender_start(struct traffic_sender *sender);
void traffic_sender_join(struct traffic_sender *sender);

/* ---- verdict --------------------------------------------------------------------------------- */

struct traffic_worst {
	uint32_t flow;
	uint64_t sent, received, lost, duplicated, reordered, corrupted, unsent;
	uint64_t displacement_max, latency_max_ns, gap_max_ns;
};

/* One direction of the UDP traffic, judged. */
struct traffic_result {
	uint64_t sent, sent_bytes;
	uint64_t received; /* genuine ones, duplicates included */
	uint64_t received_bytes;
	uint64_t lost, duplicated, reordered, corrupted;
	uint64_t unreadable, foreign, out_of_range;
	uint64_t beyond;   /* reordered by more than the window: see traffic_abi.h */
	bool by_arrival;   /* sent is what the arrived ones imply: losses at the end go unseen */
	uint64_t unsent;   /* arrived, though the sender never sent them */
	uint64_t refused;  /* of the lost: refused by the sender's own interface */
	uint64_t overload; /* dropped by the judge's own full sockets: not among the lost */
	uint64_t displacement_max;
	uint64_t flows_hit; /* with any defect */
	uint64_t rate;	    /* packets per second achieved */
	uint64_t behind;
	bool latency_known; /* both ends on one clock */
	struct traffic_tally tally;
	struct traffic_worst worst[TRAFFIC_WORST_MAX];
	size_t n_worst;
};

/* What a verdict on one direction is made from. */
struct traffic_evidence {
	uint32_t flows;
	uint32_t size;
	const uint64_t *sent;		   /* [flow] */
	const struct traffic_flow *judged; /* [flow] */
	const struct traffic_tally *tally;
	uint64_t sending_ns; /* from the first packet to the last */
	uint64_t behind, refused, overload;
	bool one_clock;
	uint32_t worst;
};

void traffic_result_make(const struct traffic_evidence *evidence, struct traffic_result *ret);
/* The latency that @per_mille of the packets don't exceed, within the 3 % of a bucket. */
uint64_t traffic_percentile(const struct traffic_tally *tally, unsigned int per_mille);
void traffic_tally_add(struct traffic_tally *sum, const struct traffic_tally *part);

/* ---- TCP ------------------------------------------------------------------------------------- */

/* What became of one side's connections. */
struct traffic_tcp_counts {
	uint64_t started;    /* client: connect() called; server: accepted */
	uint64_t completed;  /* all bytes both ways, orderly closed */
	uint64_t refused;    /* RST in answer to SYN */
	uint64_t reset;	     /* RST later */
	uint64_t timed_out;  /* by the kernel, or CONNECT_NS without an answer */
	uint64_t failed;     /* other errors; the first one is in `error` */
	uint64_t truncated;  /* closed by the other side before the end */
	uint64_t corrupted;  /* wrong bytes, or bytes in the wrong place */
	uint64_t unfinished; /* still open when the drain time was over */
	uint64_t records_sent, records_received;
	uint64_t bytes_sent, bytes_received;
	uint64_t retransmits; /* TCP_INFO tcpi_total_retrans of all connections */
	uint64_t gap_max_ns;  /* longest time without a byte on an open connection */
	int error;
};

struct traffic_tcp_result {
	struct traffic_tcp_counts counts[2]; /* long connections, short ones */
	struct traffic_tally records;	     /* latency: one way, or there and back with echo */
	struct traffic_tally connections;    /* time of a whole short connection */
};

#define TRAFFIC_LONG  0
#define TRAFFIC_SHORT 1

struct tcp_side;

/* One side of all TCP connections: a thread in the namespace of @end. */
int traffic_tcp_start(const struct traffic_settings *settings, const struct traffic_end *end,
		      bool client, struct tcp_side **ret_side, struct ff_error *err);
/* Begins no more, ends the long ones in order. The server's side closes what is left. */
void traffic_tcp_stop(struct tcp_side *side);
/* Waits for the thread, at most for the settings' drain time after the stop. */
void traffic_tcp_join(struct tcp_side *side, struct traffic_tcp_result *ret);
void traffic_tcp_free(struct tcp_side *side);
/* Records received so far, for the line of progress. */
uint64_t traffic_tcp_progress(const struct tcp_side *side);
/* Connections that didn't come to a good end. */
uint64_t traffic_tcp_broken(const struct traffic_tcp_counts *counts);

/* ---- a run ----------------------------------------------------------------------------------- */

struct traffic_run {
	struct traffic_settings settings;
	struct traffic_end
		ends[2]; /* client, server; one that neither sends nor judges isn't here */
	struct traffic_sender senders[2];
	atomic_bool stop;
	bool quiet;	  /* no progress on stderr */
	bool half;	  /* the other end is elsewhere */
	const char *save; /* write the evidence there */

	bool interrupted;
	uint64_t took_ns;
	bool judged[2]; /* by direction: there is a result */
	struct traffic_result results[2];

	struct tcp_side *tcp[2]; /* client, server */
	bool tcp_judged[2];
	struct traffic_tcp_result tcp_results[2];
};

/* An end's share of the evidence, in a file; traffic_file.c. */
int traffic_file_save(const struct traffic_run *run, const char *path, struct ff_error *err);
int traffic_file_load(struct traffic_run *run, const char *path, struct ff_error *err);
/* Judges what @from sent and @to received, or as much of it as is here. */
int traffic_direction_judge(struct traffic_run *run, unsigned int direction);

/* Fills in `results`. Returns 0 whatever the verdict, or a negative errno if there is none. */
int traffic_run(struct traffic_run *run, struct ff_error *err);
/* Whatever became of the run; the evidence goes with it. */
void traffic_run_done(struct traffic_run *run);
/* Whether everything found is within the tolerance. */
bool traffic_run_passed(const struct traffic_run *run);
/* "passed", "failed", "inconclusive" (nothing sent, or the judge overrun), "unjudged" (a sender). */
const char *traffic_verdict(const struct traffic_run *run);

/* The text of a flow of the run, sender first. */
const char *traffic_flow_format(const struct traffic_config *config, unsigned int direction,
				uint32_t flow, char buf[FLOW_TEXT_MAX]);

void traffic_report_json(const struct traffic_run *run);
void traffic_report_table(const struct traffic_run *run);
