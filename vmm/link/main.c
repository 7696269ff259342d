/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox-link: from its command line to its end. Nothing is decided here; this file is the order in which things are done:
 * WELCOME is read, the root is left for one that holds at most /sockets, the link is set up, restricted and sealed; then it
 * runs until the supervisor is gone or says SIGTERM. Exit code 0 after any such end.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/protocol/frame.h"
#include "vmm/base/event.h"
#include "vmm/base/fdio.h"
#include "vmm/base/log.h"
#include "vmm/jail/jail.h"
#include "vmm/jail/seccomp_table.h"
#include "vmm/link/link.h"
#include "vmm/link/options.h"

#define SOCKETS "/sockets" /* in our root */

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct process {
	struct link_options options;
	struct jail_plan plan;
	struct jail_bind sockets;
	uint32_t layers;
	struct loop *loop;
	struct link *link;
	void *welcome;
	int signal_fd;
	bool stopping;
};

static void on_stop(void *data, uint32_t events)
{
	(void)events;
	((struct process *)data)->stopping = true;
}

/* As pid 1 of a namespace an unblocked signal would be dropped: they are read from an fd. */
static int take_signals(struct process *p, struct err *err)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signal_fd < 0)
		return err_set(err, -errno, "signals: %m");
	r = loop_add_fd(p->loop, p->signal_fd, EPOLLIN, on_stop, p, NULL);
	/* Nothing is ever written to the lifeline: its end is the supervisor's. */
	if (r == 0 && p->options.lifeline_fd >= 0)
		r = loop_add_fd(p->loop, p->options.lifeline_fd, 0, on_stop, p, NULL);
	return r < 0 ? err_set(err, r, "signals: %s", strerror(-r)) : 0;
}

static int read_welcome(struct process *p, struct err *err)
{
	struct stat st;
	int r;

	if (fstat(p->options.welcome_fd, &st) < 0)
		return err_set(err, -errno, "WELCOME: %m");
	if (st.st_size <= 0 || st.st_size > PROTOCOL_WELCOME_MAX)
		return err_set(err, -EINVAL, "WELCOME: of %lld bytes", (long long)st.st_size);
	p->options.config.welcome_len = (size_t)st.st_size;
	p->welcome = malloc(p->options.config.welcome_len);
	if (!p->welcome)
		return err_set(err, -ENOMEM, "WELCOME: no memory");
	r = fdio_pread_full(p->options.welcome_fd, p->welcome, p->options.config.welcome_len, 0);
	close(p->options.welcome_fd);
	p->options.config.welcome = p->welcome;
	return r < 0 ? err_set(err, r, "WELCOME: %s", strerror(-r)) : 0;
}

static int leave_the_host(struct process *p, struct err *err)
{
	int r;

	p->sockets = (struct jail_bind){
		.source = p->options.socket_folder, .target = SOCKETS, .readonly = true
	};
	p->plan = (struct jail_plan){ .process = "sandbox-link",
		.lifeline_fd = p->options.lifeline_fd,
		.binds = &p->sockets,
		.bind_count = p->options.socket_folder ? 1 : 0 };
	p->options.config.owner_uid = geteuid();
	p->options.config.socket_folder = p->options.unjailed ? p->options.socket_folder : SOCKETS;
	if (p->options.unjailed)
		return 0;
	r = jail_begin(&p->plan, err);
	return r < 0 ? r : jail_build_root(&p->plan, err);
}

static int seal(struct process *p, struct err *err)
{
	uint32_t sequence = 0;
	uint64_t layers;
	int r = p->options.unjailed ? 0 : jail_restrict(&p->plan, &p->layers, err);

	if (r == 0 && !p->options.unjailed)
		r = jail_seal(&p->plan, &seccomp_link, &p->layers, err);
	if (r < 0)
		return r;
	layers = p->layers;
	if (p->options.config.event_fd >= 0)
		event_send(p->options.config.event_fd, &sequence, EVENT_LINK_ISOLATED, &layers, 1);
	return 0;
}

static int set_up(struct process *p, struct err *err)
{
	int r = loop_create(&p->loop);

	if (r < 0)
		return err_set(err, r, "loop: %s", strerror(-r));
	r = take_signals(p, err);
	if (r == 0)
		r = read_welcome(p, err);
	if (r == 0)
		r = leave_the_host(p, err);
	if (r == 0)
		r = seal(p, err);
	/* Only fds are worked on from here, so that what parses runs sealed from its first byte. */
	return r == 0 ? link_create(p->loop, &p->options.config, &p->link, err) : r;
}

static void report_failure(const struct process *p, const struct err *err)
{
	uint32_t sequence = 0;

	log_error("%s", err->text);
	if (err->next_step[0])
		log_error(JAIL_FIX_MARK "%s", err->next_step);
	if (p->options.config.event_fd >= 0)
		event_send(p->options.config.event_fd, &sequence, EVENT_LINK_FAILED,
			(uint64_t[]){ (uint64_t)-err->code }, 1);
}

int main(int argc, char **argv)
{
	static struct process p;
	struct err err = {};

	log_set_process("sandbox-link");
	if (link_options_parse(&p.options, argc, argv, &err) < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	if (set_up(&p, &err) < 0) {
		report_failure(&p, &err);
		return EXIT_FAILED;
	}
	while (!p.stopping && link_run_once(p.link, -1))
		;
	link_destroy(p.link);
	loop_destroy(p.loop);
	free(p.welcome);
	return 0;
}
