/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox-vmm without a machine, for tests of the supervisor: takes the real one's arguments, says what it would say, and
 * ends as the sandbox's name asks: "crash*" ends by a triple fault at once, "deaf*" ignores TERM and the guest's power-off,
 * "mute*" dies without a word, "off*" says nothing of its machine's end, as if its socket were full,. A byte on the vsock socket is the guest powering off. "links*" refuses changes of a file. Ends by itself after a minute.
 */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tests/lib/fake_child.h"
#include "vmm/base/array.h"
#include "vmm/base/event.h"

static uint32_t sequence;

static void say(int fd, uint16_t kind, uint64_t value)
{
	event_send(fd, &sequence, kind, &value, 1);
}

static bool is_named(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Changes of one file in the workspace were refused (S4), and of shares that are not the user's. */
static void say_refused(int fd, int argc, char **argv)
{
	uint64_t values[4] = { 0, 3, 7, 4711 };
	uint32_t share = 0;

	for (int i = 1; i + 1 < argc; i++) {
		if (strcmp(argv[i], "--share") != 0)
			continue;
		if (strncmp(argv[i + 1], "workspace,", 10) == 0)
			values[0] = share;
		share++;
	}
	event_send(fd, &sequence, EVENT_VMM_SHARE_REFUSED, values, ARRAY_SIZE(values));
	values[0] = 1000;
	event_send(fd, &sequence, EVENT_VMM_SHARE_REFUSED, values, ARRAY_SIZE(values));
	values[0] = 0;
	event_send(fd, &sequence, EVENT_VMM_SHARE_REFUSED, values, ARRAY_SIZE(values));
}

/* What its main returns then. */
static int end_as(const char *name, int event, enum machine_end end)
{
	if (!is_named(name, "off"))
		say(event, EVENT_VMM_ENDED, end);
	return machine_end_exit_code(end);
}

int main(int argc, char **argv)
{
	const char *name = option(argc, argv, "--name");
	int event = atoi(option(argc, argv, "--event-fd"));
	bool deaf = is_named(name, "deaf");
	struct pollfd fds[3];
	sigset_t set;

	end_after_a_minute();
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fds[0] = (struct pollfd){ .fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = atoi(option(argc, argv, "--vsock-fd")), .events = POLLIN };
	fds[2] = (struct pollfd){ .fd = atoi(option(argc, argv, "--lifeline-fd")) };
	say(event, EVENT_VMM_ISOLATED, 0x3ff);
	say(event, EVENT_VMM_RUNNING, 1);
	if (is_named(name, "links"))
		say_refused(event, argc, argv);
	if (write(fds[1].fd, "r", 1) != 1) /* the guest runs: fake_link waits for that */
		return 1;
	if (is_named(name, "mute")) {
		fprintf(stderr, "sandbox-vmm: error: cannot go on\n");
		return 1;
	}
	while (poll(fds, deaf ? 3 : ARRAY_SIZE(fds), -1) >= 0) {
		if (fds[2].revents)
			return 1;
		if (fds[1].revents & POLLHUP)
			fds[1].fd = -1; /* the link is gone: not the guest's doing */
		else if (fds[1].revents && is_named(name, "crash")) {
			return end_as(name, event, MACHINE_END_TRIPLE_FAULT);
		} else if (fds[1].revents && !deaf) {
			return end_as(name, event, MACHINE_END_POWEROFF);
		}
		if (fds[0].revents && !deaf) {
			return end_as(name, event, MACHINE_END_STOPPED);
		}
		if (deaf)
			fds[0].fd = fds[1].fd = -1;
	}
	return 1;
}
