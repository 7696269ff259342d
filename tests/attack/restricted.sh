#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=200 user=root takes=40
# H4, H16: on a host that refuses what a jail is made of, `start` is an error with its fix, for root and for an ordinary user, and no
# machine runs with one layer less. Settings of the kernel are changed: in the testbed only.
set -euo pipefail
. "$TREE/tests/lib/sandbox.bash"

[ "${TESTBED:-}" = 1 ] || {
	echo "changes settings of the kernel: in the testbed only"
	exit 77
}
export CGROUP=/sys/fs/cgroup/t-restricted
install -d -o 1001 -g 1001 "$SCRATCH/project"
words=(start walls --no-attach --cpus 1 --memory 256M --kernel "$KERNEL" --workspace "$SCRATCH/project")

# as WHO COMMAND...
as() {
	local who=$1
	shift
	if [ "$who" = root ]; then
		"$@" </dev/null
	else
		"$TREE/tests/testbed/as-dev" "$(printf '%q ' "$@") </dev/null"
	fi
}

# refused WHAT WHO WORDS COMMAND...: it fails, says WORDS and what to do, in text and in JSON; and nothing is left running.
refused() {
	local what=$1 who=$2 wanted=$3 code=0 text
	shift 3
	text=$(as "$who" "$@" "${words[@]}" 2>&1) || code=$?
	echo "   $what, as $who: $code: $(tr '\n' ' ' <<<"$text" | cut -c1-300)"
	[ $code -ne 0 ] || fail "H4 $what ($who): it started"
	grep -qi -- "$wanted" <<<"$text" || fail "H4 $what ($who): '$wanted' is not in: $text"
	attempt "H4 $what ($who): a VMM runs" pgrep -x sandbox-vmm
	text=$(as "$who" "$@" "${words[@]}" --json 2>/dev/null) || true
	jq -e '(.data.error | length > 0) and (.data.next_steps | length > 0) and .data.error != "no-space"' <<<"$text" >/dev/null || fail "H4 $what ($who): not typed: $text"
}
clean_up 'as root ctl rm --force walls; as dev "$SANDBOXCTL" rm --force walls'

note "H16: user namespaces are switched off"
namespaces=$(cat /proc/sys/user/max_user_namespaces)
clean_up "echo $namespaces >/proc/sys/user/max_user_namespaces"
echo 0 >/proc/sys/user/max_user_namespaces
refused "no user namespaces" dev 'sysctl user.max_user_namespaces' "$SANDBOXCTL"
refused "no user namespaces" root 'sysctl user.max_user_namespaces' "$SANDBOXCTL"
contains "doctor says so" "$(as dev "$SANDBOXCTL" doctor 2>&1 || true)" 'max_user_namespaces'
echo "$namespaces" >/proc/sys/user/max_user_namespaces

note "H16: user namespaces are for root only"
if [ -e /proc/sys/kernel/unprivileged_userns_clone ]; then
	echo 0 >/proc/sys/kernel/unprivileged_userns_clone
	refused "no user namespaces for users" dev 'sysctl kernel.unprivileged_userns_clone' "$SANDBOXCTL"
	echo 1 >/proc/sys/kernel/unprivileged_userns_clone
fi

note "H4: each layer that cannot be had is an error"
enosys=38 eperm=1
for layer in "landlock 444 $enosys lsm=" "seccomp 317 $enosys seccomp" "namespaces 272 $eperm --security-opt" "pivot_root 155 $eperm --security-opt" \
	"mount_setattr 442 $enosys mount" "capset 126 $eperm capabilit"; do
	read -r what number error wanted <<<"$layer"
	refused "$what" dev "$wanted" python3 "$TREE/tests/lib/without_syscall.py" "$number" "$error" "$SANDBOXCTL"
done

note "and where nothing is missing it starts: the attempts above were refused for what they lacked"
as dev "$SANDBOXCTL" "${words[@]}"
equal "all is in force" '[[],[]]' "$(as dev "$SANDBOXCTL" status walls --json | jq -c '.data.isolation | [.vmm.missing, .link.missing]')"
as dev "$SANDBOXCTL" rm --force walls
echo "restricted: held"
