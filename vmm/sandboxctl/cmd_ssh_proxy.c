/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh's ProxyCommand: an SSH server in the guest, as root in inetd mode, with its pipes here. The image's own sshd where it has
 * one, else dropbear of the tools layer (images/tools/fetch). What both need was put under /run/sandbox/ssh by the supervisor
 * (its ssh_keys.h says what). dropbear wants one socket for both directions, and nothing said on it: a few lines of perl (part
 * of every Debian) stand between it and the pipes.
 */
#include "vmm/sandboxctl/guest_exec.h"

static const struct option_def options[] = { OPTIONS_COMMON };

static const char server_script[] =
	"keys=/run/sandbox/ssh tools=/run/sandbox/tools/bin\n"
	"hostkey=$keys/host_dropbear\n"
	"if [ -x /usr/sbin/sshd ]; then\n"
	"\tmkdir -p -m 0755 /run/sshd\n"
	"\texec /usr/sbin/sshd -i -e -f $keys/sshd_config\n"
	"fi\n"
	"if [ ! -x $tools/dropbear ] || [ ! -x /usr/bin/perl ]; then\n"
	"\techo 'sandboxctl: no SSH server in this guest: run images/tools/fetch on the host, then sandboxctl restart' >&2\n"
	"\texit 127\n"
	"fi\n"
	"if [ ! -s $hostkey ]; then\n"
	"\tumask 077\n"
	"\t$tools/dropbearconvert openssh dropbear $keys/host_ed25519 $hostkey.$$ >/dev/null 2>&1 &&\n"
	"\tmv $hostkey.$$ $hostkey || exit 126\n"
	"\tumask 022\n"
	"fi\n"
	"exec /usr/bin/perl -e '\n"
	"use Socket;\n"
	"sub copy {\n"
	"\tmy ($from, $to) = @_;\n"
	"\tmy $data;\n"
	"\twhile (sysread($from, $data, 65536)) {\n"
	"\t\tfor (my $at = 0; $at < length $data;) {\n"
	"\t\t\tmy $n = syswrite($to, $data, length($data) - $at, $at);\n"
	"\t\t\treturn unless $n;\n"
	"\t\t\t$at += $n;\n"
	"\t\t}\n"
	"\t}\n"
	"}\n"
	"socketpair(my $ours, my $its, AF_UNIX, SOCK_STREAM, 0) or exit 126;\n"
	"my $server = fork // exit 126;\n"
	"if (!$server) {\n"
	"\tclose $ours;\n"
	"\topen(STDIN, \"<&\", $its);\n"
	"\topen(STDOUT, \">&\", $its);\n"
	"\tclose $its;\n"
	"\texec @ARGV;\n"
	"\texit 127;\n"
	"}\n"
	"close $its;\n"
	"my $reader = fork // exit 126;\n"
	"if (!$reader) {\n"
	"\tcopy(\\*STDIN, $ours);\n"
	"\tshutdown($ours, 1);\n"
	"\texit 0;\n"
	"}\n"
	"copy($ours, \\*STDOUT);\n"
	"kill \"TERM\", $reader;\n"
	"' $tools/dropbear -i -m -s -W 1048576 -r $hostkey\n";

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
