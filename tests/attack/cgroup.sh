#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=400
# H1 and H9 by control groups: a sandbox's processes are in a group of their own, which ends with it whatever hangs or was
# killed; a limit that this host cannot keep is an error before anything runs.
set -euo pipefail
. "$TREE/tests/lib/sandbox.bash"

folder=$(project one)
parent=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
parent=${parent%/*}

# groups: how many groups of sandboxes there are.
groups() {
	find "$parent" -maxdepth 1 -name 'sandboxctl-*' | wc -l
}

[ -w "$parent/cgroup.procs" ] || {
	echo "this user has no part of the cgroup v2 tree"
	exit 77
}

start one "$folder" --pids 200
group=$(data one cgroup)
vmm=$(data one vmm_pid) supervisor=$(data one supervisor_pid) link=$(data one link_pid)

note "H9: VMM and link are in a group of their own, with the limit"
equal "the limit" 200 "$(cat "$group/pids.max")"
for pid in "$vmm" "$link"; do # and KVM's own thread of the machine
	grep -qx "$pid" "$group/cgroup.procs" || fail "process $pid is not in $group"
done
attempt "the supervisor is in the group that it ends" grep -qx "$supervisor" "$group/cgroup.procs"
[ "$(cat "$group/pids.current")" -gt 2 ] || fail "the group counts nothing"
contains "doctor says so" "$(ctl doctor || true)" "a group of their own"

note "H1: what is in the group and nowhere else ends with the sandbox"
(
	# A process that left the process group and the session, as no jailed one can: cgroup.kill alone knows it.
	setsid sleep 1000 &
	echo $! >"$SCRATCH/stray"
)
stray=$(cat "$SCRATCH/stray")
clean_up "kill $stray"
echo "$stray" >"$group/cgroup.procs"
kill -STOP "$vmm"
ctl stop one --grace 2s
until_true 20 "the stopped VMM is gone" gone "$vmm"
until_true 20 "what was beside it is gone" gone "$stray"
attempt "H1: the group after stop" test -e "$group"

note "H1: a killed supervisor leaves no group behind after the next verb"
start one "$folder"
group=$(data one cgroup) supervisor=$(data one supervisor_pid) vmm=$(data one vmm_pid)
equal "the limit is kept with the flags" 200 "$(cat "$group/pids.max")"
kill -KILL "$supervisor"
until_true 20 "the VMM ends with its supervisor" gone "$vmm"
(cd "$folder" && ctl rm one --force)
attempt "H1: the group after rm" test -e "$group"
equal "groups left" 0 "$(groups)"

note "H9: where nothing is delegated, a limit is refused before anything runs, and all else works"
cat >"$SCRATCH/outside" <<'SCRIPT'
. "$TREE/tests/lib/sandbox.bash"
mkdir -p "$HOME/outside"
if ctl start outside --no-attach --workspace "$HOME/outside" --kernel "$KERNEL" --pids 200 </dev/null 2>"$HOME/outside.err"; then
	fail "H9: a limit that nobody keeps was accepted"
fi
contains "the error names the limit" "$(cat "$HOME/outside.err")" "--pids 200"
contains "the error says what to do" "$(cat "$HOME/outside.err")" "systemd-run"
SCRIPT
# A group that has no parent of ours: the one above, where only its leaf may be written.
chmod a-w "$parent/cgroup.procs"
clean_up "chmod u+w '$parent/cgroup.procs'"
bash "$SCRATCH/outside"
mkdir -p "$SCRATCH/plain"
start plain "$SCRATCH/plain"
equal "a sandbox without a group works" ok "$(inside plain 'echo ok')"
equal "and says that it has none" null "$(data plain cgroup)"
echo "cgroup: held"
