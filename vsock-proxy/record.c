/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/record.h"

#include <string.h>

#include "policy/path.h"
#include "vmm/base/array.h"
#include "vsock-proxy/fields.h"

enum { BIT_SECURE = 1, BIT_WEBSOCKET = 2, BIT_ENCODED_SLASH = 4, BIT_QUERY = 8, BITS = 15 };

#define STATUS_SWITCHING 101

static const struct {
	enum record_type type;
	unsigned int senders;
	uint32_t min, max;
} types[] = {
	{ RECORD_REQUEST, RECORD_FROM_PROXY, 1, RECORD_PAYLOAD_MAX },
	{ RECORD_TUNNEL, RECORD_FROM_PROXY, 1, RECORD_PAYLOAD_MAX },
	{ RECORD_RESPONSE, RECORD_FROM_INJECTOR, 1, RECORD_PAYLOAD_MAX },
	{ RECORD_OPENED, RECORD_FROM_INJECTOR, 0, 0 },
	{ RECORD_DENIED, RECORD_FROM_INJECTOR, 1, 4 * RECORD_TEXT_MAX },
	{ RECORD_DATA, RECORD_FROM_PROXY | RECORD_FROM_INJECTOR, 1, RECORD_DATA_MAX },
	{ RECORD_END, RECORD_FROM_PROXY | RECORD_FROM_INJECTOR, 2, RECORD_PAYLOAD_MAX },
	{ RECORD_CREDIT, RECORD_FROM_PROXY | RECORD_FROM_INJECTOR, 4, 4 },
	{ RECORD_RESET, RECORD_FROM_PROXY | RECORD_FROM_INJECTOR, 1, 1 },
};

/* -- what may stand where -- */

static bool fields_valid(const struct record_fields *fields)
{
	if (fields->count > RECORD_FIELDS_MAX)
		return false;
	for (size_t i = 0; i < fields->count; i++)
		if (!field_name_valid(fields->list[i].name) ||
			!field_value_valid(fields->list[i].value))
			return false;
	return true;
}

static bool host_valid(const struct policy_host *host)
{
	struct policy_host again;

	return policy_host_parse(host->text, strnlen(host->text, sizeof(host->text)), &again) &&
	       again.kind == host->kind && strcmp(again.text, host->text) == 0 &&
	       memcmp(again.address, host->address, sizeof(again.address)) == 0;
}

/* `*` is what OPTIONS asks of a server as a whole (RFC 9110, section 9.3.7). */
static bool path_valid(const struct policy_request *request)
{
	struct policy_path path;

	if (strcmp(request->path, "*") == 0)
		return strcmp(request->method, "OPTIONS") == 0 && !request->has_encoded_slash &&
		       !request->query;
	return policy_path_parse(request->path, strlen(request->path), &path) &&
	       strcmp(path.text, request->path) == 0 &&
	       path.has_encoded_slash == request->has_encoded_slash;
}

static bool http_valid(const struct policy_request *request)
{
	return field_token_valid(request->method, RECORD_METHOD_MAX) && path_valid(request) &&
	       (!request->query ||
		       (strlen(request->query) <= POLICY_QUERY_MAX &&
			       policy_query_valid(request->query, strlen(request->query))));
}

static bool is_opaque(enum policy_protocol protocol)
{
	return protocol == POLICY_PROTOCOL_TLS || protocol == POLICY_PROTOCOL_TCP ||
	       protocol == POLICY_PROTOCOL_SSH;
}

static bool response_valid(const struct record_response *m)
{
	return m->status >= 100 && m->status <= 599 && m->status != STATUS_SWITCHING &&
	       fields_valid(&m->fields);
}

static bool denied_valid(const struct record_denied *m)
{
	return m->reason >= POLICY_REASON_RULE && m->reason <= POLICY_REASON_TIER &&
	       strlen(m->rule_id) <= RECORD_TEXT_MAX && strlen(m->text) <= RECORD_TEXT_MAX &&
	       strlen(m->command) <= RECORD_TEXT_MAX;
}

static bool reason_valid(uint8_t reason)
{
	return reason >= RECORD_CANCELLED && reason <= RECORD_INTERNAL;
}

/* -- reading -- */

bool record_head_decode(const uint8_t in[static RECORD_HEAD_SIZE], enum record_sender sender,
	struct record_head *ret)
{
	struct record_head head = {
		.type = in[0], .stream = load_le32(in + 4), .len = load_le32(in + 8)
	};

	if (in[1] || load_le16(in + 2) || !head.stream)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if ((uint8_t)types[i].type != head.type)
			continue;
		if (!(types[i].senders & (unsigned int)sender) || head.len < types[i].min ||
			head.len > types[i].max)
			return false;
		*ret = head;
		return true;
	}
	return false;
}

