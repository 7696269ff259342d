#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=1200 takes=70
# H1, H2, H8, H13, E17 and H16 on a running sandbox: hang it, kill its parts, take its name, look at its walls from outside.
set -euo pipefail
. "$TREE/tests/lib/sandbox.bash"

folder=$(project one)
other=$(project two)

start one "$folder"
vmm=$(data one vmm_pid) supervisor=$(data one supervisor_pid) link=$(data one link_pid)
note "H8: the walls of VMM and link"
walls "$vmm"
walls "$link"

note "E17: sockets are their owner's alone"
equal "runtime folder" 700 "$(stat -c %a "$XDG_RUNTIME_DIR/sandboxctl")"
equal "state folder of the sandbox" 700 "$(stat -c %a "$XDG_STATE_HOME/sandboxctl/sandboxes/one")"

note "H13: a name belongs to one folder"
attempt "H13: the name from another folder" ctl start one --no-attach --workspace "$other" --kernel "$KERNEL" </dev/null
attempt "H13: not with --fresh either" ctl start one --fresh --no-attach --workspace "$other" --kernel "$KERNEL" </dev/null
contains "H13: the error offers a free name" \
	"$(ctl start one --fresh --no-attach --workspace "$other" --kernel "$KERNEL" 2>&1 </dev/null || true)" one-2
attempt "H13: a name out of bounds" ctl start '../one' --no-attach --workspace "$other" </dev/null
equal "the sandbox lives" running "$(data one state)"

note "H1: a VMM that is stopped is replaced all the same"
kill -STOP "$vmm"
start one "$folder"
until_true 20 "the stopped VMM is gone" gone "$vmm"
until_true 20 "its supervisor is gone" gone "$supervisor"
until_true 20 "its link is gone" gone "$link"
equal "the new one works" ok "$(inside one 'echo ok')"

note "H1: a killed supervisor takes the guest along, and the next start cleans up"
vmm=$(data one vmm_pid) supervisor=$(data one supervisor_pid) link=$(data one link_pid)
kill -KILL "$supervisor"
until_true 20 "the VMM ends with its supervisor" gone "$vmm"
until_true 20 "the link ends with its supervisor" gone "$link"
start one "$folder"
equal "the next one works" ok "$(inside one 'echo ok')"

note "H1: a killed link or VMM ends the sandbox, and status says so"
kill -KILL "$(data one link_pid)"
until_true 30 "failed" test "$(data one state)" != running
start one "$folder"
kill -KILL "$(data one vmm_pid)"
until_true 30 "failed" test "$(data one state)" != running
until_true 30 "state" sh -c "'$SANDBOXCTL' status one --json | grep -q '\"state\": \"failed\"'"

note "H2: a record whose pids belong to others by now is no target"
sleep 1000 &
bystander=$!
record=$XDG_STATE_HOME/sandboxctl/sandboxes/one/record.json
jq --argjson pid $bystander '.supervisor.pid = $pid | .vmm.pid = $pid | .link.pid = $pid | .pgid = $pid | .state = "running"' \
	"$record" >"$record.new" 2>/dev/null && mv "$record.new" "$record"
start one "$folder"
attempt "H2: the bystander was ended" gone $bystander
kill $bystander

note "H1: two starts at once: one wins, the other says so"
ctl stop one
starts=()
for i in 1 2; do
	ctl start one --no-attach --workspace "$folder" --kernel "$KERNEL" --cpus 1 --memory 256M </dev/null 2>"$SCRATCH/start.$i" &
	starts+=($!)
done
wait "${starts[@]}" || true
equal "winners" 1 "$(grep -lx 'sandbox one runs' "$SCRATCH"/start.[12] | wc -l)"
equal "who says so" 1 "$(grep -lE 'runs already|it is running' "$SCRATCH"/start.[12] | wc -l)"
equal "VMMs" 1 "$(pgrep -u "$(id -u)" -c -x sandbox-vmm)"
equal "it works" ok "$(inside one 'echo ok')"

note "H1: stop and rm leave nothing"
vmm=$(data one vmm_pid) supervisor=$(data one supervisor_pid)
ctl stop one
attempt "a VMM after stop" test -e "/proc/$vmm"
attempt "H13: rm from another folder" ctl rm one
(cd "$folder" && ctl rm one)
attempt "state after rm" test -e "$XDG_STATE_HOME/sandboxctl/sandboxes/one"
attempt "sockets after rm" test -e "$XDG_RUNTIME_DIR/sandboxctl/one"
echo "supervision: held"
