/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything a hostile guest can say to sandbox-proxy without a TLS key of its own, against injectors that answer. The first byte
 * chooses: 0 the stream from its first byte; 1 after an agent's head for port 80; 2 after that of a proxy's client; 3 an opaque port; 4
 * HTTP/2 as inside TLS, behind its preface. Then pieces, each with its length before it. The proxy lives on between inputs, as it
 * does between a guest's streams: nothing of one may be left when it is over.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/protocol/egress.h"
#include "tests/lib/proxy_rig.h"
#include "vmm/base/array.h"
#include "vsock-proxy/guest_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char policy[] =
	"{\"version\":1,\"rules\":["
	"{\"id\":\"a\",\"action\":\"allow\",\"host\":\"a.test\",\"port\":[80,443],\"paths\":[\"/v1/**\"],\"websocket\":true},"
	"{\"id\":\"t\",\"action\":\"allow\",\"host\":\"a.test\",\"protocol\":\"tcp\",\"port\":7000}]}";

static struct rig rig;
static char out[256 << 10];

static void drain(int fd)
{
	bool end;

	rig_read(&rig, fd, out, sizeof(out), &end);
	rig_events(&rig, AUDIT_DENIED, NULL);
}

static void over_a_stream(unsigned int mode, const uint8_t *data, size_t size)
{
	static const struct {
		uint8_t kind;
		const char *host;
		uint16_t port;
	} heads[] = { { 0, NULL, 0 }, { EGRESS_CAPTURED, "a.test", 80 }, { EGRESS_PROXY, "", 0 },
		{ EGRESS_CAPTURED, "a.test", 7000 } };
	uint8_t verdict;
	int fd = mode ? rig_open(&rig, heads[mode].kind, heads[mode].host, heads[mode].port,
				&verdict)
		      : rig_stream(&rig);

	while (size) {
		size_t piece = MIN((size_t)data[0] * 8 + 1, size - 1);

		rig_write(&rig, fd, data + 1, piece);
		drain(fd);
		data += piece + 1;
		size -= piece + 1;
	}
	close(fd);
}

static void nothing(void *owner)
{
	(void)owner;
}

static void over_http2(const uint8_t *data, size_t size)
{
	static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	static const struct guest_http_ops ops = { nothing, nothing };
	static struct policy_host host;
	struct exchange_place place = { &rig.proxy[0], &host, 443, true };
	struct guest_http *http = NULL;
	ssize_t r;

	if (!policy_host_parse("a.test", 6, &host) ||
		guest_http_create(&place, true, &ops, NULL, &http) < 0)
		return;
	r = guest_http_receive(http, preface, sizeof(preface));
	while (size && r >= 0) {
		size_t piece = MIN((size_t)data[0] * 8 + 1, size - 1);

		r = guest_http_receive(http, data + 1, piece);
		rig_settle(&rig);
		while (guest_http_pull(http, (uint8_t *)out, sizeof(out)))
			rig_settle(&rig);
		data += piece + 1;
		size -= piece + 1;
	}
	guest_http_destroy(http);
	rig_events(&rig, AUDIT_DENIED, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!rig.loop)
		rig_init(&rig, policy, 0, 0);
	if (!size)
		return 0;
	if (data[0] % 5 == 4)
		over_http2(data + 1, size - 1);
	else
		over_a_stream(data[0] % 5, data + 1, size - 1);
	rig_settle(&rig);
	if (rig.proxy->session_count || rig.proxy->users)
		abort(); /* what is over must leave nothing */
	return 0;
}
