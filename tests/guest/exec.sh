#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=400 takes=85
# `sandboxctl exec`: bytes, statuses, streams, many at once, and nobody's memory grows for a slow reader.
. "$TREE/tests/lib/sandbox.bash"

folder=$(project exec)
start exec "$folder"
run=("$SANDBOXCTL" exec exec --)

note "statuses"
status_of 0 "${run[@]}" true
status_of 1 "${run[@]}" false
status_of 42 "${run[@]}" sh -c 'exit 42'
status_of 255 "${run[@]}" sh -c 'exit 255'
status_of 126 "${run[@]}" /etc/passwd
status_of 127 "${run[@]}" no-such-command
status_of 127 "${run[@]}" /no/such/command
status_of 137 "${run[@]}" sh -c 'kill -9 $$'
status_of 143 "${run[@]}" sh -c 'kill $$'
status_of 125 ctl exec no-such-sandbox -- true 2>/dev/null

note "arguments, variables, folders, users"
equal "arguments" $'[a b][][*][x\ny][$HOME][é]' "$("${run[@]}" printf '[%s]' 'a b' '' '*' $'x\ny' "\$HOME" 'é')"
equal "-e" '[b c=d][]' "$(ctl exec exec -e 'A=b c=d' -e B= -- sh -c 'printf "[%s]" "$A" "${B-unset}"')"
equal "a variable of the host" absent "$(CANARY=here "${run[@]}" sh -c 'echo ${CANARY-absent}')"
equal "default folder" /workspace "$("${run[@]}" pwd)"
equal "-w" /tmp "$(ctl exec exec -w /tmp -- pwd)"
attempt "-w of a missing folder" ctl exec exec -w /no/such -- true
equal "default user" "sandbox 1000 1000" "$("${run[@]}" sh -c 'echo $(id -un) $(id -u) $(id -g)')"
equal "-u root" "root 0" "$(ctl exec exec -u root -- sh -c 'echo $(id -un) $(id -u)')"
equal "-u nobody" nobody "$(ctl exec exec -u nobody -w / -- id -un)"
attempt "-u of a missing user" ctl exec exec -u no-such-user -- true
equal "no name: this folder's" here "$(cd "$folder" && ctl exec -- echo here)"

note "streams"
"${run[@]}" sh -c 'echo one; echo two >&2; echo three' >out 2>err
equal "stdout" $'one\nthree' "$(cat out)"
equal "stderr" two "$(cat err)"
equal "stdin and its end" abc "$(printf abc | "${run[@]}" cat)"
equal "no stdin" "" "$("${run[@]}" cat </dev/null)"
equal "-n leaves stdin alone" left "$(printf left | { ctl exec exec -n -- cat && cat; })"
equal "a command that reads a part" y "$(yes | timeout 60 "$SANDBOXCTL" exec exec -- head -n1)"
equal "a reader that leaves" y "$("${run[@]}" yes 2>/dev/null | head -n1)"
until_true 20 "yes ends when its reader left" inside exec '! pgrep -x yes'
equal "the end of stdout is seen before the end of the command" early \
	"$("${run[@]}" sh -c 'echo early; exec >&-; sleep 2; echo late >&2' 2>/dev/null)"
python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 4096)' >bytes
"${run[@]}" cat <bytes >bytes.back
cmp bytes bytes.back
equal "arguments are UTF-8" "e9 01 7f" "$("${run[@]}" printf %s $'\u00e9\x01\x7f' | iconv -t latin1 | od -An -tx1 | xargs)"
status_of 125 "${run[@]}" printf %s $'\xff' 2>/dev/null

note "signals"
"${run[@]}" sh -c 'trap "echo got it; exit 7" TERM; echo up; while :; do sleep 0.2; done' >sig &
client=$!
until_true 30 "the command is up" grep -q up sig
kill -TERM $client
status_of 7 wait $client
contains "TERM is passed on" "$(cat sig)" "got it"

note "50 at once"
clients=()
for ((i = 0; i < 50; i++)); do
	"${run[@]}" sh -c "sleep 1; cat; echo out-$i; echo err-$i >&2; exit $((i % 7))" <<<"in-$i" >"out.$i" 2>"err.$i" &
	clients+=($!)
done
for ((i = 0; i < 50; i++)); do
	status_of $((i % 7)) wait "${clients[i]}"
	equal "stdout of $i" "in-$i"$'\n'"out-$i" "$(cat "out.$i")"
	equal "stderr of $i" "err-$i" "$(cat "err.$i")"
done

# resident: of the VMM without its guest's RAM (which is one mapping), the link and the client, in KiB.
resident() {
	local pid total=0 part
	for pid in "$(data exec link_pid)" "$1"; do
		part=$(awk '/^Rss:/ { print $2 }' "/proc/$pid/smaps_rollup" 2>/dev/null || ps -o rss= -p "$pid")
		total=$((total + part))
	done
	echo "$total"
}

note "back-pressure: a reader that does not read"
mkfifo slow
"${run[@]}" cat /dev/zero >slow &
client=$!
exec 5<slow
head -c 65536 <&5 >/dev/null
sleep 1
before=$(resident $client)
agent_before=$(inside_root exec 'awk "/VmRSS/ { print \$2 }" /proc/1/status')
sleep 3
after=$(resident $client)
agent_after=$(inside_root exec 'awk "/VmRSS/ { print \$2 }" /proc/1/status')
echo "resident: $before KiB, 3 seconds later $after KiB; the agent $agent_before, $agent_after KiB"
[ $((after - before)) -lt 1024 ] || fail "host processes grow while nobody reads"
[ $((agent_after - agent_before)) -lt 1024 ] || fail "the agent grows while nobody reads"
[ "$after" -lt 40960 ] || fail "host processes hold too much for a reader that waits"
equal "others go on meanwhile" yes "$("${run[@]}" echo yes)"
exec 5<&-
wait $client || true
until_true 20 "the writer ends when its reader left" inside exec '! pgrep -x cat'

note "back-pressure: a command that does not read"
{ yes || true; } | "${run[@]}" sh -c 'sleep 4; echo done' >out &
client=$!
sleep 1
link_before=$(resident $client)
sleep 2
link_after=$(resident $client)
echo "resident: $link_before KiB, then $link_after KiB"
[ $((link_after - link_before)) -lt 1024 ] || fail "host processes grow while the command does not read"
wait $client
equal "it ends well" "done" "$(cat out)"

note "256 MiB through stdin"
# Every line another, so that nothing lost, doubled or moved goes unseen; the sum is of exactly these bytes.
began=$SECONDS
{ seq 10000000 99999999 || true; } | head -c 268435456 | "${run[@]}" sha256sum >got
equal "sha256sum of 256 MiB" "128f8bbdf6e6b29aef34403cfe24bbfa721de00f90c611dac08dded39d9fb72d  -" "$(cat got)"
echo "256 MiB in $((SECONDS - began)) s"
