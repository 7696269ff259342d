/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh's ProxyCommand: an SSH server in the guest, as root in inetd mode, with its pipes here. The image's own sshd where it has
 * one, else dropbear of the tools layer (images/tools/fetch). What both need was put under /run/sandbox/ssh by the supervisor
 * (its ssh_keys.h says what).
 */
#include "vmm/sandboxctl/guest_exec.h"

static const struct option_def options[] = { OPTIONS_COMMON };

static const char server_script[] =
	"keys=/run/sandbox/ssh tools=/run/sandbox/tools/bin\n"
	"hostkey=$keys/host_dropbear\n"
	"if [ -x /usr/sbin/sshd ]; then\n"
	"	mkdir -p -m 0755 /run/sshd\n"
	"	exec /usr/sbin/sshd -i -e -f $keys/sshd_config\n"
	"fi\n"
	"if [ ! -x $tools/dropbear ]; then\n"
	"	echo 'sandboxctl: no SSH server in this guest: run images/tools/fetch on the host, then sandboxctl restart' >&2\n"
	"	exit 127\n"
	"fi\n"
	"if [ ! -s $hostkey ]; then\n"
	"	umask 077\n"
	"	$tools/dropbearconvert openssh dropbear $keys/host_ed25519 $hostkey.$$ >/dev/null 2>&1 &&\n"
	"	mv $hostkey.$$ $hostkey || exit 126\n"
	"fi\n"
	"umask 022\n"
	"exec $tools/dropbear -i -E -m -s -w -W 1048576 -r $hostkey 2>/dev/null\n";

static const char *const server_argv[] = { "/bin/sh", "-c", server_script, NULL };

static int run(struct invocation *in)
{
	const struct guest_exec exec = {
		.argv = server_argv, .user = "root", .folder = "/", .tty = TTY_NO
	};
	struct target target;
	int code = target_find_word(in, 0, &target);

	return code ? code : guest_exec_run(in, &target, &exec);
}

const struct command command_ssh_proxy = {
	.name = "ssh-proxy",
	.words_help = "NAME",
	.summary = "ssh's ProxyCommand",
	.options = options,
	.words = WORDS_NAME,
	.words_min = 1,
	.words_max = 1,
	.guest_exit = true,
	.hidden = true,
	.run = run,
};
