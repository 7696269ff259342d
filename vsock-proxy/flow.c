/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 4096

int flow_put(struct flow *flow, const void *data, size_t len)
{
	size_t size = flow->size ? flow->size : FIRST_SIZE;
	uint8_t *bytes;

	if (!len)
		return 0;
	if (flow->first && flow->first + flow->len + len > flow->size) {
		memmove(flow->bytes, flow->bytes + flow->first, flow->len);
		flow->first = 0;
	}
	while (size < flow->len + len)
		size *= 2;
	if (size != flow->size) {
		bytes = realloc(flow->bytes, size);
		if (!bytes)
			return -ENOMEM;
		flow->bytes = bytes;
		flow->size = size;
	}
	memcpy(flow->bytes + flow->first + flow->len, data, len);
	flow->len += len;
	return 0;
}

size_t flow_peek(const struct flow *flow, const uint8_t **ret)
{
	*ret = flow->bytes ? flow->bytes + flow->first : NULL;
	return flow->len;
}

void flow_take(struct flow *flow, size_t len)
{
	flow->first += len;
	flow->len -= len;
	if (!flow->len) {
		/* A stream that stands still holds nothing. */
		free(flow->bytes);
		flow->bytes = NULL;
		flow->first = flow->size = 0;
	}
}

int flow_end(struct flow *flow, const struct record_fields *trailers)
{
	flow->ended = true;
	if (!trailers || !trailers->count)
		return 0;
	flow->trailers = flow_fields_copy(trailers);
	return flow->trailers ? 0 : -ENOMEM;
}

bool flow_is_over(const struct flow *flow)
{
	return flow->ended && !flow->len;
}

const struct record_fields *flow_trailers(const struct flow *flow)
{
	return flow->trailers ? &flow->trailers->fields : NULL;
}

void flow_finish(struct flow *flow)
{
	free(flow->bytes);
	flow_fields_free(flow->trailers);
	*flow = (struct flow){};
}

struct flow_fields *flow_fields_copy(const struct record_fields *fields)
{
	struct flow_fields *copy = malloc(sizeof(*copy));
	size_t size = 0;
	char *at;

	if (!copy)
		return NULL;
	for (uint16_t i = 0; i < fields->count; i++)
		size += strlen(fields->list[i].name) + strlen(fields->list[i].value) + 2;
	copy->text = at = malloc(size + 1);
	if (!at) {
		free(copy);
		return NULL;
	}
	copy->fields.count = fields->count;
	for (uint16_t i = 0; i < fields->count; i++) {
		copy->fields.list[i].name = strcpy(at, fields->list[i].name);
		at += strlen(at) + 1;
		copy->fields.list[i].value = strcpy(at, fields->list[i].value);
		at += strlen(at) + 1;
	}
	return copy;
}

void flow_fields_free(struct flow_fields *fields)
{
	if (!fields)
		return;
	free(fields->text);
	free(fields);
}
