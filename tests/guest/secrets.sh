#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: user=root limit=900 takes=200
# E14, E15, E18, E20 on a real guest: credentials reach their host and nobody else, and their values are where they must be and nowhere else.
. "$TREE/tests/lib/internet.bash"

canary=canary-$RANDOM$RANDOM$RANDOM
internet api.test other.test bound.test
cat >"$XDG_CONFIG_HOME/sandboxctl/policy.json" <<-'POLICY'
	{ "version": 1,
	  "rules": [ { "id": "api", "action": "allow", "host": ["api.test", "other.test"], "methods": ["GET", "POST"] } ],
	  "bindings": [ { "id": "api-token", "secret": "token", "host": "api.test", "methods": "GET", "paths": ["/v1/with/**"], "scheme": "bearer" } ] }
POLICY
as_user
chown -R 1001:1001 "$HOME"
folder=$(project bound)
start_bound() {
	ctl start bound --no-attach --workspace "$folder" --kernel "$KERNEL" --cpus 1 --memory 256M "$@" </dev/null
}
# credential URL [CURL-ARGS]: what the origin got, as a hash.
credential() {
	ctl exec bound -- curl -sS --max-time 60 "$@" | jq -r .credential
}
hash_of() {
	printf %s "$1" | sha256sum | cut -d' ' -f1
}
# Wherever it may not be.
nowhere() {
	local found
	printf '%s\n' "$canary" >"$SCRATCH/pattern" # not an argument of the one who looks
	found=$(grep -laF -f "$SCRATCH/pattern" /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null) || :
	[ -z "$found" ] || fail "the value is in $found"
	found=$(grep -rlF -f "$SCRATCH/pattern" "$XDG_STATE_HOME" "$XDG_RUNTIME_DIR" "$folder" 2>/dev/null) || :
	[ -z "$found" ] || fail "the value is in $found"
	# In the guest the one who looks has it in his arguments, which are not looked at.
	attempt "the value in the guest" inside_root bound "grep -rlsF '$canary' /run /tmp /etc /home /root /workspace /proc/[0-9]*/environ"
}

ctl secret set token <<<"$canary"
note "a secret that is missing: exit code 6, and nothing has ended"
start bound "$folder" --policy offline
instance=$(data bound instance)
status_of 6 start_bound --fresh --secret none@bound.test 2>"$SCRATCH/words"
contains "in words" "$(cat "$SCRATCH/words")" "sandboxctl secret set none"
ctl secret set none --command 'echo no token for you >&2; exit 4'
status_of 6 start_bound --fresh --secret none@bound.test 2>"$SCRATCH/words"
contains "in words" "$(cat "$SCRATCH/words")" "exit code 4"
ctl secret set none --env NO_SUCH_VARIABLE
status_of 6 start_bound --fresh --secret none@bound.test 2>"$SCRATCH/words"
contains "in words" "$(cat "$SCRATCH/words")" "NO_SUCH_VARIABLE"
echo "$canary" >"$folder/token"
chown --reference "$folder" "$folder/token"
ctl secret set none --file "$folder/token"
status_of 1 start_bound --fresh --secret none@bound.test 2>"$SCRATCH/words"
contains "in words" "$(cat "$SCRATCH/words")" "lies in a folder that the sandbox has"
rm "$folder/token"
equal "the old one runs on" "$instance" "$(data bound instance)"

note "bound by the policy and by --secret"
export FROM_ENVIRONMENT=$canary-e
ctl secret set other --env FROM_ENVIRONMENT
start_bound --fresh --secret other@bound.test --policy builder
unset FROM_ENVIRONMENT
equal "the binding's place" "$(hash_of "Bearer $canary")" "$(credential https://api.test/v1/with/x)"
equal "--secret's" "$(hash_of "Bearer $canary-e")" "$(credential https://bound.test/v1/x)"
none=$(hash_of none)
equal "E15: another path" "$none" "$(credential https://api.test/v1/x)"
equal "E15: another method" "$none" "$(credential -X POST https://api.test/v1/with/x)"
equal "E15: another host" "$none" "$(credential https://other.test/v1/with/x)"
equal "E13: the guest's own is taken off" "$none" "$(credential -H 'Authorization: Bearer mine' https://other.test/v1/x)"
seen=$(ctl exec bound -- curl -sSi --max-time 60 'https://api.test/v1/with/x')
contains "it is told that it was masked" "$seen" '"authorization":"Bearer '
nowhere
contains "secret ls: bindings and last use" "$(ctl secret ls | grep '^token')" "api-token"
until_true 30 "last use" eval 'ctl secret ls --json | jq -e ".data[] | select(.name == \"token\").last_used" | grep -q T'
contains "the log has its name" "$(ctl policy log bound)" "secret token"

note "a new value, without a restart"
canary=$canary-2
ctl secret set token <<<"$canary" 2>/dev/null
until_true 60 "the new one" eval '[ "$(credential https://api.test/v1/with/x)" = "$(hash_of "Bearer $canary")" ]'
nowhere

note "a killed injector comes back with its secret; one whose secret went does not end the sandbox"
pid=$(pgrep -f 'sandbox-injector --name bound .*--binding api-token')
kill -KILL "$pid"
until_true 60 "another" eval 'new=$(pgrep -f "sandbox-injector --name bound .*--binding api-token") && [ "$new" != "$pid" ]'
until_true 60 "it has its secret" eval '[ "$(credential https://api.test/v1/with/x)" = "$(hash_of "Bearer $canary")" ]'
ctl secret rm token
pkill -KILL -f 'sandbox-injector --name bound .*--binding api-token'
sleep 3
equal "without a secret" "$none" "$(credential https://api.test/v1/x)"
attempt "a request that needs it" ctl exec bound -- curl -sSf --max-time 60 https://api.test/v1/with/x 2>/dev/null
ctl secret set token <<<"$canary" 2>/dev/null
until_true 60 "with one again" eval '[ "$(credential https://api.test/v1/with/x)" = "$(hash_of "Bearer $canary")" ]'

note "the end"
nowhere
ctl stop bound >/dev/null
attempt "what was left (H1)" pgrep -f 'sandbox-(injector|secret) '
