# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For tests/guest/*.sh and tests/attack/*.sh: `. "$TREE/tests/lib/sandbox.bash"`. What the environment has: tests/testbed/worker.
#
# Every sandbox that a test starts by these functions is removed when the test ends, whatever its outcome. A test is a sequence of
# lines that succeed; `attempt` is for what must not.
set -euo pipefail

# The minimal kernel boots fastest under emulation; a test about another kernel says so itself.
KERNEL=${KERNEL:-minimal}
sandboxes=()
clean_ups=()
failures=0

# fail WORDS: ends the test, unless the folder of results has a file `keep-going`: then all that fails is seen in one run.
fail() {
	printf 'FAILED: %s\n' "$*" >&2
	[ -e "$OUT/../../keep-going" ] || exit 1
	failures=$((failures + 1))
}

# clean_up COMMAND: shell text that is run when the test ends, the last one first.
clean_up() {
	clean_ups=("$1" "${clean_ups[@]}")
}

note() {
	printf -- '-- %s s: %s\n' "$SECONDS" "$*"
}

# equal WHAT WANTED GOT
equal() {
	[ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"
}

# contains WHAT TEXT PART
contains() {
	case $2 in
	*"$3"*) ;;
	*) fail "$1: '$3' is not in: $2" ;;
	esac
}

# status_of WANTED COMMAND...: runs it; its exit status must be WANTED. Output goes on.
status_of() {
	local wanted=$1 got=0
	shift
	"$@" || got=$?
	[ "$got" -eq "$wanted" ] || fail "$*: exit status $got instead of $wanted"
}

# attempt WHAT COMMAND...: must fail. WHAT says what would be lost.
attempt() {
	local what=$1
	shift
	if "$@"; then
		fail "$what: it was let through: $*"
	fi
}

ctl() {
	"$SANDBOXCTL" "$@"
}

# as_user: in a test that is root's, from here on sandboxctl runs as the testbed's ordinary user, who then owns $SCRATCH. (What
# root's own sandboxctl leaves in the cache would be closed to the tests of others.)
as_user() {
	[ "$(id -u)" -eq 0 ] && [ "${TESTBED:-}" = 1 ] || return 0
	NO_CGROUP=1 "$TREE/tests/testbed/as-dev" true
	mkdir -p "$XDG_STATE_HOME"
	chown -R 1001:1001 "$SCRATCH" "$XDG_RUNTIME_DIR"
	printf '#!/bin/bash\nexec setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all env XDG_CACHE_HOME=%s %q "$@"\n' \
		/scratch/home/dev/.cache "$SANDBOXCTL" >"$SCRATCH/sandboxctl"
	chmod 755 "$SCRATCH/sandboxctl"
	SANDBOXCTL=$SCRATCH/sandboxctl
}

# project NAME: an empty project folder below $SCRATCH; prints it.
project() {
	mkdir -p "$SCRATCH/$1"
	chown --reference "$SCRATCH" "$SCRATCH/$1"
	printf '%s\n' "$SCRATCH/$1"
}

# start NAME FOLDER [FLAGS...] [-- CMD ...]: a running sandbox on FOLDER, without attaching. $KERNEL, 1 CPU and 256 MiB unless
# the flags say otherwise.
start() {
	local name=$1 folder=$2 flags
	shift 2
	sandboxes+=("$name")
	flags=(--workspace "$folder")
	[[ " $* " == *" --kernel "* ]] || flags+=(--kernel "$KERNEL")
	[[ " $* " == *" --cpus "* ]] || flags+=(--cpus 1)
	[[ " $* " == *" --memory "* ]] || flags+=(--memory 256M)
	ctl start "$name" --fresh --no-attach "${flags[@]}" "$@" </dev/null
}

# inside NAME SCRIPT: a shell script in the guest, as user sandbox, from /workspace.
inside() {
	ctl exec "$1" -- sh -c "$2"
}

# inside_root NAME SCRIPT
inside_root() {
	ctl exec "$1" --user root -- sh -c "$2"
}

