/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit_forward.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

void audit_forward_init(struct audit_forward *f)
{
	*f = (struct audit_forward){ .fd = -1 };
}

void audit_forward_finish(struct audit_forward *f)
{
	loop_remove(f->timer);
	close_keeping_errno(f->fd);
	audit_forward_init(f);
}

const char *audit_forward_word(const struct audit_forward *f)
{
	return f->kind == FORWARD_JOURNALD ? "journald" : "syslog";
}

/* A datagram socket may be connected again and again, whoever else holds it. */
static int reach(const struct audit_forward *f, int fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->path);
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

int audit_forward_open(
	struct audit_forward *f, enum forward_kind kind, const char *path, struct err *err)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (kind == FORWARD_NONE)
		return 0;
	f->kind = kind;
	f->path = kind == FORWARD_JOURNALD ? FORWARD_JOURNALD_PATH : FORWARD_SYSLOG_PATH;
	f->path = path ? path : f->path;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : reach(f, fd);
	if (r < 0) {
		err_set(err, r, "audit.forward: %s: %s", f->path, strerror(-r));
		return err_next_step(
			err, "take it out of config.json, or start what listens there");
	}
	f->fd = TAKE_FD(fd);
	return 0;
}

static void try_again(void *data)
{
	struct audit_forward *f = data;
	int r = reach(f, f->fd);

	if (r < 0) {
		f->error = -r;
		loop_timer_set(f->timer, backoff_next(&f->backoff));
		return;
	}
	f->error = 0;
	f->cut = false;
	log_warn("the audit log is forwarded to %s again", audit_forward_word(f));
}

int audit_forward_watch(struct audit_forward *f, struct loop *loop)
{
	return f->fd < 0 ? 0 : loop_add_timer(loop, try_again, f, &f->timer);
}

void audit_forward_begin(struct audit_forward *f)
{
	f->lost_before += f->lost;
	f->lost = 0;
}

/* Nobody is at the other end; a full queue is no such thing. */
static bool is_cut(int error)
{
	return error && error != EAGAIN && error != ENOBUFS && error != EMSGSIZE;
}

void audit_forward_told(struct audit_forward *f, int error, uint64_t lost)
{
	if (f->fd < 0)
		return;
	f->lost = lost;
	if (!f->cut)
		f->error = error;
	if (!is_cut(error) || f->cut)
		return;
	f->cut = true;
	log_error("the audit log is not forwarded to %s any more: %s", audit_forward_word(f),
		strerror(error));
	loop_timer_set(f->timer, backoff_next(&f->backoff));
}
