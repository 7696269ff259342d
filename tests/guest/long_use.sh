#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=900 user=root takes=90
# A sandbox that is used a lot costs no more than one that is new: fds and private memory of VMM, link and supervisor before and after
# many execs, some broken off, and thousands of file operations.
. "$TREE/tests/lib/sandbox.bash"

[ "$(id -u)" -eq 0 ] || {
	echo "looking into jailed processes takes root"
	exit 77
}
as_user
folder=$(project used)
cat >"$folder/files.py" <<'P'
import os, sys
count = int(sys.argv[1]) // 8
for i in range(count):
    with open(f"f{i}", "w") as f: f.write("x" * i)
    os.chmod(f"f{i}", 0o600)
    os.stat(f"f{i}")
    os.symlink(f"f{i}", f"l{i}")
    os.rename(f"f{i}", f"g{i}")
    with open(f"g{i}") as f: f.read()
    os.unlink(f"l{i}")
    os.unlink(f"g{i}")
print(len(os.listdir(".")))
P

# private_kib PID: memory of its own, guest RAM (the one mapping of its size) left out.
private_kib() {
	awk -v ram_kib=$((256 * 1024)) '
		/^Size:/ { ram = $2 >= ram_kib }
		/^Private_(Clean|Dirty):/ && !ram { sum += $2 }
		END { print sum }' "/proc/$1/smaps"
}

fds() {
	find "/proc/$1/fd" -mindepth 1 | wc -l
}

# use EXECS OPERATIONS
use() {
	local i j waits
	for ((i = 0; i < $1; i += 10)); do
		waits=()
		for ((j = 0; j < 8; j++)); do
			inside used 'echo to stdout; echo to stderr >&2' >/dev/null 2>&1 </dev/null &
			waits+=($!)
		done
		# Two that are broken off, one of them with output that nobody reads.
		timeout -s KILL 2 "$SANDBOXCTL" exec used -- sleep 100 >/dev/null 2>&1 </dev/null &
		waits+=($!)
		mkfifo "$SCRATCH/unread.$i" 2>/dev/null || true
		timeout -s KILL 2 "$SANDBOXCTL" exec used -- yes 2>/dev/null </dev/null 1<>"$SCRATCH/unread.$i" &
		waits+=($!)
		wait "${waits[@]}" || true
	done
	equal "files left" 2 "$(inside used "mkdir -p d && cd d && python3 ../files.py $2 && cd .. && ls | wc -l" | tail -n1)"
	until_true 20 "the guest ended what was broken off" sh -c '! "$0" exec used -- pgrep -x "sleep|yes" >/dev/null' "$SANDBOXCTL"
	ctl cp "$folder/files.py" used:/tmp/copy
	sleep 1
}

start used "$folder"
use 20 800
declare -A memory_before fds_before
for process in vmm link supervisor; do
	pid=$(data used ${process}_pid)
	memory_before[$process]=$(private_kib "$pid")
	fds_before[$process]=$(fds "$pid")
done
began=$SECONDS
execs=60 operations=3000
use "$execs" "$operations"
echo "$execs execs and $operations operations: $((SECONDS - began)) s"
for process in vmm link supervisor; do
	pid=$(data used ${process}_pid)
	memory=$(private_kib "$pid")
	echo "$process: private ${memory_before[$process]} then $memory KiB, fds ${fds_before[$process]} then $(fds "$pid")"
	[ "${memory_before[$process]}" -gt 0 ] || fail "$process: its memory could not be read"
	[ "$memory" -le $((memory_before[$process] + 512)) ] || fail "$process: $((memory - memory_before[$process])) KiB more"
	[ "$(fds "$pid")" -le $((fds_before[$process] + 2)) ] || fail "$process: $(fds "$pid") fds, ${fds_before[$process]} before"
done