# forwards NAME PORT: `ssh -L` brings what a server inside says to this port of the host.
forwards() {
	local forward
	inside "$1" 'mkdir -p /tmp/www; echo over ssh >/tmp/www/x; cd /tmp/www; nohup python3 -m http.server 8000 --bind 127.0.0.1 >/tmp/http 2>&1 &'
	until_true 60 "the guest's server" inside "$1" 'curl -s http://127.0.0.1:8000/x'
	"$SANDBOXCTL" ssh -N -L "$2:127.0.0.1:8000" "$1" </dev/null >forward.said 2>&1 &
	forward=$!
	clean_up "kill $forward 2>/dev/null"
	until_true 60 "the forwarded port" eval "[ \"\$(curl -s -m 5 http://127.0.0.1:$2/x)\" = 'over ssh' ]"
	cat forward.said
	kill $forward
	wait $forward || true
}

# plain TEXT FIELD: a number or a string without escapes from the JSON that sandboxctl prints. jq takes a fifth of a second in a
# testbed to come up.
plain() {
	local pattern=$'\n    "'$2'": ("([^"\\]*)"|[0-9]+|true|false),?'$'\n'
	[[ $2 =~ ^[a-z_]+$ && $1 =~ $pattern ]] || return 1
	case ${BASH_REMATCH[1]} in
	'"'*) printf '%s\n' "${BASH_REMATCH[2]}" ;;
	*) printf '%s\n' "${BASH_REMATCH[1]}" ;;
	esac
}

# data NAME FIELD: a field of status --json.
data() {
	local text code=0
	text=$(ctl status "$1" --json) || code=$?
	plain "$text" "$2" || jq -r ".data.$2" <<<"$text"
	return $code
}

# is NAME FIELD VALUE: for until_true.
is() {
	[ "$(data "$1" "$2")" = "$3" ]
}

# until_true SECONDS WHAT COMMAND...: asks again until it succeeds.
until_true() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		if [ $SECONDS -ge $end ]; then
			fail "$what: not within the time"
			return 0
		fi
		sleep 0.3
	done
}

# walls PID [KIND...]: what /proc says of a jailed process (H8); KIND: namespaces it may share with us.
walls() {
	local status=/proc/$1/status kind
	equal "no capability in force" 0000000000000000 "$(awk '/^CapEff/{print $2}' "$status")"
	equal "none to be had" 0000000000000000 "$(awk '/^CapBnd/{print $2}' "$status")"
	equal "a seccomp filter" 2 "$(awk '/^Seccomp:/{print $2}' "$status")"
	equal "no new privileges" 1 "$(awk '/^NoNewPrivs/{print $2}' "$status")"
	equal "pid 1 of its namespace" 1 "$(awk '/^NSpid/{print $NF}' "$status")"
	for kind in user pid mnt net ipc uts; do
		[[ " ${*:2} " != *" $kind "* ]] || continue
		attempt "H8: shares the $kind namespace with us" test "$(readlink "/proc/$1/ns/$kind" 2>/dev/null)" = \
			"$(readlink "/proc/self/ns/$kind")"
	done
}

# gone PID: whether no such process is left (a zombie counts as gone).
gone() {
	[ ! -e "/proc/$1" ] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

remove_sandboxes() {
	local name text code=$?
	[ $code -ne 0 ] || [ $failures -eq 0 ] || code=1
	for text in "${clean_ups[@]}"; do
		eval "$text" || true
	done
	for name in "${sandboxes[@]}"; do
		if [ $code -ne 0 ]; then
			printf -- '-- %s: last console lines\n' "$name" >&2
			timeout 20 "$SANDBOXCTL" console "$name" 2>&1 | tail -n 15 >&2 || true
			timeout 20 "$SANDBOXCTL" status "$name" --json >&2 || true
			printf -- '-- %s: its processes\n' "$name" >&2
			timeout 20 "$SANDBOXCTL" exec "$name" --user root -- ps axo pid,stat,time,wchan:24,args </dev/null 2>&1 | grep -v '\]$' | cut -c1-160 >&2 || true
		fi
		timeout 60 "$SANDBOXCTL" rm --force "$name" >/dev/null 2>&1 || true
	done
	exit $code
}
trap remove_sandboxes EXIT
trap 'exit 143' TERM # else bash's clean-up is told that all is well
