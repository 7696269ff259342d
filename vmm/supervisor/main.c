/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox-supervisor: one sandbox's supervisor. Started by sandboxctl with the spec and a progress pipe at fixed fds
 * (progress.h), never by hand.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/log.h"
#include "vmm/supervisor/progress.h"
#include "vmm/supervisor/supervisor.h"

/* A session and a process group of its own, which all children stay in; orphans of them come to us. */
static int lead(void)
{
	struct rlimit none = {};

	umask(077);
	if (setsid() < 0 && getpgid(0) != getpid())
		return -errno;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return -errno;
	return setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
}

static int read_spec(struct spec *ret, struct err *err)
{
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *text = NULL;
	char path[64];
	size_t len;
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", PROGRESS_SPEC_FD);
	r = fdio_read_file(AT_FDCWD, path, SPEC_TEXT_MAX, &text, &len);
	if (r < 0)
		return err_set(err, r, "spec: %s", strerror(-r));
	r = json_parse_object(text, len, SPEC_TEXT_MAX, "spec", &json, err);
	return r < 0 ? r : spec_decode(json, ret, err);
}

int main(int argc, char **argv)
{
	bool check = argc == 2 && strcmp(argv[1], PROGRESS_CHECK) == 0;
	struct err err = {};
	struct spec spec;
	int environment_fd, r;

	log_set_process("sandbox-supervisor");
	if ((argc != 1 && !check) || fcntl(PROGRESS_SPEC_FD, F_GETFD) < 0 ||
		fcntl(PROGRESS_FD, F_GETFD) < 0) {
		fprintf(stderr, "sandbox-supervisor: started by `sandboxctl start`, not by hand\n");
		return 2;
	}
	fcntl(PROGRESS_FD, F_SETFD, FD_CLOEXEC);
	environment_fd = fcntl(PROGRESS_ENVIRONMENT_FD, F_SETFD, FD_CLOEXEC) < 0
				 ? -1
				 : PROGRESS_ENVIRONMENT_FD;
	r = lead();
	if (r < 0) {
		log_error("cannot lead a session: %s", strerror(-r));
		return 1;
	}
	if (read_spec(&spec, &err) < 0) {
		log_error("%s", err.text);
		return 1;
	}
	close(PROGRESS_SPEC_FD);
	r = check ? supervisor_check(&spec, PROGRESS_FD, environment_fd)
		  : supervisor_run(&spec, PROGRESS_FD, environment_fd);
	spec_finish(&spec);
	return r;
}
