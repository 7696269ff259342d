/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox-proxy, a sandbox-injector or a sandbox-audit (by its own name) that lets nothing through and writes nothing, for tests of the supervisor: says that it is
 * jailed, and ends when it is told to. Ends by itself after a minute.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/signalfd.h>

#include "tests/lib/fake_child.h"
#include "vmm/base/event.h"

int main(int argc, char **argv)
{
	uint16_t kind = strstr(argv[0], "injector") ? EVENT_INJECTOR_ISOLATED
			: strstr(argv[0], "audit")  ? EVENT_AUDIT_ISOLATED
						    : EVENT_PROXY_ISOLATED;
	uint64_t layers = 0x3ff;
	uint32_t sequence = 0;
	struct pollfd fds[2];
	sigset_t set;

	end_after_a_minute();
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	event_send(atoi(option(argc, argv, "--event-fd")), &sequence, kind, &layers, 1);
	fds[0] = (struct pollfd){ .fd = signalfd(-1, &set, 0), .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = atoi(option(argc, argv, "--lifeline-fd")), .events = 0 };
	return poll(fds, 2, -1) < 0;
}
