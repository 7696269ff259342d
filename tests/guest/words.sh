#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=300 user=dev takes=20
# What a user is told who asks for what is not there, and what is left of a run that was interrupted: nothing.
. "$TREE/tests/lib/sandbox.bash"

# told STATUS WORDS COMMAND...: the exit status, and what stderr says.
told() {
	local status=$1 words=$2 got=0 said
	shift 2
	said=$("$@" 2>&1 >/dev/null </dev/null) || got=$?
	equal "exit status of $*" "$status" "$got"
	contains "$*" "$said" "$words"
}

note "a start that is interrupted, and a run: before there is a machine, and while it boots"
folder=$(project words)
cd "$folder"
for delay in 1 3; do
	"$SANDBOXCTL" run --kernel "$KERNEL" --cpus 1 --memory 256M -- sleep 1000 </dev/null >run.log 2>&1 &
	pid=$!
	sleep $delay
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	equal "a run that was told to end after $delay s" 143 $status
	equal "what it left" "" "$(ctl ls -q)"
done

note "who has no name in the guest, what is not there"
mkfifo pipe
echo data >file
start words "$folder"
told 125 "user stranger: the guest has none of that name" ctl exec --user stranger -- true
told 125 "folder /nowhere in the guest: No such" ctl exec --cwd /nowhere -- true
told 127 "no-such-program is not there" ctl exec -- no-such-program
told 126 "/etc/passwd is there and cannot be run" ctl exec -- /etc/passwd
told 127 "" ctl exec -- sh -c 'exit 127'
told 1 "/nowhere in the guest: " ctl cp :/nowhere .
told 1 "--user root copies" ctl cp :/etc/shadow .
told 1 "is not replaced" ctl cp :/etc/passwd pipe
told 1 "has no main command" ctl logs
[ "$(id -u)" -eq 0 ] || told 1 "-p 8080:80" ctl start other --workspace "$(project other)" --no-attach -p 80:80
told 0 "words removed" sh -c "$SANDBOXCTL rm words >&2"