/* In place; "" and failure where it is not text. */
static const char *get_text(struct bytes_reader *r, size_t max)
{
	size_t len;
	const char *text = (const char *)bytes_get_u16_blob(r, max + 1, &len);

	if (text && len && text[len - 1] == '\0' && strlen(text) == len - 1)
		return text;
	r->failed = true;
	return "";
}

static void get_fields(struct bytes_reader *r, struct record_fields *ret)
{
	uint16_t count = bytes_get_u16(r);

	ret->count = 0;
	if (count > RECORD_FIELDS_MAX)
		r->failed = true;
	for (; ret->count < count && !r->failed; ret->count++) {
		ret->list[ret->count].name = get_text(r, RECORD_NAME_MAX);
		ret->list[ret->count].value = get_text(r, RECORD_FIELD_MAX);
	}
}

static void get_destination(struct bytes_reader *r, struct policy_request *request)
{
	const char *host;

	request->protocol = (enum policy_protocol)bytes_get_u8(r);
	request->port = bytes_get_u16(r);
	host = get_text(r, POLICY_NAME_MAX);
	if (!policy_host_parse(host, strlen(host), &request->host) ||
		strcmp(request->host.text, host) != 0 || !request->port)
		r->failed = true;
}

static void get_http(struct bytes_reader *r, struct record_request *m)
{
	struct policy_request *request = &m->request;
	uint8_t bits = bytes_get_u8(r);

	if (bits & ~BITS)
		r->failed = true;
	request->secure = bits & BIT_SECURE;
	request->websocket = bits & BIT_WEBSOCKET;
	request->has_encoded_slash = bits & BIT_ENCODED_SLASH;
	request->method = get_text(r, RECORD_METHOD_MAX);
	request->path = get_text(r, POLICY_PATH_MAX);
	if (bits & BIT_QUERY)
		request->query = get_text(r, POLICY_QUERY_MAX);
	m->content_length = bytes_get_u64(r);
	get_fields(r, &m->fields);
}

bool record_get_request(
	const struct record_head *head, const uint8_t *data, struct record_request *ret)
{
	struct bytes_reader r = bytes_reader(data, head->len);

	ret->request = (struct policy_request){};
	ret->fields.count = 0;
	ret->content_length = RECORD_LENGTH_UNKNOWN;
	get_destination(&r, &ret->request);
	if (head->type == RECORD_TUNNEL)
		return bytes_done(&r) && is_opaque(ret->request.protocol);
	get_http(&r, ret);
	return bytes_done(&r) && ret->request.protocol == POLICY_PROTOCOL_HTTP &&
	       http_valid(&ret->request) && fields_valid(&ret->fields);
}

bool record_get_response(
	const struct record_head *head, const uint8_t *data, struct record_response *ret)
{
	struct bytes_reader r = bytes_reader(data, head->len);

	ret->status = bytes_get_u16(&r);
	ret->content_length = bytes_get_u64(&r);
	get_fields(&r, &ret->fields);
	return bytes_done(&r) && response_valid(ret);
}

bool record_get_denied(
	const struct record_head *head, const uint8_t *data, struct record_denied *ret)
{
	struct bytes_reader r = bytes_reader(data, head->len);

	ret->reason = bytes_get_u8(&r);
	ret->lifts_at = bytes_get_u64(&r);
	ret->rule_id = get_text(&r, RECORD_TEXT_MAX);
	ret->text = get_text(&r, RECORD_TEXT_MAX);
	ret->command = get_text(&r, RECORD_TEXT_MAX);
	return bytes_done(&r) && denied_valid(ret);
}

bool record_get_end(const struct record_head *head, const uint8_t *data, struct record_fields *ret)
{
	struct bytes_reader r = bytes_reader(data, head->len);

	get_fields(&r, ret);
	return bytes_done(&r) && fields_valid(ret);
}

bool record_get_credit(const struct record_head *head, const uint8_t *data, uint32_t *ret_bytes)
{
	struct bytes_reader r = bytes_reader(data, head->len);
	uint32_t bytes = bytes_get_u32(&r);

	if (!bytes_done(&r) || !bytes || bytes > RECORD_CREDIT_MAX)
		return false;
	*ret_bytes = bytes;
	return true;
}

bool record_get_reset(const struct record_head *head, const uint8_t *data, enum record_reason *ret)
{
	struct bytes_reader r = bytes_reader(data, head->len);
	uint8_t reason = bytes_get_u8(&r);

	if (!bytes_done(&r) || !reason_valid(reason))
		return false;
	*ret = (enum record_reason)reason;
	return true;
}

/* -- writing -- */

/* Where the record began. */
static size_t begin(struct bytes_writer *w, enum record_type type, uint32_t stream)
{
	size_t at = w->offset;

	bytes_put_u8(w, (uint8_t)type);
	bytes_put_u8(w, 0);
	bytes_put_u16(w, 0);
	bytes_put_u32(w, stream);
	bytes_put_u32(w, 0);
	return at;
}

