#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=560 takes=110
# start, stop, restart, run, rm, prune, and what ls, status, inspect, wait and ports say meanwhile.
. "$TREE/tests/lib/sandbox.bash"

one=$(project one)
two=$(project two)
documents='apiVersion data kind'

# document KIND COMMAND...: prints its data, after a look at the frame.
document() {
	local kind=$1 text
	shift
	text=$(ctl "$@" --json)
	equal "$*: document" "$documents" "$(jq -r 'keys | join(" ")' <<<"$text")"
	equal "$*: apiVersion" sandboxctl/v1 "$(jq -r .apiVersion <<<"$text")"
	equal "$*: kind" "$kind" "$(jq -r .kind <<<"$text")"
	jq .data <<<"$text"
}

note "start, and what is said about it"
port=18080
start one "$one" -p $port:8000 -e KEPT=yes
document Sandbox status one >status
fields='["name", "state", "reason", "backend", "instance", "image", "kernel", "tier", "cpus", "memory_mib", "workspace", "shares",
	"ports", "started_at", "uptime_s", "supervisor_pid", "vmm_pid", "pgid", "health", "degraded", "isolation"]'
equal "fields that status has not" "[]" "$(jq -c "$fields - keys" status)"
equal "status" "one running kvm host minimal builder 1 256 healthy" \
	"$(jq -r '[.name, .state, .backend, .image, .kernel, .tier, .cpus, .memory_mib, .health] | join(" ")' status)"
equal "nothing degraded" "[]" "$(jq -c .degraded status)"
equal "isolation" kvm "$(jq -r .isolation.kind status)"
equal "workspace" "$(readlink -f "$one") /workspace" "$(jq -r '"\(.workspace.host) \(.workspace.guest)"' status)"
equal "processes are of one group" 1 "$(for p in $(jq -r '.supervisor_pid, .vmm_pid' status); do ps -o pgid= -p "$p"; done | sort -u | wc -l)"
equal "ls" one "$(ctl ls -q)"
equal "list is ls" one "$(ctl list -q)"
equal "ls --json is of the same" "$(jq -cS 'del(.uptime_s, .guest)' status)" "$(document SandboxList ls | jq -cS '.[0] | del(.uptime_s, .guest)')"
contains "ls for people" "$(ctl ls)" running
contains "inspect" "$(ctl inspect one)" KEPT
equal "without a name" one "$(cd "$one" && ctl status --json | jq -r .data.name)"
mkdir -p "$one/below"
equal "from below" one "$(cd "$one/below" && ctl status --json | jq -r .data.name)"

note "start on one that runs"
instance=$(data one instance)
ctl start one --workspace "$one" --no-attach </dev/null
equal "it is the same one" "$instance" "$(data one instance)"
equal "--json" "$instance" "$(ctl start one --workspace "$one" --json </dev/null | jq -r .data.instance)"
equal "--dry-run" "Plan attach" "$(ctl start one --workspace "$one" --dry-run --json </dev/null | jq -r '"\(.kind) \(.data.action)"')"

