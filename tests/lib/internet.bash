# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For guest tests with a way out: `. "$TREE/tests/lib/internet.bash"` instead of sandbox.bash. Starts the script again, as root of a
# network namespace of its own.
. "$TREE/tests/lib/sandbox.bash"

# The user's home is mounted outside, for the tests that come after.
[ "${TESTBED:-}${OWN_NET:-}" != 1 ] || NO_CGROUP=1 "$TREE/tests/testbed/as-dev" true
[ -n "${OWN_NET:-}" ] || OWN_NET=1 exec unshare -nm --propagation private bash "$0"

# internet WORDS...: internet.py with these, its files in $SCRATCH/net. Whoever is started from now on asks its name server, and
# believes its certificates beside the system's.
internet() {
	local word
	note "an internet"
	ip link set lo up
	mkdir -p "$SCRATCH/net"
	coproc INTERNET { exec "$TREE/tests/lib/internet.py" "$SCRATCH/net" "$@"; }
	clean_up "kill $INTERNET_PID 2>/dev/null || :"
	read -r word <&"${INTERNET[0]}"
	equal "the internet" ready "$word"
	mount --bind "$SCRATCH/net/resolv.conf" "$(readlink -f /etc/resolv.conf)"
	cat /etc/ssl/certs/ca-certificates.crt "$SCRATCH/net/roots.pem" >"$SCRATCH/net/bundle.pem"
	mount --bind "$SCRATCH/net/bundle.pem" "$(readlink -f /etc/ssl/certs/ca-certificates.crt)"
	mkdir -p "$XDG_CONFIG_HOME/sandboxctl"
}
