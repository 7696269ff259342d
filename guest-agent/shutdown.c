/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/shutdown.h"

#include <errno.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/loop.h"

#define POLL_MS 10

static void nap(void)
{
	struct timespec ts = { .tv_nsec = POLL_MS * 1000000 };

	(void)nanosleep(&ts, NULL);
}

/* Reaps until there is nobody left (true), or the time is up. */
static bool reap_all(uint64_t limit_ms)
{
	uint64_t until = clock_monotonic_ms() + limit_ms;

	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0 && errno == ECHILD)
			return true;
		if (pid > 0)
			continue;
		if (clock_monotonic_ms() >= until)
			return false;
		nap();
	}
}

static void detach_shares(const struct protocol_welcome *welcome)
{
	for (int i = welcome ? welcome->mount_count - 1 : -1; i >= 0; i--)
		if (welcome->mount[i].role == PROTOCOL_ROLE_PLAIN)
			(void)umount2(welcome->mount[i].target, MNT_DETACH);
}

static void sync_in_child(const struct protocol_welcome *welcome)
{
	pid_t pid = fork();

	if (pid == 0) {
		sync();
		detach_shares(welcome);
		_exit(0);
	}
	(void)reap_all(SHUTDOWN_SYNC_MS);
}

void shutdown_now(enum protocol_shutdown_kind kind, const struct protocol_welcome *welcome)
{
	(void)kill(-1, SIGTERM);
	(void)kill(-1, SIGCONT);
	(void)kill(-1, SIGHUP); /* shells do not end on TERM */
	if (!reap_all(SHUTDOWN_TERM_MS)) {
		(void)kill(-1, SIGKILL);
		(void)reap_all(SHUTDOWN_KILL_MS);
	}
	sync_in_child(welcome);
	(void)reboot(kind == PROTOCOL_SHUTDOWN_REBOOT ? RB_AUTOBOOT : RB_POWER_OFF);
	/* A machine that has no such power: nothing is left to run, and PID 1 must not end. */
	for (;;)
		pause();
}
