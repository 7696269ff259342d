#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=600 user=root takes=60
# H1, H2: state folder, runtime folder and workspace on full file systems. Errors name the folder, what ends is ended, nothing is
# corrupt, no stale record stands in the way, and with space again all works.
set -euo pipefail

# Small file systems, in a mount namespace of this test's own so that they go with it.
if [ -z "${DISKS:-}" ]; then
	[ "$(id -u)" -eq 0 ] || {
		echo "making file systems takes root"
		exit 77
	}
	[ "${TESTBED:-}" != 1 ] || NO_CGROUP=1 "$TREE/tests/testbed/as-dev" true # its own mounts, before ours
	export DISKS=$SCRATCH/disks XDG_STATE_HOME=$SCRATCH/disks/state XDG_RUNTIME_DIR=$SCRATCH/disks/run
	exec unshare --mount bash -c '
		for disk in state run work; do
			mkdir -p "$DISKS/$disk"
			mount -t tmpfs -o size=24m,nr_inodes=3000,mode=700 $disk "$DISKS/$disk"
		done
		exec bash "$0"' "$0"
fi
. "$TREE/tests/lib/sandbox.bash"
as_user

folder=$(project here)
disk=$DISKS/work
records=$XDG_STATE_HOME/sandboxctl/sandboxes

# fill DISK: no byte and no inode is left.
fill() {
	mkdir -p "$1/ballast"
	dd if=/dev/zero of="$1/ballast/bytes" bs=64k 2>/dev/null || true
	python3 -c '
import os, sys
try:
    for i in range(1 << 20): os.close(os.open(f"{sys.argv[1]}/ballast/{i}", os.O_CREAT | os.O_WRONLY))
except OSError: pass' "$1"
	attempt "a byte on a full disk" sh -c "echo x >'$1/ballast/bytes2'" 2>/dev/null
}

free_up() {
	rm -rf "$1/ballast"
}

# says WHAT PART PROGRAM...: fails within a minute, with PART in its words.
words=$SCRATCH/words
says() {
	local what=$1 part=$2
	shift 2
	attempt "$what" timeout 60 "$@" >"$words" 2>&1 </dev/null
	contains "$what" "$(cat "$words")" "$part"
	echo "$what: $(head -n1 "$words")"
}

# whole: no record is broken, no half-written file is left.
whole() {
	local record
	for record in "$records"/*/record.json; do
		[ ! -e "$record" ] || jq -e .version "$record" >/dev/null || fail "$record is broken"
	done
	equal "$1: half-written files" "" "$(find "$XDG_STATE_HOME" "$XDG_RUNTIME_DIR" -name '*.new*')"
}

# A start without help from this library.
plain=("$SANDBOXCTL" start full --no-attach --kernel "$KERNEL" --cpus 1 --memory 256M --workspace "$folder")

# starts_or_says FLAGS...: what an end gave back may be enough for another start, which then is whole; else it says so.
starts_or_says() {
	if timeout 60 "${plain[@]}" "$@" >"$words" 2>&1 </dev/null; then
		equal "a start on full disks" works "$(inside full 'echo works')"
		timeout 60 "$SANDBOXCTL" stop full || fail "stop again: exit status $?"
	else
		contains "a start on full disks" "$(cat "$words")" "$XDG_STATE_HOME/sandboxctl"
	fi
	echo "a start on full disks: $(head -n1 "$words")"
}

note "a full state folder, before the first start"
sandboxes+=(full)
fill "$XDG_STATE_HOME"
says "start" "$XDG_STATE_HOME/sandboxctl" "${plain[@]}"
contains "and why" "$(cat "$words")" "No space left on device"
free_up "$XDG_STATE_HOME"
equal "ls" "[]" "$(ctl ls --json | jq -c .data)"
fill "$XDG_STATE_HOME"
says "start, its folder there" "$XDG_STATE_HOME/sandboxctl" "${plain[@]}"
contains "and why" "$(cat "$words")" "No space left on device"
says "start --fresh" "$XDG_STATE_HOME/sandboxctl" "${plain[@]}" --fresh
equal "ls" "[]" "$(ctl ls --json | jq -c .data)"
free_up "$XDG_STATE_HOME"

note "a full runtime folder"
fill "$XDG_RUNTIME_DIR"
says "start" "$XDG_RUNTIME_DIR/sandboxctl" "${plain[@]}"
contains "and why" "$(cat "$words")" "No space left on device"
free_up "$XDG_RUNTIME_DIR"
attempt "anything that runs" pgrep -x sandbox-vmm
whole "after starts that failed"

note "a state folder that fills while a sandbox runs"
start full "$folder" -v "$disk:/disk" -- sh -c 'while :; do head -c 20000 /dev/urandom | base64; sleep 0.2; done'
echo before >"$disk/kept"
chown --reference "$disk" "$disk/kept"
vmm=$(data full vmm_pid)
fill "$XDG_STATE_HOME"
fill "$XDG_RUNTIME_DIR"
equal "exec" works "$(inside full 'echo works')"
inside_root full 'head -c 100000 /dev/zero | tr "\0" "x" | fold -w 100 >/dev/console' || fail "the console took no more"
equal "exec after much console output" works "$(inside full 'echo works')"
equal "status" running "$(data full state)"
echo up >"$SCRATCH/up"
ctl cp "$SCRATCH/up" full:/tmp/up
equal "cp in" up "$(inside full 'cat /tmp/up')"
says "cp out to a full disk" "$XDG_STATE_HOME/out" "$SANDBOXCTL" cp full:/etc/passwd "$XDG_STATE_HOME/out"
attempt "a half-copied file" test -s "$XDG_STATE_HOME/out"

note "a workspace that is full"
fill "$disk"
equal "a guest that writes" "No space left on device" "$(inside full 'echo x >/disk/new' 2>&1 | grep -o 'No space left on device' || true)"
equal "a guest that writes much" "No space left on device" \
	"$(inside full 'dd if=/dev/zero of=/disk/kept bs=64k count=100 conv=notrunc oflag=append 2>&1' | grep -o 'No space left on device' || true)"
equal "what was there" before "$(head -n1 "$disk/kept")"
says "cp in to it" full:/disk/from-host "$SANDBOXCTL" cp "$words" full:/disk/from-host
contains "and why" "$(cat "$words")" "No space left on device"
free_up "$disk"
inside full 'echo after >/disk/new'
equal "with space again" after "$(cat "$disk/new")"

note "it ends on full disks too"
fill "$disk"
timeout 60 "$SANDBOXCTL" stop full || fail "stop: exit status $?"
until_true 10 "its VMM is gone" gone "$vmm"
attempt "a status that says running" is full state running
equal "nothing runs" "" "$(ctl ls --running --quiet)"
starts_or_says
whole "on full disks"
free_up "$XDG_STATE_HOME"
free_up "$XDG_RUNTIME_DIR"

note "with space again, --fresh of one that runs"
"${plain[@]}" </dev/null
equal "it works, its workspace full" works "$(inside full 'echo works')"
vmm=$(data full vmm_pid)
fill "$XDG_STATE_HOME"
starts_or_says --fresh
until_true 10 "the old one is gone all the same" gone "$vmm"
timeout 60 "$SANDBOXCTL" rm full --workspace "$folder" || fail "rm on a full disk: exit status $?"
attempt "a record of it" test -e "$records/full"
free_up "$XDG_STATE_HOME"
free_up "$disk"
start full "$folder"
equal "all works" works "$(inside full 'echo works')"
whole "in the end"
