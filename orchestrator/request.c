/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* request.c - reading the body of POST /v1/moves (declared in subject.h). */
#include <errno.h>
#include <string.h>

#include "lib/filter.h"
#include "lib/json.h"
#include "orchestrator/subject.h"

static int parse_choice(const json_t *body, const char *key, const char *const *choices,
			const char *mend, const char **ret, struct ff_error *err)
{
	const char *text = choices[0];
	int r;

	r = json_opt_str(body, key, &text, err);
	if (r < 0)
		return r;
	for (size_t i = 0; choices[i]; i++) {
		if (!strcmp(choices[i], text)) {
			*ret = choices[i];
			return 0;
		}
	}
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, mend, "\"%s\" can't be \"%s\"", key,
			 text);
}

static int parse_filter(struct move_request *request, struct ff_error *err)
{
	struct filter *filter;
	int r;

	if (!request->filter[0])
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				 "leave it out to move the whole instance", "\"filter\" is empty");
	r = match_from_text(request->filter, &request->match, &request->exact, err);
	if (r < 0)
		return r;
	/* what a match can't say, a filter must be able to */
	if (!request->exact) {
		r = filter_new(request->filter, &filter, err);
		if (r < 0)
			return r;
		filter_free(filter);
	}
	return 0;
}

static int parse_what(const json_t *body, struct move_request *request, struct ff_error *err)
{
	static const struct {
		const char *key;
		enum request_what what;
	} ways[] = {
		{ "slots", REQUEST_SLOTS },
		{ "flows", REQUEST_COUNT },
		{ "flow", REQUEST_FLOWS },
		{ "filter", REQUEST_FILTER },
	};
	json_t *flows = NULL;
	int64_t count = 0;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		json_t *value = json_object_get(body, ways[i].key);

		if (!value || json_is_null(value))
			continue;
		if (request->what != REQUEST_INSTANCE)
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
					 "give one of slots, flows, flow, filter; or none",
					 "what is to be moved is named twice");
		request->what = ways[i].what;
	}
	switch (request->what) {
	case REQUEST_SLOTS:
		return json_get_str(body, "slots", &request->slots, err);
	case REQUEST_COUNT:
		r = json_get_range(body, "flows", 1, OWNERS_PINS_MAX, &count, err);
		request->count = (uint32_t)count;
		return r;
	case REQUEST_FLOWS:
		r = json_get_array(body, "flow", &flows, err);
		request->flows = flows;
		if (r == 0 && !json_array_size(flows))
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
					 "e.g. [\"tcp 198.18.1.2:1234 198.18.2.2:80\"]",
					 "\"flow\" names no flow");
		return r;
	case REQUEST_FILTER:
		r = json_get_str(body, "filter", &request->filter, err);
		return r < 0 ? r : parse_filter(request, err);
	default:
		return 0;
	}
}

int request_parse(const json_t *body, struct move_request *ret, struct ff_error *err)
{
	static const char *const fields[] = { "service",     "from",	   "to",      "guarantee",
					      "on_overflow", "park_limit", "slots",   "flows",
					      "flow",	     "filter",	   "precopy", NULL };
	static const char *const guarantees[] = { "order-preserving", "loss-free", "none", NULL };
	static const char *const overflows[] = { "abort", "drop", "reorder", NULL };
	struct move_request request = { 0 };
	int64_t park_limit = REQUEST_PARK_LIMIT_DEFAULT;
	bool precopy = true;
	int r;

	r = json_check_fields(body, fields, err);
	if (r == 0)
		r = json_get_str(body, "service", &request.service, err);
	if (r == 0)
		r = json_get_str(body, "from", &request.from, err);
	if (r == 0)
		r = json_get_str(body, "to", &request.to, err);
	if (r == 0)
		r = parse_choice(body, "guarantee", guarantees,
				 "one of none, loss-free, order-preserving", &request.guarantee,
				 err);
	if (r == 0)
		r = parse_choice(body, "on_overflow", overflows, "one of abort, drop, reorder",
				 &request.on_overflow, err);
	if (r == 0)
		r = json_opt_range(body, "park_limit", 1, REQUEST_PARK_LIMIT_MAX, &park_limit, err);
	if (r == 0)
		r = json_opt_bool(body, "precopy", &precopy, err);
	if (r == 0)
		r = parse_what(body, &request, err);
	if (r < 0)
		return r;
	if (!strcmp(request.from, request.to))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "choose another target",
				 "\"from\" and \"to\" are both %s", request.from);
	request.park_limit = (uint32_t)park_limit;
	request.no_precopy = !precopy;
	*ret = request;
	return 0;
}
