/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandboxctl itself, end to end, against tests/lib/fake_supervisor: exec with pipes and with a terminal, attach and detach,
 * copies with lying agents (H14), the filter (H6), JSON forms, exit codes. No machine is needed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "policy/decide.h"
#include "policy/policy.h"
#include "policy/url.h"
#include "tests/lib/private_folder.h"
#include "tests/lib/pty_driver.h"
#include "vmm/base/array.h"
#include "vmm/base/fdio.h"

#define OUTPUT_MAX 65536
#define ALARM_S	   280 /* nothing here may hang */

static struct {
	char folder[PATH_MAX], workspace[PATH_MAX + 8];
	const char *ctl;
	pid_t fake;
	int fake_stdin;
	char out[OUTPUT_MAX + 1], err[OUTPUT_MAX + 1];
} t;

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *where)
{
	(void)kind;
	(void)where;
	if (S_ISDIR(s->st_mode)) /* chmod follows links, and one here leads to /etc/passwd */
		chmod(path, 0700);
	return remove(path);
}

static void start_fake(bool tty, const char *command)
{
	int in[2], out[2];
	char line[8];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	t.fake = fork();
	if (t.fake == 0) {
		const char *argv[] = { getenv("FAKE_SUPERVISOR"), "box", t.workspace, "sh", "-c",
			command, NULL };

		if (!command)
			argv[3] = NULL;
		if (tty)
			setenv("FAKE_TTY", "1", 1);
		dup2(in[0], 0);
		dup2(out[1], 1);
		execv(argv[0], (char *const *)argv);
		_exit(1);
	}
	close(in[0]);
	close(out[1]);
	t.fake_stdin = in[1];
	assert_int_equal(read(out[0], line, 6), 6);
	close(out[0]);
}

static void stop_fake(void)
{
	int status;

	close(t.fake_stdin);
	waitpid(t.fake, &status, 0);
}

static int setup(void **state)
{
	char path[PATH_MAX + 16];

	(void)state;
	t.ctl = getenv("SANDBOXCTL");
	if (!t.ctl || !getenv("FAKE_SUPERVISOR")) {
		fprintf(stderr, "SANDBOXCTL and FAKE_SUPERVISOR are unset: run by meson\n");
		return -1;
	}
	alarm(ALARM_S);
	if (!private_folder_make(t.folder))
		return -1;
	snprintf(path, sizeof(path), "%s/s", t.folder);
	setenv("XDG_STATE_HOME", path, 1);
	snprintf(path, sizeof(path), "%s/c", t.folder);
	setenv("XDG_CACHE_HOME", path, 1);
	snprintf(path, sizeof(path), "%s/config", t.folder);
	setenv("XDG_CONFIG_HOME", path, 1);
	unsetenv("XDG_RUNTIME_DIR");
	setenv("TERM", "xterm", 1);
	snprintf(path, sizeof(path), "%s/copy.log", t.folder);
	setenv("FAKE_COPY_LOG", path, 1);
	snprintf(t.workspace, sizeof(t.workspace), "%s/ws", t.folder);
	mkdir(t.workspace, 0700);
	return chdir(t.workspace);
}

