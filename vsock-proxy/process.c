/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/process.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>

#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/base/parse.h"
#include "vmm/jail/seccomp_table.h"

#define HEAP_KEPT (1 << 20)

static const struct process_option *find(
	const struct process_option *options, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(options[i].word, word))
			return &options[i];
	return NULL;
}

static bool is_given(const struct process_option *o)
{
	return o->fd ? *o->fd >= 0 : *o->text != NULL;
}

int process_options_parse(const struct process_option *options, size_t count, bool *ret_unjailed,
	int argc, char **argv, struct err *err)
{
	*ret_unjailed = false;
	for (size_t i = 0; i < count; i++) {
		if (options[i].fd)
			*options[i].fd = -1;
		else
			*options[i].text = NULL;
	}
	for (int i = 1; i < argc; i++) {
		const struct process_option *o = find(options, count, argv[i]);

		if (!strcmp(argv[i], "--unjailed")) {
			*ret_unjailed = true;
			continue;
		}
		if (!o)
			return err_set(err, -EINVAL, "unknown option: %s", argv[i]);
		if (i + 1 == argc)
			return err_set(err, -EINVAL, "%s: a value is missing", argv[i]);
		if (!o->fd)
			*o->text = argv[++i];
		else if (!parse_int(argv[++i], 0, INT_MAX, o->fd))
			return err_set(err, -EINVAL, "%s: not a number of an fd: %s", argv[i - 1],
				argv[i]);
	}
	for (size_t i = 0; i < count; i++)
		if (options[i].needed && !is_given(&options[i]))
			return err_set(err, -EINVAL, "%s is missing", options[i].word);
	return 0;
}

static void on_stop(void *data, uint32_t events)
{
	(void)events;
	((struct process *)data)->stopping = true;
}

int process_begin(struct process *p, struct err *err)
{
	int r = loop_create(&p->loop), fd;
	sigset_t set;

	if (r < 0)
		return err_set(err, r, "loop: %s", strerror(-r));
	/* Buffers come and go with each request: not to the kernel and back each time. */
	mallopt(M_TRIM_THRESHOLD, HEAP_KEPT);
	mallopt(M_MMAP_THRESHOLD, HEAP_KEPT);
	mallopt(M_MXFAST,
		0); /* what is in its bins is looked through whenever a large block is freed */
	tzset(); /* OpenSSL asks for local time; /etc is out of reach later */
	/* As pid 1 of a namespace an unblocked signal would be dropped: they are read from an fd. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	r = fd < 0 ? -errno : loop_add_fd(p->loop, fd, EPOLLIN, on_stop, p, NULL);
	if (r == 0 && p->plan.lifeline_fd >= 0)
		r = loop_add_fd(p->loop, p->plan.lifeline_fd, 0, on_stop, p, NULL);
	return r < 0 ? err_set(err, r, "signals: %s", strerror(-r)) : 0;
}

int process_leave_host(struct process *p, struct err *err)
{
	int r;

	if (p->unjailed)
		return 0;
	r = jail_begin(&p->plan, err);
	return r < 0 ? r : jail_build_root(&p->plan, err);
}

int process_seal(struct process *p, const struct seccomp_table *table, struct err *err)
{
	uint32_t sequence = 0;
	uint64_t layers;
	int r = p->unjailed ? 0 : jail_restrict(&p->plan, &p->layers, err);

	if (r == 0 && !p->unjailed)
		r = jail_seal(&p->plan, table, &p->layers, err);
	if (r < 0)
		return r;
	layers = p->layers;
	if (p->event_fd >= 0)
		event_send(p->event_fd, &sequence, p->isolated_kind, &layers, 1);
	return 0;
}

int process_failed(const struct process *p, const struct err *err)
{
	uint32_t sequence = 0;
	uint64_t code = (uint64_t)-err->code;

	log_error("%s", err->text);
	if (err->next_step[0])
		log_error(JAIL_FIX_MARK "%s", err->next_step);
	if (p->event_fd >= 0)
		event_send(p->event_fd, &sequence, p->failed_kind, &code, 1);
	return PROCESS_EXIT_FAILED;
}
