/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rates_fixture.c - see rates_fixture.h. */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/json.h"
#include "tests/unit/rates_fixture.h"

struct rates *rates;
struct ff_error rates_err;

void rates_setup(void)
{
	cr_assert_eq(rates_new(&rates), 0);
}

void rates_teardown(void)
{
	rates_free(rates);
}

struct told told_first(void)
{
	return (struct told){ .seq = 1,
			      .agent_ns = 77,
			      .time_ms = 100000,
			      .packets = 1000000,
			      .bytes = 64000000,
			      .flows = 50,
			      .timed = 10,
			      .path_ns = 5000,
			      .prog_id = 9 };
}

json_t *sample_json(const struct told *told)
{
	json_t *json =
		json_pack("{ss sI sI sI si s{s[ii] s[II] s[ii] s[ii] s[ii] s[ii] s[ii] s[ii] s[ii]}"
			  " s{s[ii] s[ii] s[Ii]} s[{ss ss sb sb sI sI sI}]"
			  " s[{si si sI sI si si sI sI sI sI si sI sI sI sI s{sI}}] s{}}",
			  "kind", "sample", "seq", (json_int_t)told->seq, "agent_ns",
			  (json_int_t)told->agent_ns, "time_ns", (json_int_t)(told->time_ms * MS),
			  "period_ms", 100, "cpu", "cpu", 0, 1, "softirq",
			  (json_int_t)told->softirq_ns, (json_int_t)0, "user", 0, 0, "nice", 0, 0,
			  "system", 0, 0, "idle", 0, 0, "iowait", 0, 0, "irq", 0, 0, "steal", 0, 0,
			  "softnet", "processed", 0, 0, "dropped", 0, 0, "squeezed",
			  (json_int_t)told->squeezed, 0, "links", "interface", "f0", "role",
			  "fabric", "up", 1, "carrier", 1, "rx_bytes", (json_int_t)told->rx_bytes,
			  "tx_bytes", (json_int_t)0, "bits_per_s", (json_int_t)10000000000,
			  "instances", "id", 5, "service", 1, "prog_id", (json_int_t)told->prog_id,
			  "flows", (json_int_t)told->flows, "capacity", 1000, "state_bytes", 100,
			  "packets", (json_int_t)told->packets, "bytes", (json_int_t)told->bytes,
			  "dropped", (json_int_t)told->dropped, "flows_new",
			  (json_int_t)told->expired, "flows_refused", 0, "flows_expired",
			  (json_int_t)told->expired, "timed", (json_int_t)told->timed, "nf_ns",
			  (json_int_t)0, "path_ns", (json_int_t)told->path_ns, "drops", "nf-denied",
			  (json_int_t)told->denied, "missing");

	cr_assert(json);
	if (told->no_pressure)
		json_put_str(json_object_get(json, "missing"), "pressure", "no such thing");
	else
		json_put(json, "pressure",
			 json_pack("{s{sI} s{si}}", "cpu", "some_us", (json_int_t)told->pressure_us,
				   "memory", "some_us", 0));
	if (told->loads)
		json_put(json, "slots",
			 json_pack("[{si si ss}]", "instance", 5, "slots", 4, "loads",
				   told->loads));
	if (told->heavy)
		json_put(json, "flows",
			 json_pack("[{si s[{ss si sf sf si}]}]", "instance", 5, "flows", "flow",
				   told->heavy, "slot", 2, "packets_per_s", 100.5, "bytes_per_s",
				   6000.0, "error_per_s", 1));
	if (told->heavy && told->heavy_age_ms)
		json_put_uint(json_array_get(
				      json_object_get(json_array_get(json_object_get(json, "flows"),
								     0),
						      "flows"),
				      0),
			      "age_ms", told->heavy_age_ms);
	if (told->lives)
		json_put(json, "lives", json_loads(told->lives, 0, NULL));
	return json;
}

int take_at(const struct told *told, uint64_t arrived_ns)
{
	_cleanup_json_ json_t *json = sample_json(told);
	_cleanup_sample_ struct sample *sample = NULL;
	int r;

	rates_err = (struct ff_error){};
	r = sample_parse(json, &sample, &rates_err);
	return r ? r : rates_take(rates, sample, arrived_ns, &rates_err);
}

uint64_t arrival(const struct told *told)
{
	return told->time_ms * MS + OFFSET + DELAY;
}

void take(const struct told *told)
{
	cr_assert_eq(take_at(told, arrival(told)), 0, "%s", rates_err.message);
}

struct instance_load instance_now(uint64_t now_ns)
{
	struct instance_load load = { .id = 5 };

	rates_instance(rates, now_ns, &load);
	return load;
}

void tell_on(struct told *told)
{
	told->seq++;
	told->time_ms += 100;
	told->packets += 10000;
	told->bytes += 640000;
	told->timed += 20;
	told->path_ns += 5000;
}
