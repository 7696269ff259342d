#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=400 takes=35
# A guest whose agent is held up, heard again, and at last killed: the machine runs on, status says so, nothing hangs, and the
# end of PID 1 is a failure with its reason.
set -euo pipefail
. "$TREE/tests/lib/sandbox.bash"

folder=$(project one)
cat >"$folder/hold" <<'PYTHON'
# Holds PID 1 by ptrace, as long as /workspace/held is there; then lets it go, or (with `kill`) takes its instruction pointer.
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
ATTACH, DETACH, POKEUSER, CONT, RIP = 16, 17, 6, 7, 16 * 8
if libc.ptrace(ATTACH, 1, 0, 0) < 0:
    sys.exit("attach: " + os.strerror(ctypes.get_errno()))
os.waitpid(1, 0x40000000)  # __WALL
open("/workspace/attached", "w").close()
while os.path.exists("/workspace/held"):
    time.sleep(0.2)
if sys.argv[1:] == ["kill"]:
    libc.ptrace(POKEUSER, 1, RIP, 1)
libc.ptrace(DETACH, 1, 0, 0)
PYTHON

# hold WORDS: PID 1 of the guest is held when this returns.
hold() {
	touch "$folder/held"
	rm -f "$folder/attached"
	ctl exec one --user root -- python3 /workspace/hold "$@" >"$SCRATCH/hold.log" 2>&1 </dev/null &
	until_true 30 "PID 1 is held ($(cat "$SCRATCH/hold.log"))" test -e "$folder/attached"
}

# in_words COMMAND...: fails within a few seconds, and says why.
in_words() {
	local begin=$SECONDS text
	if text=$(timeout 60 "$@" 2>&1 </dev/null); then
		fail "$*: it worked on a guest that is held"
	fi
	[ $((SECONDS - begin)) -le 8 ] || fail "$*: it took $((SECONDS - begin)) s to say so"
	contains "$*" "$text" "does not answer"
}

start one "$folder"
equal "healthy at first" healthy "$(data one health)"

note "held up: what was begun meanwhile ends, the machine runs on"
hold
begin=$SECONDS
attempt "an exec that the held agent never answered" timeout 100 "$SANDBOXCTL" exec one -- true </dev/null
[ $((SECONDS - begin)) -le 60 ] || fail "it waited $((SECONDS - begin)) s"
until_true 40 "health: lost" is one health lost
equal "the machine runs" running "$(data one state)"
in_words "$SANDBOXCTL" exec one -- true
in_words "$SANDBOXCTL" shell one
in_words "$SANDBOXCTL" cp one:/etc/hostname "$SCRATCH/hostname"

note "heard again: all is well"
rm "$folder/held"
until_true 40 "health: healthy" is one health healthy
equal "exec works again" ok "$(inside one 'echo ok')"

note "killed: the guest's kernel panics, and the sandbox has failed"
hold kill
rm "$folder/held"
until_true 60 "failed" is one state failed
contains "the reason" "$(data one reason)" panic
attempt "an exec on a failed sandbox" timeout 30 "$SANDBOXCTL" exec one -- true </dev/null
echo "agent-lost: held"