note "a published port"
inside one 'mkdir -p /tmp/www; echo from the guest >/tmp/www/x; cd /tmp/www; nohup python3 -m http.server 8000 --bind 127.0.0.1 >/tmp/http 2>&1 & sleep 0.1'
until_true 30 "the server answers" eval "[ \"\$(curl -s -m 5 http://127.0.0.1:$port/x)\" = 'from the guest' ]"
equal "by name" "from the guest" "$(curl -s -m 10 --resolve one.localhost:$port:127.0.0.1 http://one.localhost:$port/x)"
for ((i = 0; i < 8; i++)); do curl -s -m 20 "http://127.0.0.1:$port/x" >"get.$i" & done
wait
equal "eight at once" 8 "$(cat get.* | grep -c 'from the guest')"
contains "ports" "$(ctl ports one)" "http://one.localhost:$port"
equal "ports --json" "$port 8000" "$(ctl ports one --json | jq -r '.data[0] | "\(.host_port // .host) \(.guest_port // .guest)"')"
equal "on 127.0.0.1 only" 0100007F "$(awk -v p="$(printf ':%04X$' $port)" '$2 ~ p && $4 == "0A" { print substr($2, 1, 8) }' /proc/net/tcp)"
sandboxes+=(two)
status_of 1 ctl start two --no-attach --workspace "$two" --kernel "$KERNEL" --memory 128M -p $port:80 </dev/null 2>err
contains "who has the port" "$(cat err)" "sandbox one publishes it"
contains "the port" "$(cat err)" $port
python3 -m http.server 18081 --bind 127.0.0.1 >/dev/null 2>&1 &
holder=$!
clean_up "kill $holder"
until_true 20 "somebody has the port" eval '(exec 9<>/dev/tcp/127.0.0.1/18081) 2>/dev/null'
status_of 1 ctl start two --no-attach --workspace "$two" --kernel "$KERNEL" --memory 128M -p 18081:80 </dev/null 2>err
contains "who has the port" "$(cat err)" "$holder"

note "two at once, with variables from a file and another folder"
printf '# words\nFROM_FILE=a b\n' >given.env
mkdir -p "$SCRATCH/more"
echo given >"$SCRATCH/more/file"
boot_s=$SECONDS
start two "$two" --memory 128M --env-file given.env -v "$SCRATCH/more:/more:ro" -- sh -c 'echo said by two; sleep 1000'
boot_s=$((SECONDS - boot_s))
equal "ls" "one two" "$(ctl ls -q | xargs)"
equal "each its own" "one two" "$(inside one hostname) $(inside two hostname)"
until_true 20 "logs" eval "ctl logs two | grep -q 'said by two'"
equal "command" "sh" "$(data two 'command[0]')"
equal "--env-file" "a b" "$(inside two 'echo $FROM_FILE')"
equal "-v" given "$(inside two 'cat /more/file')"
attempt "a write to what is shared :ro" inside two 'echo x >/more/file'
equal "shares in status" "/more ro" "$(ctl status two --json | jq -r '.data.shares[] | select(.guest == "/more") | "\(.guest) \(if .readonly then "ro" else "rw" end)"')"

note "a name belongs to its folder"
status_of 1 ctl start one --no-attach --workspace "$two" </dev/null 2>err
contains "names both folders" "$(cat err)" "$two"
contains "names both folders" "$(cat err)" "$one"
status_of 2 ctl start 'Bad_Name' --no-attach --workspace "$two" </dev/null 2>err

note "--fresh ends nothing in vain"
status_of 5 ctl start one --fresh --no-attach --workspace "$one" --kernel no-such-kernel </dev/null 2>err
contains "which kernel" "$(cat err)" no-such-kernel
status_of 1 ctl start one --fresh --no-attach --workspace "$one" -p 18081:80 </dev/null 2>err
contains "who has the port" "$(cat err)" "$holder"
mkdir closed
chmod 000 closed
clean_up "chmod 700 $PWD/closed"
status_of 1 ctl start one --fresh --no-attach --workspace "$one" -v "$PWD/closed:/closed" </dev/null 2>err
contains "which share" "$(cat err)" closed
equal "the old one runs on" "$instance running" "$(data one instance) $(data one state)"

note "--fresh, twice"
ctl exec one -- sh -c 'echo x >/tmp/mark; echo kept >/workspace/mark; nohup sleep 987654 >/dev/null 2>&1 &' </dev/null
seen="$instance"
for round in 1 2; do
	status=$(ctl status one --json)
	old=$(jq -r '.data | .supervisor_pid, .vmm_pid, .link_pid' <<<"$status")
	ctl start one --fresh --no-attach --workspace "$one" </dev/null
	for pid in $old; do
		gone "$pid" || fail "round $round: process $pid of the old one is there: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
	done
	instance=$(data one instance)
	[[ " $seen " != *" $instance "* ]] || fail "an instance id came back"
	seen="$seen $instance"
	equal "the guest knows it" "$instance" "$(inside one 'cat /run/sandbox/instance')"
	equal "fresh" "no kept" "$(inside one '[ -e /tmp/mark ] && echo yes || echo no; cat /workspace/mark' | xargs)"
	attempt "a process of before" inside one 'pgrep -f "^sleep 987654"'
	equal "flags stay" "1 256 $port yes" "$(data one cpus) $(data one memory_mib) $(ctl inspect one | grep -o "$port" | head -n1) $(inside one 'echo $KEPT')"
done

note "stop, wait, start, restart"
(sleep 2; ctl stop one </dev/null) &
status_of 0 ctl wait one --timeout 60s
wait %% || true
equal "state" stopped "$(data one state)"
equal "no pid" "null" "$(data one vmm_pid | sed 's/^0$/null/')"
attempt "exec in a stopped one" ctl exec one -- true 2>err
equal "ls has it" "one two" "$(ctl ls -q | xargs)"
equal "ls --running has not" two "$(ctl ls -q --running)"
ctl start one --no-attach --workspace "$one" </dev/null
equal "flags kept" "1 256 yes" "$(data one cpus) $(data one memory_mib) $(inside one 'echo $KEPT')"
ctl stop one
ctl stop one

note "restart"
ctl start one --no-attach --workspace "$one" </dev/null
instance=$(data one instance)
inside one 'echo x >/tmp/mark'
ctl restart one --grace 5s </dev/null
equal "after restart" "running no" "$(data one state) $(inside one '[ -e /tmp/mark ] && echo yes || echo no')"
attempt "the same instance" test "$instance" = "$(data one instance)"
equal "flags kept" "1 256 yes $port" "$(data one cpus) $(data one memory_mib) $(inside one 'echo $KEPT') $(ctl ports one --json | jq -r '.data[0] | .host_port // .host')"
ctl stop one

note "doctor, version, completion"
document Doctor doctor >doctor
equal "KVM" ok "$(jq -r '.findings[] | select(.id == "kvm") | .status' doctor)"
contains "doctor for people" "$(ctl doctor)" kvm
document Version version >version
contains "version" "$(ctl version)" "$(ctl version --json | jq -r .data.version)"
for shell in bash zsh fish; do
	contains "completion $shell" "$(ctl completion $shell)" sandboxctl
done
bash -n <(ctl completion bash)

note "run"
cd "$two"
status_of 0 ctl run r1 --kernel "$KERNEL" --memory 256M --workspace "$two" -T -- sh -c 'echo ran in $(pwd); cat' <<<"its stdin" >out
equal "its output" $'ran in /workspace\nits stdin' "$(cat out)"
status_of 7 ctl run r1 --kernel "$KERNEL" --memory 256M --workspace "$two" -T -- sh -c 'exit 7' </dev/null
status_of 127 ctl run r1 --kernel "$KERNEL" --memory 256M --workspace "$two" -T -- no-such-command </dev/null
attempt "run left it" eval 'ctl ls -q | grep -qx r1'

note "--timeout"
# The time counts from the first moment: long enough to come up, here and now.
start short "$(project short)" --timeout $((boot_s * 2 + 5))s --memory 128M
until_true 60 "its time is over" is short state stopped
contains "reason" "$(data short reason)" "time"

note "rm and prune"
status_of 3 ctl rm nobody 2>/dev/null
status_of 3 ctl status nobody 2>/dev/null
equal "error document" no-such-sandbox "$(ctl status nobody --json | jq -r .data.error)"
attempt "prune without a word" ctl prune </dev/null 2>err
contains "prune names the flag" "$(cat err)" --yes
ctl prune --dry-run >out
contains "prune would" "$(cat out)" one
ctl prune --yes >/dev/null
equal "only what ended goes" two "$(ctl ls -q)"
pids=$(jq -r '.data | .supervisor_pid, .vmm_pid, .link_pid' <<<"$(ctl status two --json)")
ctl rm two --workspace "$two"
for pid in $pids; do
	gone "$pid" || fail "process $pid is left"
done
equal "nothing is left" "" "$(ctl ls -q)"
equal "of it, nothing but its audit log" "$XDG_STATE_HOME/sandboxctl/audit/two" "$(find "$XDG_STATE_HOME" "$XDG_RUNTIME_DIR" -name two)"
[ -d "$two" ] || fail "the workspace is gone"