static int teardown(void **state)
{
	(void)state;
	if (chdir("/") < 0)
		return -1;
	return nftw(t.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A line of sh, with $ctl as sandboxctl; gives its exit code, t.out and t.err what it wrote. */
static int sh(const char *line)
{
	char out_path[PATH_MAX + 8], err_path[PATH_MAX + 8];
	char *text;
	size_t len;
	pid_t pid;
	int status;

	snprintf(out_path, sizeof(out_path), "%s/out", t.folder);
	snprintf(err_path, sizeof(err_path), "%s/err", t.folder);
	setenv("ctl", t.ctl, 1);
	pid = fork();
	if (pid == 0) {
		dup2(open(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
		dup2(open(err_path, O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
		execl("/bin/bash", "bash", "-c", line, (char *)NULL);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(fdio_read_file(AT_FDCWD, out_path, OUTPUT_MAX, &text, &len), 0);
	memcpy(t.out, text, len + 1);
	free(text);
	assert_int_equal(fdio_read_file(AT_FDCWD, err_path, OUTPUT_MAX, &text, &len), 0);
	memcpy(t.err, text, len + 1);
	free(text);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 125)
		fprintf(stderr, "125 from %s: %s\n", line, t.err);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void test_exit_codes(void **state)
{
	(void)state;
	start_fake(false, NULL);
	assert_int_equal(
		sh("$ctl exec box -- sh -c 'echo out; echo err >&2; exit 7' </dev/null"), 7);
	assert_string_equal(t.out, "out\n");
	assert_string_equal(t.err, "err\n");
	assert_int_equal(sh("$ctl exec box true </dev/null"), 0);
	assert_int_equal(sh("$ctl exec -- no-such-program </dev/null"), 127);
	assert_non_null(strstr(t.err, "no-such-program is not there"));
	assert_int_equal(sh("$ctl exec -- / </dev/null"), 126);
	assert_non_null(strstr(t.err, "/ is there and cannot be run"));
	assert_int_equal(sh("$ctl exec -- sh -c 'exit 127' </dev/null"), 127);
	assert_string_equal(t.err, ""); /* the command's own */
	assert_int_equal(sh("$ctl exec -- sh -c 'kill -9 $$' </dev/null"), 137);
	assert_int_equal(sh("$ctl exec -u stranger -- true </dev/null"), 125);
	assert_non_null(strstr(t.err, "user stranger: the guest has none of that name"));
	assert_int_equal(sh("$ctl exec -w /nowhere -- true </dev/null"), 125);
	assert_non_null(strstr(t.err, "folder /nowhere in the guest: No such"));
	assert_int_equal(sh("$ctl exec </dev/null"), 125);
	assert_int_equal(sh("$ctl exec make </dev/null"), 125);
	assert_non_null(strstr(t.err, "sandboxctl exec -- make"));
	assert_int_equal(sh("$ctl exec -- printf '%s' $'\\xff' </dev/null"), 125);
	assert_int_equal(sh("$ctl exec -e A=$'\\xff' -- true </dev/null"), 125);
	assert_int_equal(sh("$ctl exec nobody -- true"), 125);
	assert_int_equal(sh("$ctl status nobody"), 3);
	assert_int_equal(sh("$ctl status --frob"), 2);
	assert_int_equal(sh("cd / && $ctl status"), 3);
	assert_int_equal(sh("$ctl exec -- yes | head -n1; exit ${PIPESTATUS[0]}"), 141);
	assert_int_equal(sh("$ctl exec -e A=1 -e B='x y' -- sh -c 'echo $A-$B'"), 0);
	assert_string_equal(t.out, "1-x y\n");
	stop_fake();
	assert_int_equal(sh("$ctl exec box -- true"), 125);
	assert_non_null(strstr(t.err, "sandboxctl start box"));
}

static void test_bytes_are_untouched_in_pipes(void **state)
{
	(void)state;
	start_fake(false, NULL);
	assert_int_equal(
		sh("printf 'a\\033]52;c;x\\007\\000\\377b' | $ctl exec box cat | od -An -c | tr -d ' \\n'"),
		0);
	assert_string_equal(t.out, "a033]52;c;x\\a\\0377b");
	/* Both directions full, a reader that starts late: nothing may hang, nothing may be lost. */
	assert_int_equal(
		sh("head -c 9000000 /dev/zero | $ctl exec box cat | { sleep 0.3; wc -c; }"), 0);
	assert_string_equal(t.out, "9000000\n");
	assert_int_equal(
		sh("for i in 1 2 3 4 5 6 7 8 9 10; do $ctl exec box sh -c \"echo $i\" </dev/null & done; wait"),
		0);
	assert_int_equal(strlen(t.out), 21);
	stop_fake();
}

static void start_ctl(struct pty_driver *p, const char *line)
{
	const char *argv[] = { "/bin/sh", "-c", line, NULL };

	setenv("ctl", t.ctl, 1);
	assert_int_equal(pty_start(p, (char *const *)argv), 0);
}

static struct pty_driver pty;

static void test_terminal(void **state)
{
	(void)state;
	start_fake(false, NULL);
	start_ctl(&pty,
		"exec $ctl exec box -- bash -c 'trap \"echo got-INT\" INT; trap \"stty size\" WINCH; stty size; echo term=$TERM;"
		"until [ \"$x\" = end ]; do read -t 1 x; done; exit 5'");
	assert_true(pty_expect(&pty, "24 80"));
	assert_true(pty_expect(&pty, "term=xterm"));
	assert_false(pty_is_cooked(&pty));
	assert_int_equal(pty_type(&pty, "\003"), 0); /* ctrl-C belongs to the guest */
	assert_true(pty_expect(&pty, "got-INT"));
	assert_int_equal(pty_resize(&pty, 40, 100), 0);
	/* bash runs the trap between two reads, so these end by themselves. */
	assert_true(pty_expect(&pty, "40 100"));
	assert_int_equal(pty_type(&pty, "end\n"), 0);
	assert_int_equal(pty_finish(&pty), 5);
	stop_fake();
}

static void test_terminal_comes_back(void **state)
{
	static const int signals[] = { SIGTERM, SIGHUP, SIGSEGV };

	(void)state;
	start_fake(false, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		start_ctl(&pty, "exec $ctl exec box -- sh -c 'echo up; sleep 30'");
		assert_true(pty_expect(&pty, "up"));
		assert_false(pty_is_cooked(&pty));
		kill(pty.pid, signals[i]);
		for (int wait = 0; wait < 600 && !pty_is_cooked(&pty); wait++)
			nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
		assert_true(pty_is_cooked(&pty));
		/* A sanitizer turns SIGSEGV into an exit code of its own. */
		if (signals[i] == SIGSEGV)
			assert_int_not_equal(pty_finish(&pty), 0);
		else
			assert_int_equal(pty_finish(&pty), 128 + signals[i]);
	}
	stop_fake();
}

static void test_filter_on_a_terminal(void **state)
{
	(void)state;
	start_fake(false, NULL);
	start_ctl(&pty,
		"exec $ctl exec box -- sh -c 'printf \"a\\033]52;c;x\\007b\\033]0;t\\007c\\033[1md\\033[?1049h\\n\"'");
	assert_int_equal(pty_finish(&pty), 0);
	assert_non_null(strstr(pty.output, "abc\033[1md\033[?1049h"));
	assert_non_null(strstr(pty.output, "\033[?1049l")); /* left as it was found */
	/* What a guest turned on by the other stream is turned off as well. */
	start_ctl(&pty, "exec $ctl exec box -- both-streams");
	assert_int_equal(pty_finish(&pty), 0);
	assert_non_null(strstr(pty.output, "\033[?1003h"));
	assert_non_null(strstr(pty.output, "\033[?1003l"));
	/* No query where a shell of this host, and not the guest, would read the answer. */
	start_ctl(&pty,
		"exec $ctl exec -t box -- sh -c 'printf \"q\\033[6n\\033[?1003hq\\n\"' </dev/null");
	assert_int_equal(pty_finish(&pty), 0);
	assert_non_null(strstr(pty.output, "qq"));
	start_ctl(&pty, "exec $ctl exec --raw box -- sh -c 'printf \"a\\033]0;t\\007b\\n\"'");
	assert_int_equal(pty_finish(&pty), 0);
	assert_non_null(strstr(pty.output, "a\033]0;t\007b"));
	stop_fake();
}

static void test_attach_and_detach(void **state)
{
	(void)state;
	start_fake(true, "echo main; read x; echo said-$x; exit 4");
	start_ctl(&pty, "exec $ctl attach");
	assert_true(pty_expect(&pty, "main"));
	assert_int_equal(pty_type(&pty, "a\020\021"), 0); /* ctrl-p ctrl-q */
	assert_true(pty_expect(&pty, "detached"));
	assert_int_equal(pty_finish(&pty), 0);
	start_ctl(&pty, "exec $ctl attach box");
	assert_true(pty_expect(&pty, "main"));
	assert_int_equal(pty_type(&pty, "yes\n"), 0);
	assert_true(pty_expect(&pty, "said-yes"));
	assert_int_equal(pty_finish(&pty), 4);
	stop_fake();
}

static void test_shell_without_a_terminal(void **state)
{
	(void)state;
	start_fake(false, NULL);
	assert_int_equal(sh("echo 'echo from-shell; exit 3' | $ctl shell"), 3);
	assert_non_null(strstr(t.out, "from-shell"));
	stop_fake();
}

/*
 * Copies
 */
static void test_copy_out(void **state)
{
	(void)state;
	start_fake(false, NULL);
	assert_int_equal(
		sh("umask 022; mkdir into && $ctl cp box:tree into && cd into/tree && cat a sub/up && stat -c '%n %a %Y' a sub "
		   "&& ls -A"),
		0);
	assert_string_equal(
		t.out, "alpha\nalpha\na 755 1000000000\nsub 700 1000000000\na\nempty\nsub\n");
	assert_int_equal(sh("$ctl cp :tree renamed && cat renamed/a && ls"), 0);
	assert_string_equal(t.out, "alpha\ninto\nrenamed\n");
	assert_int_equal(
		sh("$ctl cp box:tree into && ls -A into into/tree | grep -c sandboxctl-cp"),
		1); /* nothing left over */
	assert_int_equal(sh("$ctl cp box:refused ."), 1);
	assert_non_null(strstr(t.err, "refused in the guest: "));
	assert_int_equal(
		/* As root a device would else be replaced by a file. */
		sh("mkdir -p special/tree && mkfifo special/tree/a && $ctl cp box:tree special; "
		   "test -p special/tree/a && rm -r special"),
		0);
	assert_int_equal(sh("$ctl cp a b"), 2);
	assert_int_equal(sh("$ctl cp box:a box:b"), 2);
	stop_fake();
}

static void test_copy_out_of_a_lying_agent(void **state)
{
	static const char *const lies[] = { "link-then-child", "too-deep", "too-much", "endless",
		"two-tops", "dotdot" };
	char line[256];

	(void)state;
	start_fake(false, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		snprintf(line, sizeof(line), "mkdir -p lie%zu/sub && $ctl cp box:%s lie%zu/sub", i,
			lies[i], i);
		assert_int_equal(sh(line), 1);
		snprintf(line, sizeof(line),
			"[ \"$(ls -A lie%zu)\" = sub ] && ! find . .. -name child -o -name evil | grep .",
			i);
		assert_int_equal(sh(line), 0);
		assert_int_equal(sh("! find . -name '.sandboxctl-cp*' | grep ."), 0);
	}
	/* Links that lead out are left out and named; asked for, they are made. */
	assert_int_equal(sh("mkdir links && $ctl cp box:links-out links"), 1);
	assert_non_null(strstr(t.err, "left out: absolute\nleft out: climbing\n"));
	assert_int_equal(sh("ls links/links-out"), 0);
	assert_string_equal(t.out, "a\nfine\n");
	assert_int_equal(
		sh("$ctl cp --links box:links-out links && readlink links/links-out/absolute"), 0);
	assert_string_equal(t.out, "/etc/passwd\n");
	stop_fake();
}

/* What the copy is called is the user's to say, and a link in place of a file is not one. */
static void test_copy_out_is_named_here(void **state)
{
	static const char *const unnamed[] = { ".", "/", "a/.." };
	char line[128];

	(void)state;
	start_fake(false, NULL);
	assert_int_equal(sh("mkdir named && echo mine >named/precious"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(unnamed); i++) {
		snprintf(line, sizeof(line), "$ctl cp box:%s named", unnamed[i]);
		assert_int_equal(sh(line), 2);
		assert_non_null(strstr(t.err, "named/NAME"));
	}
	assert_int_equal(sh("cat named/precious"), 0);
	assert_string_equal(t.out, "mine\n");
	assert_int_equal(sh("$ctl cp box:. named/new && cat named/new"), 0);
	assert_string_equal(t.out, "replaced\n");
	assert_int_equal(sh("$ctl cp box:top-link named"), 1);
	assert_non_null(strstr(t.err, "left out: top-link\n"));
	assert_int_equal(sh("test ! -L named/top-link"), 0);
	assert_int_equal(sh("$ctl cp --links box:top-link named && readlink named/top-link"), 0);
	stop_fake();
}

/* What stands in the target is replaced, never written through; a folder's place taken by a link is an error. */
static void test_copy_out_over_links(void **state)
{
	(void)state;
	start_fake(false, NULL);
	assert_int_equal(
		sh("mkdir -p t/tree victim && echo precious >victim/file && ln -s ../../victim/file t/tree/a && "
		   "$ctl cp box:tree t && cat victim/file && cat t/tree/a"),
		0);
	assert_string_equal(t.out, "precious\nalpha\n");
	assert_int_equal(sh("mkdir u && ln -s ../victim u/tree && $ctl cp box:tree u"), 1);
	assert_int_equal(sh("ls victim"), 0);
	assert_string_equal(t.out, "file\n");
	assert_int_equal(sh("ln -s victim by-link && $ctl cp box:tree by-link/"), 1);
	assert_non_null(strstr(t.err, "symbolic link"));
	stop_fake();
}

static void test_copy_in(void **state)
{
	(void)state;
	start_fake(false, NULL);
	assert_int_equal(
		sh("mkdir -p src/d && printf 12345 >src/d/f && chmod 640 src/d/f && ln -s d/f src/l && mkfifo src/p; "
		   "chmod 755 src src/d; $ctl cp src box:/tmp/; echo $?; sort $FAKE_COPY_LOG"),
		0);
	assert_string_equal(t.out,
		"1\n1 d 755 0\n1 src 755 0\n2 f 640 5\n3 l 777 3\n4  0 0\n4  0 0\n5  0 0\ndata 12345\ndata d/f\n");
	assert_non_null(strstr(t.err, "left out: p\n"));
	assert_int_equal(sh("$ctl cp nothing box:/tmp/"), 1);
	stop_fake();
}

/*
 * JSON, one form on every path
 */
static void test_json_forms(void **state)
{
	(void)state;
	start_fake(false, NULL);
	assert_int_equal(sh("$ctl status nobody --json 2>/dev/null"), 3);
	assert_string_equal(t.out,
		"{\n  \"apiVersion\": \"sandboxctl/v1\",\n  \"kind\": \"Error\",\n  \"data\": {\n"
		"    \"error\": \"no-such-sandbox\",\n    \"detail\": \"there is no sandbox nobody\",\n"
		"    \"reason\": \"ENOENT\",\n    \"next_steps\": [\n      \"see: sandboxctl ls\"\n    ],\n"
		"    \"stage\": \"lookup\"\n  }\n}\n");
	assert_int_equal(sh("$ctl status --json"), 0);
	assert_non_null(strstr(t.out, "\"kind\": \"Sandbox\""));
	assert_non_null(strstr(t.out, "\"name\": \"box\""));
	/* The fake says that it was started in 1970: age is not told by the wall clock. */
	assert_int_equal(sh("$ctl status --json | grep -E '\"uptime_s\": [0-9]{1,3},'"), 0);
	assert_int_equal(sh("$ctl ls --json"), 0);
	assert_non_null(strstr(t.out, "\"kind\": \"SandboxList\""));
	assert_int_equal(sh("$ctl ls -q; $ctl list --quiet"), 0);
	assert_string_equal(t.out, "box\nbox\n");
	assert_int_equal(sh("$ctl inspect"), 0);
	assert_int_equal(sh("$ctl ports --json"), 0);
	assert_string_equal(t.out,
		"{\n  \"apiVersion\": \"sandboxctl/v1\",\n  \"kind\": \"PortList\",\n  \"data\": []\n}\n");
	/* One document, however many names. */
	assert_int_equal(
		sh("$ctl stop nobody nobody2 --json | jq -r '.kind, .data.error, (.data.failures | length)'"),
		0);
	assert_string_equal(t.out, "Error\nno-such-sandbox\n2\n");
	assert_int_equal(
		sh("printf 'one\\ntw\\000o\\xff\\nend' >$XDG_STATE_HOME/sandboxctl/sandboxes/box/console.log && "
		   "$ctl console --json | jq -r '.apiVersion + \" \" + .kind + \" \" + .data.text'"),
		0);
	assert_non_null(strstr(t.out, "sandboxctl/v1 LogLine one\nsandboxctl/v1 LogLine tw?o"));
	assert_non_null(strstr(t.out, "\nsandboxctl/v1 LogLine end\n"));
	assert_int_equal(
		sh("$ctl ssh-config --json | jq -r '.data.config' | grep -q '^Host box'"), 0);
	assert_int_equal(sh("$ctl version --json --wat"), 2);
	assert_non_null(strstr(t.out, "\"error\": \"usage\""));
	stop_fake();
}

/* A sandbox is its name and its workspace (H13); without NAME it is that of the folder. */
static void test_which_sandbox(void **state)
{
	(void)state;
	start_fake(false, NULL);
	assert_int_equal(
		sh("mkdir -p deep/er && cd deep/er && $ctl exec -- sh -c 'echo found'"), 0);
	assert_string_equal(t.out, "found\n");
	assert_int_equal(sh("mkdir -p ../other && cd ../other && $ctl start box --dry-run"), 1);
	assert_non_null(strstr(t.err, "box"));
	assert_int_equal(sh("cd ../other && $ctl rm box"), 1);
	assert_non_null(strstr(t.err, "belongs to"));
	assert_int_equal(sh("$ctl start Bad_Name --dry-run"), 2);
	assert_int_equal(
		sh("mkdir -p ../My_Proj/sub && touch ../My_Proj/.sandbox.json && cd ../My_Proj/sub && "
		   "$ctl start --dry-run | grep -e '\"name\"' -e '\"host\"'"),
		0);
	assert_non_null(strstr(t.out, "\"name\": \"my-proj\""));
	assert_non_null(strstr(t.out, "/My_Proj\""));
	stop_fake();
}

/* E19 asks the data path's function; what is allowed is written down whole or not at all. */
static void test_policy(void **state)
{
	(void)state;
	assert_int_equal(
		sh("mkdir -p ../pol && cd ../pol && $ctl policy check GET https://github.com/x"),
		0);
	assert_non_null(strstr(t.out, "code-hosts-read"));
	assert_int_equal(sh("cd ../pol && $ctl policy check POST https://api.test/v1 --json"), 1);
	assert_non_null(strstr(t.out, "\"decision\": \"denied\""));
	assert_non_null(strstr(t.out, "sandboxctl policy allow api.test"));
	assert_int_equal(
		sh("cd ../pol && $ctl policy allow api.test --method POST --path '/v1/**'"), 0);
	assert_int_equal(sh("cd ../pol && $ctl policy check POST https://api.test/v1/x"), 0);
	assert_int_equal(sh("cd ../pol && $ctl policy check GET https://api.test/v1/x"), 1);
	assert_int_equal(sh("cd ../pol && $ctl policy check GET https://github.com/x"),
		0); /* the default stays */
	assert_int_equal(
		sh("cd ../pol && $ctl policy allow api.test --method POST --path '/v1/**'"), 0);
	assert_non_null(strstr(t.err, "already"));
	assert_int_equal(sh("cd ../pol && $ctl policy allow '*.com'"), 1);
	assert_non_null(strstr(t.err, "public suffix"));
	assert_int_equal(sh("cd ../pol && $ctl policy deny '**.github.com'"), 0);
	assert_int_equal(sh("cd ../pol && $ctl policy check GET https://github.com/x"), 1);
	assert_int_equal(sh("cd ../pol && $ctl policy ls --json | grep -c '\"id\"'"), 0);
	assert_int_equal(
		sh("cd ../pol && $ctl policy allow db.test:5432 --protocol tcp && $ctl policy check tcp://db.test:5432"),
		0);
	assert_int_equal(
		sh("cd ../pol && $ctl policy allow git.test:22 && $ctl policy check ssh://git.test"),
		0);
	assert_int_equal(sh("cd ../pol && $ctl policy check GET ftp://x.test"), 2);
	assert_int_equal(sh("cd ../pol && $ctl policy sing"), 2);
	assert_int_equal(sh("cd ../pol && $ctl policy check nosuch GET https://x.test"), 3);
	assert_int_equal(sh("cd ../pol && $ctl policy allow --sandbox nosuch x.test"), 3);
}

static const char checked_policy[] =
	"{\"version\":1,\"presets\":\"builder\",\"blocked_hosts\":\"**.prod.test\",\"rules\":["
	"{\"id\":\"api\",\"action\":\"allow\",\"host\":\"**.api.test\",\"paths\":\"/v1/**\",\"methods\":[\"GET\",\"POST\"]},"
	"{\"id\":\"all-of-it\",\"action\":\"allow\",\"host\":[\"x.prod.test\",\"ok.test\"]},"
	"{\"id\":\"db\",\"action\":\"allow\",\"host\":\"db.test\",\"protocol\":\"tcp\",\"port\":5432},"
	"{\"id\":\"watched\",\"action\":\"allow\",\"host\":\"w.test\",\"mode\":\"audit\"},"
	"{\"id\":\"range\",\"action\":\"allow\",\"cidr\":\"10.1.0.0/16\"}]}";

/* What the verb says of a request beside policy_decide()'s own answer. */
static void check_as_decided(const struct policy *policy, const char *method, const char *url)
{
	static const char *const words[] = { "denied", "allowed", "audited" };
	struct policy_request request;
	struct policy_decision decision;
	struct policy_url storage;
	struct err err = {};
	char line[512], wanted[128];
	int code = sh((snprintf(line, sizeof(line),
			       "XDG_CONFIG_HOME=$PWD/../same $ctl policy check --json %s '%s'",
			       method, url),
		line));

	if (policy_request_of_url(method, url, &storage, &request, &err) < 0) {
		assert_int_equal(code, 2);
		return;
	}
	policy_decide(policy, &request, &decision);
	assert_int_equal(code, decision.verdict == POLICY_DENY ? 1 : 0);
	snprintf(wanted, sizeof(wanted), "\"decision\": \"%s\"", words[decision.verdict]);
	assert_non_null(strstr(t.out, wanted));
	snprintf(wanted, sizeof(wanted), "\"rule\": \"%s\"", decision.rule_id);
	assert_non_null(strstr(t.out, *decision.rule_id ? wanted : "\"rule\": null"));
}

/* E19: the verb and the data path's function, over every host, method and path of these together. */
static void test_policy_check_is_the_decision(void **state)
{
	static const char *const methods[] = { "GET", "POST", "DELETE" };
	static const char *const urls[] = { "https://a.api.test/v1/x", "https://API.test./v1",
		"http://a.api.test/v2", "https://a.api.test/v1/../v2",
		"https://a.api.test:8443/v1/x", "https://evilapi.test/v1/x", "https://x.prod.test/",
		"https://ok.test/%2e%2e/x", "https://w.test/a?b=c", "https://10.1.2.3/",
		"https://10.2.2.3/", "https://0x0a010203/", "tcp://db.test:5432",
		"tcp://db.test:22", "https://db.test:5432/", "wss://ok.test/",
		"https://github.com/a/b.git/git-upload-pack", "https://u:p@ok.test/" };
	const struct policy_source source = { .layer = POLICY_LAYER_USER,
		.name = "here",
		.json = checked_policy,
		.len = sizeof(checked_policy) - 1 };
	struct policy *policy = NULL;
	struct err err = {};
	FILE *f;

	(void)state;
	assert_int_equal(policy_create(&source, 1, POLICY_TIER_BUILDER, &policy, &err), 0);
	assert_int_equal(sh("mkdir -m 700 -p ../same/sandboxctl"), 0);
	f = fopen("../same/sandboxctl/policy.json", "we");
	assert_non_null(f);
	fputs(checked_policy, f);
	fclose(f);
	assert_int_equal(chmod("../same/sandboxctl/policy.json", 0600), 0);
	for (size_t m = 0; m < ARRAY_SIZE(methods); m++)
		for (size_t u = 0; u < ARRAY_SIZE(urls); u++)
			check_as_decided(policy, methods[m], urls[u]);
	policy_destroy(policy);
}

/* E18, E19, H5: what clients are set to use is allowed, by host alone, and no project has a say in it. */
static void test_policy_init(void **state)
{
	(void)state;
	assert_int_equal(
		sh("mkdir -p ../home/.cargo ../ini && "
		   "echo 'registry=https://me:npm-token@npm.test:4873/' > ../home/.npmrc && "
		   "printf '[source.x]\\nregistry = \"sparse+https://cargo.test/\"\\n' > ../home/.cargo/config.toml && "
		   "echo 'registry=https://workspace.test/' > ../ini/.npmrc"),
		0);
	setenv("init",
		"cd ../ini && HOME=$PWD/../home XDG_CONFIG_HOME=$PWD/../home/.config $ctl policy",
		1);
	assert_int_equal(sh("eval \"$init check GET https://npm.test:4873/@a%2Fb\""), 1);
	assert_int_equal(sh("eval \"$init init\""), 0);
	assert_non_null(strstr(t.err, "npm.test:4873"));
	assert_null(strstr(t.err, "npm-token"));
	assert_int_equal(sh("grep -rq -e npm-token -e workspace.test ../home/.config"), 1);
	assert_int_equal(sh("eval \"$init check GET https://npm.test:4873/@a%2Fb\""), 0);
	assert_int_equal(sh("eval \"$init check PUT https://npm.test:4873/x\""), 1);
	assert_int_equal(sh("eval \"$init check GET https://cargo.test/index\""), 0);
	assert_int_equal(sh("eval \"$init check GET https://github.com/x\""), 0);
	/* Once more: nothing twice. */
	assert_int_equal(sh("eval \"$init init\""), 0);
	assert_non_null(strstr(t.err, " 0 rules added"));
	assert_int_equal(sh("eval \"$init init --preset offline\""), 0);
	assert_int_equal(sh("eval \"$init check GET https://npm.test:4873/x\""), 1);
	assert_int_equal(sh("eval \"$init init --preset nosuch\""), 1);
	assert_int_equal(sh("eval \"$init init --from-audit x\""), 3);
	assert_int_equal(sh("eval \"$init init more\""), 2);
	unsetenv("init");
}

/* Words that are none: which there are, or which was meant; a document, by its own name and the place in it. */
static void test_words_below_a_noun(void **state)
{
	static const struct {
		const char *words, *wanted;
	} cases[] = {
		{ "policy alow x.com", "did you mean: sandboxctl policy allow?" },
		{ "policy allow", "it is used so: sandboxctl policy allow HOST[:PORT]\n" },
		{ "policy check", "sandboxctl policy check [NAME] [METHOD] URL\n" },
		{ "policy approve it", "sandboxctl policy approve\n" },
		{ "policy qqqqqq", "there is no 'qqqqqq'" },
		{ "secret st", "did you mean: sandboxctl secret set?" },
		{ "secret set", "sandboxctl secret set NAME\n" },
		{ "secret rm", "sandboxctl secret rm NAME\n" },
		{ "audit lst", "did you mean: sandboxctl audit ls?" },
		{ "audit ls name", "sandboxctl audit ls\n" },
		{ "start --policy ../typo.json --dry-run",
			"typo.json: rules[0]: unknown key \"hots\"" },
	};
	char line[128];

	(void)state;
	assert_int_equal(
		sh("echo '{\"version\":1,\"rules\":[{\"id\":\"a\",\"action\":\"allow\",\"hots\":\"x\"}]}' > ../typo.json"),
		0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(line, sizeof(line), "$ctl %s", cases[i].words);
		assert_int_equal(sh(line), 2);
		if (!strstr(t.err, cases[i].wanted))
			fail_msg("%s: %s", cases[i].words, t.err);
	}
}

/* E6: a mirror inside a company: what its name leads to when `init` is run is what its rule says, and is said. */
static void test_policy_init_private(void **state)
{
	(void)state;
	assert_int_equal(
		sh("mkdir -p ../mirror/home && cd ../mirror && "
		   "printf 'registry=https://inside.test/\\n@a:registry=https://outside.test/\\n@b:registry=https://self.test/\\n' > home/.npmrc && "
		   "echo 'passwd: files' > nss && echo 'hosts: files' >> nss && "
		   "echo '8.8.8.8 outside.test inside.test' > before && "
		   "printf '8.8.8.8 outside.test\\n10.1.2.3 inside.test\\n127.0.0.1 self.test\\n' > after"),
		0);
	setenv("init",
		"cd ../mirror && unshare -rm --propagation private sh -c 'mount --bind nss /etc/nsswitch.conf && mount --bind $1 /etc/hosts && "
		"HOME=$PWD/home XDG_CONFIG_HOME=$PWD/home/.config exec $ctl policy init' x",
		1);
	setenv("rules",
		"jq -r '.rules[] | select(.id | startswith(\"npm\")) | \"\\(.host) \\(.private_addresses)\"' ../mirror/home/.config/sandboxctl/policy.json",
		1);
	assert_int_equal(sh("eval \"$init before\""), 0);
	assert_non_null(strstr(t.err, "self.test:443  (its name does not resolve"));
	assert_int_equal(sh("eval \"$rules\""), 0);
	assert_string_equal(t.out, "inside.test null\noutside.test null\nself.test null\n");
	/* The one rule gains it; nothing else is changed, and nothing is taken back. */
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(sh("eval \"$init after\""), 0);
		assert_non_null(strstr(
			t.err, i ? " 0 rules added or changed" : " 1 rules added or changed"));
		assert_non_null(strstr(t.err, "inside.test:443  (at a private address"));
		assert_non_null(strstr(t.err, "outside.test:443\n"));
		assert_non_null(strstr(t.err, "self.test:443  (at an address that no rule"));
		assert_int_equal(sh("eval \"$rules\""), 0);
		assert_string_equal(t.out, "inside.test true\noutside.test null\nself.test null\n");
	}
	assert_int_equal(sh("eval \"$init before\""), 0);
	assert_int_equal(sh("eval \"$rules\""), 0);
	assert_string_equal(t.out, "inside.test true\noutside.test null\nself.test null\n");
	unsetenv("init");
	unsetenv("rules");
}

/* H5, H6: what was approved holds until it is approved anew; the file's bytes reach no terminal as they are. */
static void test_policy_approve(void **state)
{
	(void)state;
	assert_int_equal(
		sh("mkdir -p ../app/config && cd ../app && "
		   "echo '{\"policy\":{\"version\":1,\"blocked_hosts\":\"one.test\"}}' >.sandbox.json && "
		   "export XDG_CONFIG_HOME=$PWD/config && $ctl policy allow one.test && $ctl policy approve"),
		1);
	assert_non_null(strstr(t.err, "no terminal"));
	assert_int_equal(sh("$ctl policy approve --yes --project ../app"), 0);
	assert_non_null(strstr(t.out, "+   \"blocked_hosts\": \"one.test\""));
	assert_int_equal(sh("cd ../app && $ctl policy approve"), 0);
	assert_non_null(strstr(t.err, "approved already"));
	assert_int_equal(
		sh("cd ../app && export XDG_CONFIG_HOME=$PWD/config && "
		   "printf '{\"policy\":{\"version\":1,\"note\":\"x\\342\\200\\256y\"}}' >.sandbox.json && "
		   "$ctl policy check GET https://one.test/"),
		1);
	assert_non_null(strstr(t.out, "blocked_hosts"));
	assert_int_equal(sh("cd ../app && $ctl policy explain one.test"), 0);
	assert_non_null(strstr(t.out, ".sandbox.json has changed since it was approved"));
	assert_int_equal(
		sh("cd ../app && $ctl policy explain --json one.test | jq -e '.data.project.changed'"),
		0);
	assert_int_equal(sh("cd ../app && echo n | $ctl policy approve"), 1);
	assert_non_null(strstr(t.out, "-   \"blocked_hosts\": \"one.test\""));
	for (const char *p = t.out; *p; p++)
		assert_true(*p == '\n' || (*p >= ' ' && *p < 0x7f));
	assert_int_equal(
		sh("cd ../app && $ctl policy approve --yes --json | jq -e '.data.changed'"), 0);
	assert_int_equal(
		sh("cd ../app && XDG_CONFIG_HOME=$PWD/config $ctl policy check GET https://one.test/"),
		0);
	assert_int_equal(
		sh("cd ../app && echo '{\"policy\":{\"version\":1,\"bindings\":[]}}' >.sandbox.json && $ctl policy approve --yes"),
		1);
	assert_non_null(strstr(t.err, "app/.sandbox.json"));
	/* What is kept and cannot be read is what an approval mends. */
	assert_int_equal(
		sh("cd ../app && for f in $XDG_STATE_HOME/sandboxctl/projects/*; do echo x >$f; done; echo '{}' >.sandbox.json; "
		   "$ctl policy check GET https://one.test/"),
		1);
	assert_non_null(strstr(t.err, "sandboxctl policy approve"));
	assert_int_equal(sh("cd ../app && $ctl policy approve --yes && rm -r config"), 0);
}

static void test_policy_explain(void **state)
{
	(void)state;
	assert_int_equal(
		sh("mkdir -p ../exp/.git && cd ../exp && export XDG_CONFIG_HOME=$PWD/config && "
		   "$ctl policy allow one.test --path '/v1/**' && $ctl policy deny '**.two.test' && "
		   "$ctl policy allow a.two.test"),
		0);
	assert_int_equal(
		sh("cd ../exp && XDG_CONFIG_HOME=$PWD/config $ctl policy explain one.test"), 0);
	assert_non_null(strstr(t.out, "/v1/**"));
	assert_null(strstr(t.out, "two.test"));
	assert_int_equal(
		sh("cd ../exp && XDG_CONFIG_HOME=$PWD/config $ctl policy explain a.two.test"), 0);
	/* The denial is asked first. */
	assert_true(!strncmp(t.out, "deny ", 5));
	assert_non_null(strstr(t.out, "\nallow "));
	assert_int_equal(
		sh("cd ../exp && XDG_CONFIG_HOME=$PWD/config $ctl policy explain none.test"), 0);
	assert_non_null(strstr(t.out, "no rule speaks of none.test"));
	assert_int_equal(
		sh("cd ../exp && XDG_CONFIG_HOME=$PWD/config $ctl policy explain --json github.com"),
		0);
	assert_non_null(strstr(t.out, "\"kind\": \"PolicyExplanation\""));
	assert_non_null(strstr(t.out, "code-hosts-read"));
	assert_int_equal(sh("cd ../exp && $ctl policy explain https://x.test/"), 2);
	assert_int_equal(sh("cd ../exp && $ctl policy explain nosuch x.test"), 3);
}

static void test_start_flags(void **state)
{
	(void)state;
	/* The build folder's git root, which the search would come to, holds our state: S10. */
	assert_int_equal(sh("mkdir -p ../other && touch ../other/.sandbox.json"), 0);
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --disk 1G"), 2);
	assert_non_null(strstr(t.err, "not available yet"));
	assert_int_equal(
		sh("cd ../other && $ctl start --dry-run --json --secret a@b.test:8443 --secret gh@github.com"),
		0);
	assert_non_null(strstr(t.out, "secret-2"));
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --secret a"), 2);
	assert_non_null(strstr(t.err, "NAME@HOST"));
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --secret @b.test"), 2);
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --secret 'a@*.test'"), 2);
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --secret a@b.test:0"), 2);
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --tier king"), 2);
	assert_non_null(strstr(t.err, "deployer"));
	assert_int_equal(
		sh("cd ../other && $ctl start --dry-run --tier deployer | grep '\"tier\": \"deployer\"'"),
		0);
	assert_int_equal(
		sh("cd ../other && $ctl start --dry-run --allow-host a.test:8443 --allow-host '[2606:4700::1111]:22' | grep allow-host-2"),
		0);
	assert_non_null(strstr(t.out, "8443"));
	assert_non_null(strstr(t.out, "ssh"));
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --allow-host '*.com'"), 2);
	assert_non_null(strstr(t.err, "the command line: rules[0].host"));
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --policy nowhere.json"), 2);
	assert_non_null(strstr(t.err, "audit-all"));
	assert_int_equal(
		sh("cd ../other && $ctl start --dry-run --policy offline | grep offline"), 0);
	assert_int_equal(
		sh("cd ../other && echo '{\"version\":1,\"rulez\":[]}' >p.json && $ctl start --dry-run --policy p.json"),
		2);
	assert_non_null(strstr(t.err, "rulez"));
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --image debian"), 2);
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --cpus 99"), 2);
	assert_int_equal(
		sh("cd ../other && echo 'K=V' >env && ln -sf env envlink && $ctl start --dry-run --env-file env | grep K=V"),
		0);
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --env-file envlink"), 2);
	assert_non_null(strstr(t.err, "symbolic link"));
	/* H14: a folder on the way that is a link, a file that is none, one that is too long. */
	assert_int_equal(
		sh("cd ../other && mkdir -p sub && cp env sub/env && $ctl start --dry-run --env-file sub/../sub/env | grep K=V"),
		0);
	assert_int_equal(
		sh("cd ../other && ln -sfn sub sublink && $ctl start --dry-run --env-file sublink/env"),
		2);
	assert_non_null(strstr(t.err, "symbolic link"));
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --env-file sub"), 2);
	assert_non_null(strstr(t.err, "not a regular file"));
	assert_int_equal(
		sh("cd ../other && mkfifo pipe && $ctl start --dry-run --env-file pipe"), 2);
	assert_non_null(strstr(t.err, "not a regular file"));
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --env-file none"), 2);
	assert_non_null(strstr(t.err, "--env-file: none: No such file"));
	assert_int_equal(sh("cd ../other && $ctl start --dry-run -p 80:80 -p 127.0.0.1:80:81"), 2);
	assert_int_equal(sh("cd ../other && $ctl start --dry-run --memory 2g | grep 2048"), 0);
	/* S10 is known before anything is ended or begun. */
	assert_int_equal(sh("$ctl start --dry-run --workspace /"), 1);
	assert_non_null(strstr(t.err, "root of the host's files"));
	assert_int_equal(sh("$ctl start --dry-run -v $XDG_STATE_HOME/sandboxctl:/x"), 1);
	assert_non_null(strstr(t.err, "cannot be shared"));
}

/* Too few fds show as failures inside a guest: said in words before. */
static void test_a_low_limit_of_open_files_is_told(void **state)
{
	(void)state;
	sh("ulimit -n 4096; $ctl doctor");
	assert_non_null(strstr(t.out, "only 4096 files"));
	sh("ulimit -n 8192; $ctl doctor");
	assert_null(strstr(t.out, "only 8192 files"));
}

/* What is wrong is named, with the way out. */
static void test_what_errors_say(void **state)
{
	static const struct {
		const char *line, *says;
		int code;
	} cases[] = {
		{ "$ctl star", "sandboxctl: unknown verb 'star'\n  did you mean: sandboxctl start?",
			2 },
		{ "$ctl help star", "unknown verb 'star'", 2 },
		{ "$ctl stats", "sandboxctl: stats is not available yet", 2 },
		{ "$ctl audit tail nowhere", "there is no audit log of a sandbox nowhere", 3 },
		{ "$ctl audit frob", "audit ls | tail [NAME] | verify", 2 },
		{ "$ctl events nowhere", "no audit log", 3 },
		{ "$ctl top --interval 0", "1 to 3600 seconds", 2 },
		{ "$ctl --color sometimes ls", "--color is auto, always or never", 2 },
		{ "$ctl --color", "--color is auto, always or never", 2 },
		{ "$ctl --json ls", "options go after the verb: sandboxctl ls --json", 2 },
		{ "cd ../other && $ctl start --dry-run --cpus=", "--cpus needs a value", 2 },
		{ "cd ../other && $ctl start --dry-run --memory 2048", "--memory 2048M", 2 },
		{ "cd ../other && $ctl start --dry-run --timeout 400d", "at most 8784h", 2 },
		{ "cd ../other && $ctl start --dry-run -p localhost:80:80", "127.0.0.1:8080:80",
			2 },
		{ "cd ../other && $ctl start --dry-run -e FOO",
			"'FOO' is not of the form KEY=VALUE\n  no value is taken", 2 },
		{ "$ctl start --dry-run --workspace nowhere", "workspace nowhere: No such", 2 },
		{ "cd ../other && $ctl start --dry-run -v nowhere:/x", "share nowhere: No such",
			2 },
		{ "cd / && $ctl status", "there is no sandbox of this folder, /\n", 3 },
		{ "env -u HOME $ctl ls", "set HOME", 1 },
		{ "XDG_RUNTIME_DIR=$PWD/nowhere $ctl ls || ! test -e nowhere", "or unset it", 0 },
		{ "XDG_STATE_HOME=/tmp/made-in-vain $ctl ls; r=$?; rmdir /tmp/made-in-vain; exit $r",
			"folder /tmp: anybody may write in it", 1 },
		{ "$ctl ls >/dev/full", "cannot write to stdout: No space", 1 },
		{ "$ctl ls --json >/dev/full", "cannot write to stdout", 1 },
		{ "$ctl cp --limit z box:a b", "--limit z: not a size", 2 },
		{ "mkdir -p ../gone && cd ../gone && rmdir ../gone && $ctl status",
			"the folder that you are in cannot be found", 1 },
		{ "$ctl prune --yes && $ctl prune </dev/null", "nothing to remove", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int code = sh(cases[i].line);

		if (code != cases[i].code || !strstr(t.err, cases[i].says))
			fail_msg("%s: exit code %d, and: %s", cases[i].line, code, t.err);
	}
	assert_int_equal(sh("$ctl frob --json"), 2);
	assert_non_null(strstr(t.out, "\"error\": \"usage\""));
	start_fake(false, NULL);
	assert_int_equal(sh("$ctl logs"), 1);
	assert_non_null(strstr(t.err, "has no main command"));
	assert_non_null(strstr(t.err, "sandboxctl console box"));
	stop_fake();
	assert_int_equal(sh("$ctl rm -f box"), 0);
}

/* H15: what ssh itself makes of the configuration. */
static void test_ssh_configuration(void **state)
{
	static const char *const lines[] = { "user sandbox\n", "hostkeyalias box\n",
		"forwardagent no\n", "forwardx11 no\n", "gssapiauthentication no\n",
		"permitlocalcommand no\n", "stricthostkeychecking true\n", "identityagent none\n",
		"identitiesonly yes\n", "updatehostkeys false\n", "controlmaster false\n",
		"globalknownhostsfile /dev/null\n", "preferredauthentications publickey\n" };

	(void)state;
	if (access("/usr/bin/ssh", X_OK) < 0)
		skip();
	start_fake(false, NULL);
	assert_int_equal(sh("$ctl ssh-config >../ssh.conf && ssh -G -F ../ssh.conf box"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		assert_non_null(strstr(t.out, lines[i]));
	assert_null(strstr(t.out, "sendenv"));
	assert_non_null(strstr(t.out, "/ssh/id_ed25519\n"));
	assert_non_null(strstr(t.out, "/ssh/known_hosts\n"));
	assert_int_equal(sh("ssh -G -F ../ssh.conf box.sandbox | grep -q 'ssh-proxy box$'"), 0);
	assert_int_equal(sh("$ctl ssh box -- true"), 125); /* the fake has no keys */
	assert_non_null(strstr(t.err, "no ssh keys"));
	stop_fake();
}

static void test_completion_is_a_script(void **state)
{
	(void)state;
	assert_int_equal(sh("$ctl completion bash | bash -n"), 0);
	assert_int_equal(sh("! $ctl completion bash | grep -e eval -e compgen"), 0);
	start_fake(false, NULL);
	/* What it offers: verbs, options, names; a hostile word expands nothing. */
	assert_int_equal(
		sh("PATH=${ctl%/*}:$PATH; source <($ctl completion bash); "
		   "try() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _sandboxctl; echo \"${COMPREPLY[*]}\"; }; "
		   "try sandboxctl sta; try sandboxctl status --js; try sandboxctl exec b; try sandboxctl exec '$(touch pwned)'; "
		   "try sandboxctl exec box -- b; ls pwned"),
		2);
	assert_string_equal(t.out, "start status\n--json\nbox\n\n\n");
	stop_fake();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_bytes_are_untouched_in_pipes),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_terminal_comes_back),
		cmocka_unit_test(test_filter_on_a_terminal),
		cmocka_unit_test(test_attach_and_detach),
		cmocka_unit_test(test_shell_without_a_terminal),
		cmocka_unit_test(test_copy_out),
		cmocka_unit_test(test_copy_out_of_a_lying_agent),
		cmocka_unit_test(test_copy_out_is_named_here),
		cmocka_unit_test(test_copy_out_over_links),
		cmocka_unit_test(test_copy_in),
		cmocka_unit_test(test_json_forms),
		cmocka_unit_test(test_which_sandbox),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_policy_check_is_the_decision),
		cmocka_unit_test(test_policy_init),
		cmocka_unit_test(test_policy_init_private),
		cmocka_unit_test(test_words_below_a_noun),
		cmocka_unit_test(test_policy_approve),
		cmocka_unit_test(test_policy_explain),
		cmocka_unit_test(test_start_flags),
		cmocka_unit_test(test_a_low_limit_of_open_files_is_told),
		cmocka_unit_test(test_what_errors_say),
		cmocka_unit_test(test_ssh_configuration),
		cmocka_unit_test(test_completion_is_a_script),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
