/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One direction of a message's body between two ends that take bytes at their own pace: what came and has not gone on, in order,
 * then its end, with trailers if any. It grows with what is put into it; who puts more than it was given credit for is
 * the owner's to bound. Pure but for memory.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vsock-proxy/record.h"

/* Fields with text of their own. */
struct flow_fields {
	struct record_fields fields;
	char *text;
};

struct flow {
	uint8_t *bytes;
	size_t first, len, size;
	bool ended; /* no more will be put */
	struct flow_fields *trailers; /* NULL: none */
};

/* -ENOMEM. */
int flow_put(struct flow *flow, const void *data, size_t len);
/* What is next, in one piece: *ret of so many bytes. */
size_t flow_peek(const struct flow *flow, const uint8_t **ret);
void flow_take(struct flow *flow, size_t len);
/* trailers (NULL: none) are copied. */
int flow_end(struct flow *flow, const struct record_fields *trailers);
/* All that was put is taken, and the end has come. */
bool flow_is_over(const struct flow *flow);
const struct record_fields *flow_trailers(const struct flow *flow); /* NULL: none */
void flow_finish(struct flow *flow);

/* NULL: no memory. */
struct flow_fields *flow_fields_copy(const struct record_fields *fields);
void flow_fields_free(struct flow_fields *fields);
