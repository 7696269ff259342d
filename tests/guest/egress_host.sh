#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: user=root limit=600 takes=125
# The way out, whole: a guest, its agent, the proxy, the injectors, and an internet of the test's own in a network namespace.
# What proxy and injector do by themselves is tests/unit/test_egress.py's.
. "$TREE/tests/lib/internet.bash"

internet {api,git,far}.test
cat >"$XDG_CONFIG_HOME/sandboxctl/policy.json" <<-'POLICY'
	{ "version": 1, "rules": [
	  { "id": "api", "action": "allow", "host": ["api.test", "far.test"], "port": [80, 443], "methods": ["GET", "HEAD", "POST"], "paths": ["/v1/**"] } ] }
POLICY
as_user
chown -R 1001:1001 "$HOME"
folder=$(project egress)
printf '{ "policy": { "version": 1, "blocked_hosts": "far.test" } }\n' >"$folder/.sandbox.json"
chown 1001:1001 "$folder/.sandbox.json"
start egress "$folder" --allow-host git.test
run() {
	ctl exec egress -- "$@"
}

note "programs that know of nothing"
for words in 'curl -sS' 'curl -sS --http1.1' "curl -sS --noproxy *" 'wget -qO-' 'python3 -c "import sys,urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"' \
	'node -e "fetch(process.argv[1]).then(r=>r.text()).then(console.log)"'; do
	seen=$(run sh -c "$words https://api.test/v1/x")
	contains "$words" "$seen" '"url":"/v1/x"'
done
contains "plain HTTP" "$(run curl -sS http://api.test/v1/x)" '"url":"/v1/x"'

contains "--allow-host" "$(run curl -sS https://git.test/v1/x)" '"url":"/v1/x"'

note "what is denied says so, and what would allow it"
seen=$(run curl -sS https://api.test/v2/x)
contains "a path" "$seen" '"error":"denied"'
contains "a path's command" "$seen" 'sandboxctl policy allow api.test'
seen=$(run curl -sS https://nobody.test/ || :)
contains "a host" "$seen" '"reason":"no-rule"'
attempt "a port without HTTP" run curl -sS --noproxy '*' --max-time 20 http://nobody.test:22/
attempt "a datagram" run timeout 20 python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('93.184.216.53', 53)); s.settimeout(10); s.send(b'x'); s.recv(1)"
contains "the guest's list of denials" "$(run cat /run/sandbox/denials)" 'api.test'
grep -qx nobody.test "$SCRATCH/net/asked" && fail "E7: a name was asked for that nothing allows"

note "where it never leads (E5, E6)"
for url in http://127.0.0.1:22/ http://169.254.169.254/latest/meta-data/ http://10.0.0.1/ http://93.184.216.1/; do
	seen=$(run curl -sS --max-time 30 --noproxy '*' "$url" 2>&1 || :)
	case $seen in
	*denied* | *refused* | *reset* | *"Couldn't connect"* | *"Failed to connect"*) ;;
	*) fail "$url: $seen" ;;
	esac
done

note "a policy that changes while it runs"
status_of 0 ctl policy check egress GET https://git.test/v1/x
ctl policy allow --sandbox egress api.test --path '/v2/**'
contains "allowed now" "$(run curl -sS https://api.test/v2/x)" '"url":"/v2/x"'
ctl policy deny git.test
contains "denied now" "$(run curl -sS https://git.test/v1/x)" '"error":"denied"'
status_of 1 ctl policy check egress GET https://git.test/v1/x

note "a killed proxy or injector is replaced"
for process in sandbox-proxy sandbox-injector; do
	pid=$(pgrep -f "$process --name egress ")
	kill -KILL "$pid"
	until_true 60 "$process again" pgrep -f "$process --name egress "
	until_true 60 "egress after $process" eval 'run curl -sS --max-time 20 https://api.test/v1/x | grep -q /v1/x'
	[ "$(pgrep -f "$process --name egress ")" != "$pid" ] || fail "$process: the same process"
done

note "H5: what a guest makes of the project's file widens nothing"
far() {
	run curl -sS https://far.test/v1/x
}
changed='has changed since it was approved'
contains "narrowed" "$(far)" '"rule":"blocked_hosts"'
run rm .sandbox.json
status_of 1 ctl policy check egress GET https://far.test/v1/x
contains "the next start says so" "$(ctl restart egress 2>&1)" "$changed"
contains "and what was approved holds" "$(far)" '"rule":"blocked_hosts"'
contains "status" "$(ctl status egress)" "$changed"
ctl policy approve --yes --project "$folder"
contains "until the next start" "$(far)" '"rule":"blocked_hosts"'
run sh -c 'echo "{\"policy\":{\"version\":1,\"blocked_hosts\":\"api.test\"}}" >.sandbox.json'
contains "what it adds narrows" "$(ctl restart egress 2>&1)" "$changed"
contains "at once" "$(run curl -sS https://api.test/v1/x)" '"rule":"blocked_hosts"'
contains "what was approved passes" "$(far)" '"url":"/v1/x"'

note "status and the end"
contains "status" "$(ctl status egress --json)" '"egress"'
ctl stop egress >/dev/null
attempt "what was left (H1)" pgrep -f 'sandbox-(proxy|injector) --name egress '
