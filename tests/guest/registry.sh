#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=400 takes=90 net=yes
# As a developer: `policy init`, a sandbox, and in it npm, apt and pip against the registries that this machine's own clients use, without
# any credential. Where those do not answer this machine itself, that is said, and what a guest is then told is checked alone.
. "$TREE/tests/lib/sandbox.bash"

# Whose names they are is nobody's business: what is printed says "the registry".
policy=$XDG_CONFIG_HOME/sandboxctl/policy.json
unnamed() {
	sed -e "s#$registry#the registry/#g" -f <(jq -r '.rules[]?.host | [.] | flatten[] | select(endswith(".invalid") | not) |
		"s/\(. | gsub("[.]"; "[.]"))/the registry/g"' "$policy" 2>/dev/null)
}
# tells WHAT PART SCRIPT: the script succeeds in the guest, and what it says has PART in it.
tells() {
	local said status=0
	said=$(inside registry "$3" 2>&1) || status=$?
	said=$(unnamed <<<"$said" | tail -n 30)
	equal "$1: its status, $said" 0 "$status"
	contains "$1" "$said" "$2"
	note "$1: $(tail -n 1 <<<"$said")"
}
# reachable CLIENT URL: its registry answers this machine itself, and by an address that a rule can name (E6).
reachable() {
	if [ -z "$2" ] || ! curl -sf -m 60 -o /dev/null "$2"; then
		note "$1: its registry does not answer this machine: nothing is fetched from it"
		return 1
	fi
	if grep -q "^$1 .*no rule makes reachable" init.said; then
		note "$1: its registry is at an address that is never reachable from a sandbox (E6): what is said of that is checked alone"
		tells "an address that is never reachable" "never reachable" "curl -s '$2'"
		return 1
	fi
}

registry=$(npm config get registry 2>/dev/null)
archive=$(cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | sed -n "s/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\).*/\2/p" | head -n 1) || archive=${archive:-}
mkdir -p "$(dirname "$policy")"

note "policy init, by the settings of npm, apt, pip"
npm_config_registry=$registry ctl policy init --preset builder 2>init.said || fail "policy init: $(unnamed <init.said)"
unnamed <init.said
equal "a rule for npm's" 1 "$(jq '[.rules[] | select(.id | startswith("npm"))] | length' "$policy")"
ctl policy check GET "${registry}is-odd" >/dev/null || fail "what init wrote does not allow it"
attempt "a package can be published" ctl policy check PUT "${registry}is-odd" >/dev/null
# This one is nobody's: RFC 6761 has it that it never resolves.
ctl policy allow registry.invalid --method GET

folder=$(project registry)
start registry "$folder" --memory 512M -e npm_config_registry="$registry" -e npm_config_update_notifier=false

if reachable npm "${registry}is-odd"; then
	tells "npm install of a package and what it needs" "odd: true" 'mkdir /tmp/n && cd /tmp/n && echo "{}" >package.json &&
		npm install --no-audit --no-fund is-odd && test -d node_modules/is-number && node -e "console.log(\"odd:\", require(\"is-odd\")(3))"'
	tells "what it may not do" 403 "curl -s -o /tmp/put -w '%{http_code}' -X PUT -d x ${registry}is-odd"
	tells "the words for that" "sandboxctl policy allow" 'cat /tmp/put'
fi
if reachable apt "${archive:+$archive/dists/bookworm/InRelease}"; then
	tells "apt-get update" "Reading package lists" 'sudo apt-get -q update 2>&1'
	tells "apt-get download" "hello" 'cd /tmp && apt-get -q download hello && ls /tmp/hello_*.deb && dpkg -I /tmp/hello_*.deb | grep "Package: hello"'
fi
if [ "$(jq '[.rules[] | select(.id | startswith("pip"))] | length' "$policy")" -gt 0 ]; then
	note "pip"
	tells "pip download" "Saved" 'cd /tmp && python3 -m pip download -q --disable-pip-version-check --no-deps six && echo Saved'
else
	note "pip's settings name no index: what init said is that, and a guest is told which command allows one"
	contains "init" "$(cat init.said)" "pip    its settings name no registry"
	tells "pip, denied" "sandboxctl policy allow" 'python3 -m pip download --disable-pip-version-check --retries 0 -d /tmp six >/dev/null 2>&1 ||
		tail -n 1 /run/sandbox/denials | grep -o "sandboxctl policy allow"'
fi

note "a registry that cannot be reached"
tells "curl: the status" 502 "curl -s -o /tmp/unreached -w '%{http_code}' https://registry.invalid/is-odd"
tells "curl: the words" "cannot be resolved or reached" 'cat /tmp/unreached; echo'
tells "npm" "E502" 'cd /tmp && npm_config_registry=https://registry.invalid/ npm view is-odd --fetch-retries 0 2>&1 || :'
tells "the denial of a name that no rule has" "sandboxctl policy allow other.invalid" 'curl -s https://other.invalid/'
