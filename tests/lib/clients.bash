# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For tests/guest/clients*.sh: `. "$TREE/tests/lib/clients.bash"`, which makes an internet (tests/lib/services.js), and prepares a
# sandbox `clients` that may reach it. $site is what is served;
# $folder is the workspace.
. "$TREE/tests/lib/internet.bash"

site=$SCRATCH/net/site
"$TREE/tests/lib/client_sites.py" "$site"
internet {api,git,npm,pip,apt,cargo,go,grpc,ssh}.test --services "$site"
cat >"$XDG_CONFIG_HOME/sandboxctl/policy.json" <<-'POLICY'
	{ "version": 1, "rules": [
	  { "id": "api", "action": "allow", "host": "api.test", "websocket": true },
	  { "id": "git", "action": "allow", "host": "git.test", "methods": ["GET", "POST"] },
	  { "id": "npm", "action": "allow", "host": "npm.test", "methods": ["GET", "HEAD"], "encoded_slash": true },
	  { "id": "registries", "action": "allow", "host": ["pip.test", "apt.test", "cargo.test", "go.test"], "methods": ["GET", "HEAD"] },
	  { "id": "grpc", "action": "allow", "host": "grpc.test", "port": 443, "methods": "POST" },
	  { "id": "opaque", "action": "allow", "host": "ssh.test", "port": 2222, "protocol": "tcp" },
	  { "id": "ssh", "action": "allow", "host": "git.test", "port": 2222, "protocol": "ssh" } ],
	  "bindings": [ { "id": "private", "secret": "git", "host": "git.test", "git": { "repositories": ["mine/private"], "push": true } } ] }
POLICY
as_user
chown -R 1001:1001 "$HOME"
folder=$(project clients)
ctl secret set git <"$site/token"

# begin [FLAGS...]: the sandbox, once the workspace has what it should.
begin() {
	chown -R 1001:1001 "$folder"
	start clients "$folder" "$@"
}

# has PROGRAM...: whether the image has it, which is this machine's /usr. What it lacks is said, and not asked of it.
has() {
	local program
	for program in "$@"; do
		[ -x "/usr/bin/$program" ] || {
			note "this image has no $program"
			return 1
		}
	done
}
# needs PROGRAM...: what images/setup-host installs is not left out.
needs() {
	local program
	for program in "$@"; do
		[ -x "/usr/bin/$program" ] || fail "there is no /usr/bin/$program: images/setup-host installs it"
	done
}
# needs_module NAME...: of Debian's python, which is the guest's.
needs_module() {
	local name
	for name in "$@"; do
		/usr/bin/python3 -c "import $name" 2>/dev/null || fail "python has no $name: images/setup-host installs it"
	done
}
# says WHAT PART SCRIPT: the script succeeds in the guest, and what it says has PART in it.
says() {
	local seen status=0
	seen=$(inside clients "$3" 2>&1) || status=$?
	equal "$1: its status, $(tail -n 20 <<<"$seen")" 0 "$status"
	contains "$1" "$seen" "$2"
}