/* Fills in the length; a record that a reader would not take fails the writer. */
static void end(struct bytes_writer *w, size_t at, enum record_sender sender)
{
	struct record_head head;

	if (w->failed)
		return;
	store_le32(w->data + at + 8, (uint32_t)(w->offset - at - RECORD_HEAD_SIZE));
	w->failed = !record_head_decode(w->data + at, sender, &head);
}

static void put_text(struct bytes_writer *w, const char *text)
{
	size_t len = strlen(text) + 1;

	if (len > UINT16_MAX)
		w->failed = true;
	else
		bytes_put_u16_blob(w, text, len);
}

static void put_fields(struct bytes_writer *w, const struct record_fields *fields)
{
	bytes_put_u16(w, fields->count);
	for (size_t i = 0; i < fields->count && !w->failed; i++) {
		put_text(w, fields->list[i].name);
		put_text(w, fields->list[i].value);
	}
}

static void put_http(struct bytes_writer *w, const struct record_request *m)
{
	const struct policy_request *request = &m->request;

	bytes_put_u8(w, (uint8_t)((request->secure ? BIT_SECURE : 0) |
				  (request->websocket ? BIT_WEBSOCKET : 0) |
				  (request->has_encoded_slash ? BIT_ENCODED_SLASH : 0) |
				  (request->query ? BIT_QUERY : 0)));
	put_text(w, request->method);
	put_text(w, request->path);
	if (request->query)
		put_text(w, request->query);
	bytes_put_u64(w, m->content_length);
	put_fields(w, &m->fields);
}

void record_put_request(struct bytes_writer *w, uint32_t stream, const struct record_request *m)
{
	bool http = m->request.protocol == POLICY_PROTOCOL_HTTP;
	size_t at = begin(w, http ? RECORD_REQUEST : RECORD_TUNNEL, stream);

	if (!host_valid(&m->request.host) || !m->request.port ||
		(http ? !http_valid(&m->request) || !fields_valid(&m->fields)
		      : !is_opaque(m->request.protocol)))
		w->failed = true;
	bytes_put_u8(w, (uint8_t)m->request.protocol);
	bytes_put_u16(w, m->request.port);
	put_text(w, m->request.host.text);
	if (http && !w->failed)
		put_http(w, m);
	end(w, at, RECORD_FROM_PROXY);
}

void record_put_response(struct bytes_writer *w, uint32_t stream, const struct record_response *m)
{
	size_t at = begin(w, RECORD_RESPONSE, stream);

	if (!response_valid(m))
		w->failed = true;
	bytes_put_u16(w, m->status);
	bytes_put_u64(w, m->content_length);
	if (!w->failed)
		put_fields(w, &m->fields);
	end(w, at, RECORD_FROM_INJECTOR);
}

void record_put_opened(struct bytes_writer *w, uint32_t stream)
{
	end(w, begin(w, RECORD_OPENED, stream), RECORD_FROM_INJECTOR);
}

void record_put_denied(struct bytes_writer *w, uint32_t stream, const struct record_denied *m)
{
	size_t at = begin(w, RECORD_DENIED, stream);

	if (!denied_valid(m))
		w->failed = true;
	bytes_put_u8(w, m->reason);
	bytes_put_u64(w, m->lifts_at);
	put_text(w, m->rule_id);
	put_text(w, m->text);
	put_text(w, m->command);
	end(w, at, RECORD_FROM_INJECTOR);
}

void record_put_data_head(struct bytes_writer *w, uint32_t stream, uint32_t len)
{
	size_t at = begin(w, RECORD_DATA, stream);

	if (!len || len > RECORD_DATA_MAX || !stream)
		w->failed = true;
	if (!w->failed)
		store_le32(w->data + at + 8, len);
}

/* Either side's: what one may send here, the other may. */
void record_put_end(struct bytes_writer *w, uint32_t stream, const struct record_fields *trailers)
{
	static const struct record_fields none = {};
	size_t at = begin(w, RECORD_END, stream);

	trailers = trailers ? trailers : &none;
	if (!fields_valid(trailers))
		w->failed = true;
	else
		put_fields(w, trailers);
	end(w, at, RECORD_FROM_PROXY);
}

void record_put_credit(struct bytes_writer *w, uint32_t stream, uint32_t bytes)
{
	size_t at = begin(w, RECORD_CREDIT, stream);

	if (!bytes || bytes > RECORD_CREDIT_MAX)
		w->failed = true;
	bytes_put_u32(w, bytes);
	end(w, at, RECORD_FROM_PROXY);
}

void record_put_reset(struct bytes_writer *w, uint32_t stream, enum record_reason reason)
{
	size_t at = begin(w, RECORD_RESET, stream);

	if (!reason_valid((uint8_t)reason))
		w->failed = true;
	bytes_put_u8(w, (uint8_t)reason);
	end(w, at, RECORD_FROM_PROXY);
}
