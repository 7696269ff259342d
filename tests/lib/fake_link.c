/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox-link without a guest, for tests of the supervisor: says that it is isolated and the agent ready, answers EXEC by
 * STARTED and EXIT 7, makes a main command end with code 3 at once, and turns SHUTDOWN into a byte for fake_vmm. Named
 * "slow*" or "mute*" it never gets ready; "refused*" its guest cannot be set up; "lost*" its agent is lost once it was
 * ready; "walled*" it finds no isolation and says so; "long*" its command ends with the guest, which takes a second to go;
 * "off*" its guest powers off at once; "flood*" it never stops sending records once it is ready, as a hijacked one might. Ends by itself after
 * a minute.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-agent/protocol/stream.h"
#include "tests/lib/fake_child.h"
#include "vmm/base/array.h"
#include "vmm/base/event.h"
#include "vmm/base/fdio.h"
#include "vmm/jail/jail.h"
#include "vmm/link/control.h"

static uint32_t sequence;

static void say(int fd, uint16_t kind, uint64_t value, uint64_t second)
{
	uint64_t values[] = { value, second };

	event_send(fd, &sequence, kind, values, 2);
}

/* Several at once, each waiting until there is room: the supervisor's socket is never seen empty. */
static void flood(int fd)
{
	static const uint16_t kinds[] = { EVENT_AGENT_HEALTH, EVENT_LINK_ISOLATED };
	uint8_t wire[EVENT_SIZE];

	for (int i = 0; i < 3 && fork() != 0; i++)
		;
	for (unsigned int turn = 0;; turn++) {
		event_encode(&(struct event){ .kind = kinds[turn % 2], .value = { 0x3ff } }, wire);
		if (send(fd, wire, sizeof(wire), MSG_NOSIGNAL) < 0)
			_exit(0);
	}
}

static void answer_exec(int fd)
{
	uint8_t frame[STREAM_FIXED_MAX];
	size_t len = stream_started_frame(1, frame);

	if (fdio_write_full(fd, frame, len) < 0)
		return;
	len = stream_exit_frame(&(struct stream_exit){ STREAM_EXITED, 7 }, frame);
	fdio_write_full(fd, frame, len);
}

/* A guest that powers off: what ran in it is lost before the machine ends. */
static void end_slowly(int event)
{
	say(event, EVENT_SESSION_ENDED, LINK_SESSION_FAILED, 0);
	sleep(1);
}

static bool take_request(const char *name, int control, int vsock, int event)
{
	bool lasts = strncmp(name, "long", 4) == 0;
	static uint8_t packet[LINK_CONTROL_HEAD + LINK_CONTROL_BODY_MAX];
	struct link_request request;
	int fds[1] = { -1 };
	size_t count = 0;
	ssize_t n = fdio_recv_fds(control, packet, sizeof(packet), fds, 1, &count);

	if (n <= 0 || !link_control_decode(packet, (size_t)n, &request))
		return false;
	if (request.op == LINK_OP_SHUTDOWN && lasts)
		end_slowly(event);
	if (request.op == LINK_OP_SHUTDOWN && write(vsock, "x", 1) < 0)
		return false;
	if (request.op == LINK_OP_SESSION_START && !lasts)
		say(event, EVENT_SESSION_ENDED, 3, 0);
	if ((request.op == LINK_OP_EXEC || request.op == LINK_OP_SESSION_ATTACH) && count)
		answer_exec(fds[0]);
	if (count)
		close(fds[0]);
	return true;
}

int main(int argc, char **argv)
{
	const char *name = option(argc, argv, "--name");
	int event = atoi(option(argc, argv, "--event-fd")),
	    vsock = atoi(option(argc, argv, "--vsock-fd"));
	struct pollfd fds[3];
	sigset_t set;
	char running;

	end_after_a_minute();
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fds[0] = (struct pollfd){ .fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN };
	fds[1] =
		(struct pollfd){ .fd = atoi(option(argc, argv, "--control-fd")), .events = POLLIN };
	fds[2] = (struct pollfd){ .fd = atoi(option(argc, argv, "--lifeline-fd")) };
	if (strncmp(name, "walled", 6) == 0) {
		static const char words[] = "fake_link: error: no such wall here\n"
					    "fake_link: error: " JAIL_FIX_MARK "build one\n";

		return write(STDERR_FILENO, words, sizeof(words) - 1) > 0;
	}
	say(event, EVENT_LINK_ISOLATED, 0x3ff, 0);
	if (read(vsock, &running, 1) != 1)
		return 0;
	if ((strncmp(name, "crash", 5) == 0 || strncmp(name, "off", 3) == 0) &&
		write(vsock, "x", 1) < 0)
		return 1;
	if (strncmp(name, "refused", 7) == 0)
		say(event, EVENT_AGENT_REFUSED, ENODEV, PROTOCOL_STAGE_MOUNT);
	else if (strncmp(name, "slow", 4) != 0 && strncmp(name, "mute", 4) != 0)
		say(event, EVENT_AGENT_READY, 1000, 0);
	if (strncmp(name, "flood", 5) == 0)
		flood(event);
	if (strncmp(name, "lost", 4) == 0)
		say(event, EVENT_AGENT_LOST, 0, 0);
	while (poll(fds, ARRAY_SIZE(fds), -1) >= 0) {
		if (fds[2].revents || fds[0].revents)
			return 0;
		if (fds[1].revents && !take_request(name, fds[1].fd, vsock, event))
			return 0;
	}
	return 1;
}
