#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test_install.sh BUILD: what `meson install` puts down works from there: it finds its helpers and its scripts, not the build tree's.
set -euo pipefail
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config
unset XDG_RUNTIME_DIR

check() {
	local words=$1
	shift
	"$@" || {
		echo "not so: $words ($*)"
		exit 1
	}
}

# there PATTERN: exactly one file so below what was installed.
there() {
	[ "$(find "$work/root" -path "$work/root/*$1" -type f | wc -l)" = 1 ]
}

DESTDIR=$work/root meson install -C "$build" --no-rebuild --quiet
bin=$(find "$work/root" -path '*/bin/sandboxctl' -type f)
check "sandboxctl is in bin" test -x "$bin"
root=${bin%/bin/sandboxctl}
for program in supervisor vmm link agent unpack; do
	check "sandbox-$program is in libexec" test -x "$root/libexec/sandboxctl/sandbox-$program"
done
check "version" grep -q '^sandboxctl [0-9]' <<<"$("$bin" version)"
check "completion for bash" there /bash-completion/completions/sandboxctl
check "completion for zsh" there /zsh/site-functions/_sandboxctl
check "completion for fish" there /fish/vendor_completions.d/sandboxctl.fish
completion=$(find "$work/root" -path '*/completions/sandboxctl')
check "bash reads it" bash -n "$completion"
check "it completes" bash -c 'source "$1" && complete -p sandboxctl >/dev/null' - "$completion"
check "the policy's schema" there /share/sandboxctl/policy/schema.json
check "its presets, for people to read" there /share/sandboxctl/policy/presets/builder.json
if command -v scdoc >/dev/null; then
	check "the man page" there /man1/sandboxctl.1
fi

# Its helpers are those beside it: one that is taken away is missed, whatever the build tree has.
programs() {
	"$bin" doctor --json 2>/dev/null | jq -r '.data.findings[] | select(.id == "programs") | .status'
}
check "it finds its helpers" test "$(programs)" = ok
if [ ! -e "${root#"$work/root"}/libexec/sandboxctl/sandbox-link" ]; then
	rm "$root/libexec/sandboxctl/sandbox-link"
	check "and no others" test "$(programs)" != ok
fi
