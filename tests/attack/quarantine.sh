#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=600 user=root takes=80
# H1: what the kernel does not let go is reported by name and kept apart; when it has gone, stop and prune clean up. A frozen file
# system (fsfreeze) makes the VMM's thread that writes to it as unkillable as a dead disk does.
set -euo pipefail
. "$TREE/tests/lib/sandbox.bash"
PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" -eq 0 ] || {
	echo "freezing a file system takes root"
	exit 77
}
as_user

folder=$(project work)
truncate -s 64M "$SCRATCH/disk"
mkfs.ext4 -q "$SCRATCH/disk"
mount -o loop "$SCRATCH/disk" "$folder"
clean_up "umount '$folder'"
clean_up "timeout 60 '$SANDBOXCTL' rm --force stuck; true"
clean_up "fsfreeze --unfreeze '$folder' 2>/dev/null"
chown --reference "$SCRATCH" "$folder"

# stuck PID: it has a thread in uninterruptible sleep.
stuck() {
	cat "/proc/$1"/task/*/stat 2>/dev/null | sed 's/.*) //' | grep -q ^D
}

# freeze: the guest writes, and its VMM hangs in that.
freeze() {
	vmm=$(data stuck vmm_pid)
	fsfreeze --freeze "$folder"
	ctl exec stuck -- sh -c 'echo x >written' >/dev/null 2>&1 </dev/null &
	writer=$!
	until_true 20 "a thread of the VMM hangs" stuck "$vmm"
}

# quarantined: stop does not get rid of it, and says what is left.
quarantined() {
	status_of 1 timeout 100 "$SANDBOXCTL" stop stuck --grace 1s >"$SCRATCH/words" 2>&1
	cat "$SCRATCH/words"
	contains "stop names the process" "$(cat "$SCRATCH/words")" "$vmm sandbox-vmm"
	contains "and says why" "$(cat "$SCRATCH/words")" uninterruptible
	equal "state" quarantined "$(data stuck state)"
	contains "reason" "$(data stuck reason)" "$vmm sandbox-vmm"
	attempt "H1: it has gone" gone_whole "$vmm"
	wait $writer || true
}

# gone_whole PID: a process whose first thread has ended is there as long as another one is.
gone_whole() {
	[ ! -e "/proc/$1" ] || ! stuck "$1"
}

start stuck "$folder"
instance=$(data stuck instance)
note "a process that cannot be killed"
freeze
quarantined
note "it does not stand for a sandbox that runs, and nothing hides it"
attempt "a start" timeout 100 "$SANDBOXCTL" start stuck --no-attach --workspace "$folder" --kernel "$KERNEL" </dev/null 2>"$SCRATCH/words"
cat "$SCRATCH/words"
contains "start says so" "$(cat "$SCRATCH/words")" quarantined
attempt "a fresh start" timeout 100 "$SANDBOXCTL" start stuck --fresh --no-attach --workspace "$folder" --kernel "$KERNEL" </dev/null 2>"$SCRATCH/words"
cat "$SCRATCH/words"
contains "start --fresh says so" "$(cat "$SCRATCH/words")" "$vmm sandbox-vmm"
attempt "an exec" timeout 60 "$SANDBOXCTL" exec stuck -- true 2>"$SCRATCH/words"
cat "$SCRATCH/words"
ctl prune --yes
equal "prune leaves it" quarantined "$(data stuck state)"
equal "ls shows it" quarantined "$(ctl ls --json | jq -r '.data[0].state')"

note "thawed: stop cleans up"
fsfreeze --unfreeze "$folder"
until_true 20 "it ends at last" test ! -e "/proc/$vmm"
timeout 60 "$SANDBOXCTL" stop stuck
equal "state" failed "$(data stuck state)"
start stuck "$folder"
attempt "the same instance" test "$instance" = "$(data stuck instance)"
equal "it works again" x "$(inside stuck 'echo x >again; cat again')"

note "its supervisor was killed, and what hangs is left: nobody could note that, and status sees it all the same"
freeze
kill -KILL "$(data stuck supervisor_pid)"
until_true 20 "state" is stuck state quarantined
contains "reason" "$(data stuck reason)" "$vmm sandbox-vmm"
attempt "H1: it has gone" gone_whole "$vmm"
wait $writer || true
fsfreeze --unfreeze "$folder"
until_true 20 "it ends at last" test ! -e "/proc/$vmm"
note "thawed: prune cleans up"
ctl prune --yes
attempt "a record of it" test -e "$XDG_STATE_HOME/sandboxctl/sandboxes/stuck"

note "what hangs in its control group, and is in no other way its own"
own=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
mkdir "$own/session"
chown --reference "$SCRATCH" "$own" "$own/cgroup.procs" "$own/session" "$own/session/cgroup.procs"
echo $$ >"$own/session/cgroup.procs"
start stuck "$folder"
group=$(data stuck cgroup)
fsfreeze --freeze "$folder"
setsid dd if=/dev/zero of="$folder/stray" count=1 2>/dev/null &
stray=$!
until_true 20 "the stray hangs" stuck "$stray"
echo "$stray" >"$group/cgroup.procs"
status_of 1 timeout 100 "$SANDBOXCTL" stop stuck --grace 1s >"$SCRATCH/words" 2>&1
cat "$SCRATCH/words"
contains "stop names it" "$(cat "$SCRATCH/words")" "$stray dd (in uninterruptible sleep)"
equal "state" quarantined "$(data stuck state)"
fsfreeze --unfreeze "$folder"
wait "$stray" || true
timeout 60 "$SANDBOXCTL" stop stuck
attempt "H1: the group" test -e "$group"
