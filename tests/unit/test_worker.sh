#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/testbed/worker, run directly: verdicts, shared work, and what a worker does that is started again.
set -euo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OUT=$work/out BUILD=$work/build HOME=$work
unset TESTBED
mkdir "$OUT" "$BUILD"

# add NAME LIMIT: a test from stdin.
add() {
	cat >"$work/$1.sh"
	echo "$1 $work/$1.sh $2 dev" >>"$OUT/list"
}

expect() {
	local verdict
	read -r verdict _ <"$OUT/results/$1"
	[ "$verdict" = "$2" ] || { echo "$1: expected $2, got: $(cat "$OUT/results/$1")"; exit 1; }
}

# shellcheck disable=SC2016 # the test expands them
add good 10 <<<'cd "$SCRATCH" && touch "$HOME/x" "$XDG_RUNTIME_DIR/y" "$OUT/kept" && [ "$BUILD/sandboxctl" = "$SANDBOXCTL" ]'
add bad 10 <<<'exit 3'
add told 10 <<<'[ "$GIT_FILES" = "1 2" ]'
echo "export GIT_FILES='1 2'" >"$OUT/environment"
add skipped 10 <<<'echo no such device; exit 77'
add slow 1 <<<'sleep 60'
add again 10 <<<'true'
for i in 1 2 3 4 5 6; do
	add "many$i" 10 <<<"echo x >>$work/ran$i"
done
# As if worker 1 had ended in the middle of this one: it is taken up again, by worker 1 alone.
mkdir -p "$OUT/claims/again"
echo 1 >"$OUT/claims/again/worker"
"$top/tests/testbed/worker" 2 >"$work/two" &
"$top/tests/testbed/worker" 1 >"$work/one"
wait
expect good pass
expect bad fail
expect told pass
expect skipped skip
expect slow fail
expect again pass
grep -q 'no such device' "$OUT/results/skipped"
grep -q '^pass again' "$work/one"
[ -e "$OUT/files/good/kept" ]
for i in 1 2 3 4 5 6; do
	[ "$(wc -l <"$work/ran$i")" -eq 1 ] || { echo "many$i did not run once"; exit 1; }
done
[ -z "$(find "$BUILD" -name 'test.*')" ] || { echo "scratch folders stayed"; exit 1; }
