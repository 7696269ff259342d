# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# images/fitness.bash: is this machine's KVM fit for guests? Sourced, never run.
#
# That /dev/kvm opens proves nothing: paravirtual and doubly nested ones open and then emulate every kernel instruction.
# `sandboxctl doctor` runs a few instructions in a guest and measures; its word counts.

# kvm_is_fit SANDBOXCTL
kvm_is_fit() {
	[ -x "$1" ] || return 1
	timeout 30 "$1" doctor --json 2>/dev/null |
		jq -e '[.. | objects | select(.id? == "kvm") | .status?] | any(. == "ok")' >/dev/null 2>&1
}
