#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/testbed/run with a stand-in for QEMU: exit statuses, the one repetition after QEMU's own abort, runs side by side.
set -euo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache STAND_IN=$work
kernel=$XDG_CACHE_HOME/sandboxctl/kernels/debian-6.1-generic
mkdir -p "$kernel/modules" "$work/bin"
echo kernel >"$kernel/vmlinuz"
echo package >"$kernel/package"
: >"$kernel/modules/modules.dep"

# The stand-in runs the command itself, unless $work/mode says how else to end.
cat >"$work/bin/qemu-system-x86_64" <<'STUB'
#!/bin/bash
echo $$ >>"$STAND_IN/runs"
printf '%s\n' "$@" >"$STAND_IN/arguments"
control=$(printf '%s\n' "$@" | sed -n 's/^local,path=\(.*\),mount_tag=control,.*/\1/p')
case $(cat "$STAND_IN/mode") in
abort) ulimit -c 0; kill -ABRT $$ ;;
abort-once) echo normal >"$STAND_IN/mode"; echo "assertion failed" >&2; ulimit -c 0; kill -ABRT $$ ;;
vanish) exit 1 ;;
hang) : >"$control/started"; exec sleep 60 ;;
hang-once) echo normal >"$STAND_IN/mode"; : >"$control/started"; exec sleep 60 ;;
esac
: >"$control/started"
bash "$control/command"
echo $? >"$control/status"
STUB
cat >"$work/bin/mkfs.ext4" <<<'#!/bin/sh'
chmod +x "$work"/bin/*
export PATH=$work/bin:$PATH

# expect STATUS RUNS MODE COMMAND
expect() {
	local status=0
	rm -f "$STAND_IN/runs"
	echo "$3" >"$work/mode"
	LIMIT=${stand_in_limit:-2} "$top/tests/testbed/run" "$4" >"$work/log" 2>&1 || status=$?
	[ "$status $(wc -l <"$work/runs")" = "$1 $2" ] || {
		echo "mode $3: expected status $1 after $2 runs, got $status after $(wc -l <"$work/runs"):"
		cat "$work/log"
		exit 1
	}
}

expect 0 1 normal true
expect 7 1 normal 'exit 7'
expect 3 2 abort-once 'exit 3'
grep -q 'started again once' "$work/log"
expect 125 2 abort true
expect 125 1 vanish true
expect 124 1 hang true
grep -q 'LIMIT=2' "$work/log"
TESTBED_HUNG_S=1 stand_in_limit=30 expect 3 2 hang-once 'exit 3'
grep -q 'did not move' "$work/log"

# A network is there when it is asked for, and only then.
expect 0 1 normal true
grep -qx -e -nodefaults "$work/arguments"
! grep -q -e '^-nic' -e '^-net' -e '^user,' "$work/arguments" || { echo "a network that nobody asked for"; exit 1; }
NET=1 expect 0 1 normal true
grep -qx -e -nic "$work/arguments" || { echo "NET=1: no network"; exit 1; }

# A signal ends the machine as well.
rm -f "$work/runs"
LIMIT=60 "$top/tests/testbed/run" 'exec sleep 60' >"$work/log" 2>&1 &
until [ -s "$work/runs" ]; do sleep 0.1; done
kill $!
status=0
wait $! || status=$?
[ "$status" = 143 ] || { echo "TERM: status $status"; exit 1; }
sleep 0.5
! kill -0 "$(cat "$work/runs")" 2>/dev/null || { echo "the machine outlived its script"; exit 1; }

rm -rf "$XDG_CACHE_HOME/sandboxctl/testbed"
echo normal >"$work/mode"
for i in 1 2 3; do
	mkdir "$work/out$i"
	OUT=$work/out$i "$top/tests/testbed/run" "echo $i >$work/out$i/file" &
done
wait
[ "$(cat "$work"/out?/file | tr -d '\n')" = 123 ]
[ "$(find "$XDG_CACHE_HOME/sandboxctl/testbed" -name 'initramfs-*' | wc -l)" = 1 ]
