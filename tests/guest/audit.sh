#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: user=root limit=600 takes=70
# H7, whole: what a sandbox does is in its log, changes to the log show, and when it cannot be written nothing passes.
. "$TREE/tests/lib/internet.bash"

internet api.test
install -d -m 700 "$XDG_STATE_HOME" "$XDG_STATE_HOME/sandboxctl" "$XDG_STATE_HOME/sandboxctl/audit"
mount -t tmpfs -o size=512k,mode=700 disk "$XDG_STATE_HOME/sandboxctl/audit"
cat >"$XDG_CONFIG_HOME/sandboxctl/policy.json" <<-'POLICY'
	{ "version": 1, "rules": [ { "id": "api", "action": "allow", "host": "api.test", "paths": ["/v1/**"] } ] }
POLICY
as_user
chown -R 1001:1001 "$HOME"
audit=$XDG_STATE_HOME/sandboxctl/audit
folder=$(project logged)
start logged "$folder"
fetch() {
	ctl exec logged -- curl -sS --max-time 60 "$@"
}
# verdict WANTED STATUS [ARGS...]
verdict() {
	local wanted=$1 status=$2 said
	shift 2
	said=$(status_of "$status" ctl audit verify logged "$@")
	contains "audit verify" "$said" "logged: $wanted"
}

note "what happens is there"
contains "a request" "$(fetch 'https://api.test/v1/x?token=canary-of-a-query')" '"url":"/v1/x'
# Five at once: those within seconds of the first are counted together.
fetch https://api.test/v2/hidden{,,,,} >/dev/null
fetch https://nobody.test/ >/dev/null || :
inside_root logged true
until_true 30 "the records" eval '[ "$(ctl policy log logged | wc -l)" -ge 3 ]'
seen=$(ctl events logged)
echo "$seen"
contains "a state" "$seen" 'lifecycle'
contains "what was run" "$seen" 'exec curl, as'
contains "an allowed request" "$seen" 'GET api.test:443/v1/x 200'
contains "a denied one" "$seen" 'denied   GET api.test:443/v2/hidden 403'
contains "the guest's own word" "$seen" 'guest  agent          '
seen=$(ctl events logged --json)
equal "JSON, a document per record" "$(wc -l <<<"$seen")" "$(jq -s 'map(select(.kind == "AuditRecord" and .data.sandbox == "logged")) | length' <<<"$seen")"
equal "the policy's digest" "$(data logged egress.policy)" "$(jq -sr '[.[].data | select(.rule == "api")][0].policy' <<<"$seen")"
! grep -rq canary-of-a-query "$audit" || fail "a query's value is in the log"
until_true 30 "repeated denials, counted" eval 'ctl policy log logged | grep -q "(4 times)"'
verdict '' 0

note "the writer, killed, is replaced, and nothing passes unseen"
pid=$(pgrep -f 'sandbox-audit --name logged ')
kill -KILL "$pid"
until_true 60 "a new writer" eval 'new=$(pgrep -f "sandbox-audit --name logged ") && [ "$new" != "$pid" ]'
contains "a request" "$(fetch https://api.test/v1/after)" '"url":"/v1/after"'
until_true 30 "it is in the log" eval 'ctl policy log logged | grep -q /v1/after'
until_true 30 "whole" ctl audit verify logged

note "a full disk"
dd if=/dev/zero of="$audit/fill" bs=4k 2>/dev/null || :
until_true 60 "the writer says so" eval 'fetch https://api.test/v1/full >>"$SCRATCH/answers"; is logged egress.state stalled'
inside logged 'for i in $(seq 200); do seen=$(curl -sS --max-time 30 https://api.test/v1/full); echo "$seen"; case $seen in *stopped*) exit;; esac; done' >>"$SCRATCH/answers"
contains "egress stops" "$(tail -n1 "$SCRATCH/answers")" '"reason":"stopped"'
equal "status" stalled "$(data logged egress.state)"
contains "status says why" "$(data logged egress.why)" "No space left"
contains "in words too" "$(ctl status logged)" "egress          stalled: the audit log cannot be written: No space left"
rm "$audit/fill"
until_true 60 "it goes on" is logged egress.state up
until_true 60 "requests pass" eval 'fetch https://api.test/v1/again | grep -q /v1/again'
ctl stop logged >/dev/null
verdict 'whole' 0
answered=$(grep -o '"url":"/v1/full"' "$SCRATCH/answers" | wc -l)
equal "all that passed is in the log" "$answered" "$(ctl policy log logged --json | jq -s 'map(select(.data.path == "/v1/full" and .data.status == 200)) | length')"
echo "$answered requests passed before egress stopped"

note "changes show"
ctl audit export logged --output "$SCRATCH/copy"
contains "the file's own check" "$(cd "$SCRATCH/copy" && head -n -1 head >"$SCRATCH/signed" && sed -n 's/^signature //p' head | xxd -r -p >"$SCRATCH/signature" &&
	openssl pkeyutl -verify -rawin -pubin -inkey key.pub -in "$SCRATCH/signed" -sigfile "$SCRATCH/signature")" Success
(cd "$SCRATCH/copy" && wc -lc -- *)
verdict 'whole' 0 --folder "$SCRATCH/copy" --key "$SCRATCH/copy/key.pub"
# changed NAME SED WANTED
changed() {
	rm -rf "$SCRATCH/changed"
	cp -a "$SCRATCH/copy" "$SCRATCH/changed"
	sed -i "$1" "$SCRATCH/changed/active.jsonl"
	verdict "$2" 1 --folder "$SCRATCH/changed"
}
changed '3s/"time":"2/"time":"1/' edited
changed '4d' removed
changed '4{h;d};5{G}' removed
changed '$d' truncated
changed '$s/"time":"2/"time":"1/' edited
rm "$SCRATCH/changed/head"
status_of 1 ctl audit verify logged --folder "$SCRATCH/changed"

note "the log outlives its sandbox, and goes on with the next of its name"
(cd "$folder" && ctl rm logged >/dev/null)
contains "audit ls" "$(ctl audit ls)" logged
contains "audit tail" "$(ctl audit tail logged -n 3)" 'ended: '
start logged "$folder"
contains "only this run's" "$(ctl events logged | head -n1)" 'starting'
[ "$(ctl audit export logged | wc -l)" -gt "$(ctl events logged | wc -l)" ] || fail "the earlier run's records are gone"
until_true 30 "whole" ctl audit verify logged
timeout 60 "$SANDBOXCTL" events logged -f >"$SCRATCH/followed" &
other=$!
inside logged 'echo x >/dev/null'
ctl stop logged >/dev/null
wait $other || fail "events -f does not end with its sandbox"
contains "followed to the end" "$(cat "$SCRATCH/followed")" "ended: "

note "policy init --from-audit"
ctl policy init --from-audit logged
equal "what was reached" "api.test 443 GET" "$(jq -r '.rules[] | select(.id == "learnt-1") | "\(.host) \(.port) \(.methods | join(" "))"' "$XDG_CONFIG_HOME/sandboxctl/policy.json")"
ctl policy init --from-audit logged
equal "once" 2 "$(jq '.rules | length' "$XDG_CONFIG_HOME/sandboxctl/policy.json")"

note "no name of another's log"
status_of 3 ctl audit tail no-such-name
status_of 2 ctl audit tail ../logged
attempt "what was left (H1)" pgrep -f 'sandbox-audit --name logged '
