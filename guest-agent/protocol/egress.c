/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/protocol/egress.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"

#define REQUEST_HEAD 6
#define ANSWER_HEAD  4
#define ANSWER_BODY  (EGRESS_ANSWER_MAX - ANSWER_HEAD)

static bool request_valid(const struct egress_request *m)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.:";
	size_t len = strnlen(m->host, sizeof(m->host));

	if (len > EGRESS_HOST_MAX || m->host[strspn(m->host, plain)])
		return false;
	if (m->kind == EGRESS_PROXY || m->kind == EGRESS_REPORTS)
		return !len && !m->port;
	return m->kind == EGRESS_CAPTURED && len && m->port;
}

static bool text_valid(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	return len < size;
}

static bool answer_valid(const struct egress_answer *m)
{
	if (m->verdict < EGRESS_ACCEPTED || m->verdict > EGRESS_STOPPED)
		return false;
	if (!text_valid(m->rule, sizeof(m->rule)) || !text_valid(m->reason, sizeof(m->reason)) ||
		!text_valid(m->command, sizeof(m->command)))
		return false;
	if (m->verdict == EGRESS_ACCEPTED)
		return !m->lifts_at_s && !m->rule[0] && !m->reason[0] && !m->command[0];
	return m->reason[0];
}

size_t egress_request_encode(
	const struct egress_request *request, uint8_t out[static EGRESS_REQUEST_MAX])
{
	struct bytes_writer w = bytes_writer(out, EGRESS_REQUEST_MAX);

	if (!request_valid(request))
		return 0;
	bytes_put_u8(&w, EGRESS_VERSION);
	bytes_put_u8(&w, request->kind);
	bytes_put_u16(&w, request->port);
	bytes_put_text(&w, request->host);
	return w.failed ? 0 : w.offset;
}

int egress_request_decode(const void *data, size_t len, struct egress_request *ret)
{
	struct egress_request request = {};
	struct bytes_reader r = bytes_reader(data, len);
	const uint8_t *bytes = data;

	if ((len >= 1 && bytes[0] != EGRESS_VERSION) ||
		(len >= 2 && (bytes[1] < EGRESS_CAPTURED || bytes[1] > EGRESS_REPORTS)))
		return -EPROTO;
	if (len < REQUEST_HEAD)
		return 0;
	(void)bytes_get_u8(&r);
	request.kind = bytes_get_u8(&r);
	request.port = bytes_get_u16(&r);
	if (load_le16(bytes + 4) > EGRESS_HOST_MAX)
		return -EPROTO;
	if (len - REQUEST_HEAD < load_le16(bytes + 4))
		return 0;
	if (!bytes_get_text(&r, request.host, sizeof(request.host)) || !request_valid(&request))
		return -EPROTO;
	*ret = request;
	return (int)r.offset;
}

size_t egress_answer_encode(
	const struct egress_answer *answer, uint8_t out[static EGRESS_ANSWER_MAX])
{
	struct bytes_writer w = bytes_writer(out, EGRESS_ANSWER_MAX);

	if (!answer_valid(answer))
		return 0;
	bytes_put_u8(&w, EGRESS_VERSION);
	bytes_put_u8(&w, answer->verdict);
	bytes_put_u16(&w, 0);
	if (answer->verdict != EGRESS_ACCEPTED) {
		bytes_put_u64(&w, answer->lifts_at_s);
		bytes_put_text(&w, answer->rule);
		bytes_put_text(&w, answer->reason);
		bytes_put_text(&w, answer->command);
	}
	if (w.failed)
		return 0;
	store_le16(out + 2, (uint16_t)(w.offset - ANSWER_HEAD));
	return w.offset;
}

static bool get_denial(struct bytes_reader *r, struct egress_answer *answer)
{
	answer->lifts_at_s = bytes_get_u64(r);
	return bytes_get_text(r, answer->rule, sizeof(answer->rule)) &&
	       bytes_get_text(r, answer->reason, sizeof(answer->reason)) &&
	       bytes_get_text(r, answer->command, sizeof(answer->command));
}

int egress_answer_decode(const void *data, size_t len, struct egress_answer *ret)
{
	struct egress_answer answer = {};
	const uint8_t *bytes = data;
	struct bytes_reader r;
	size_t body;

	if ((len >= 1 && bytes[0] != EGRESS_VERSION) ||
		(len >= 2 && (bytes[1] < EGRESS_ACCEPTED || bytes[1] > EGRESS_STOPPED)))
		return -EPROTO;
	if (len < ANSWER_HEAD)
		return 0;
	answer.verdict = bytes[1];
	body = load_le16(bytes + 2);
	if (body > ANSWER_BODY || !body != (answer.verdict == EGRESS_ACCEPTED))
		return -EPROTO;
	if (len - ANSWER_HEAD < body)
		return 0;
	r = bytes_reader(bytes + ANSWER_HEAD, body);
	if ((body && !get_denial(&r, &answer)) || !bytes_done(&r) || !answer_valid(&answer))
		return -EPROTO;
	*ret = answer;
	return (int)(ANSWER_HEAD + body);
}

const char *egress_verdict_word(uint8_t verdict)
{
	static const char *const words[] = { "unknown", "accepted", "denied", "limited",
		"unreachable", "stopped" };

	return words[verdict < ARRAY_SIZE(words) ? verdict : 0];
}
