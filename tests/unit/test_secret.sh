#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Secrets on the host (E18, E20): the store, its sources, and what of a value is seen anywhere else. Argument: the build folder.
set -euo pipefail
build=$1
ctl=$build/sandboxctl
# Not below /tmp: what others may write to holds no secret.
work=$(mktemp -d "${HOME:-/root}/test_secret.XXXXXX")
trap 'rm -rf "$work"; keyctl unlink "$(keyctl search @u user sandboxctl:kept 2>/dev/null)" @u 2>/dev/null || :' EXIT
export HOME=$work XDG_CONFIG_HOME=$work/c XDG_STATE_HOME=$work/s XDG_RUNTIME_DIR=$work/r
mkdir -m 700 "$work/r"
cd "$work"
store=$work/c/sandboxctl
canary=canary-$RANDOM$RANDOM

fail() { echo "FAILED: $*" >&2; exit 1; }
equal() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; }
status() { local wanted=$1 got=0; shift; "$@" >said 2>&1 || got=$?; [ "$got" -eq "$wanted" ] || fail "$*: $got instead of $wanted: $(cat said)"; }
has() { grep -qF -- "$1" said || fail "'$1' is not in: $(cat said)"; }
# fetch REFERENCE [VALUE-FILE]: what sandbox-secret gives for it.
fetch() { "$build/sandbox-secret" <<<"$1" 3>&1 5<"${2:-/dev/null}" 4<environment 2>words; }
refused() { local got=0; fetch "$1" >out || got=$?; equal "exit code of $1" 6 "$got"; [ ! -s out ] || fail "$1: something was written"; grep -qF -- "$2" words || fail "'$2' is not in: $(cat words)"; }
printf 'TOKEN=%s\0HOME=%s\0PATH=%s\0LD_PRELOAD=/x\0CREDENTIALS_DIRECTORY=%s\0' "$canary" "$work" "$work/evil" "$work/cred" >environment

# The store: modes, atomic, nothing but what was told.
status 0 "$ctl" secret set stored <<<"$canary"
equal "a stored value" "$canary" "$(cat "$store/secrets/stored")"
equal "modes" "600 600 700" "$(stat -c %a "$store/secrets.json" "$store/secrets/stored" "$store/secrets" | xargs)"
grep -q "$canary" "$store/secrets.json" && fail "a value is in secrets.json"
printf '%s\n' "$canary" >token
status 0 "$ctl" secret set filed --file token
status 0 "$ctl" secret set from.env --env TOKEN
status 0 "$ctl" secret set asked --command 'echo hi' --refresh 55m
status 0 "$ctl" secret set unit --systemd-credential token
equal "only what was told is kept" stored "$(ls "$store/secrets")"
equal "names" "asked filed from.env stored unit" "$("$ctl" secret ls --json | jq -r '.data[].name' | sort | xargs)"
equal "refresh" 3300 "$("$ctl" secret ls --json | jq '.data[] | select(.name == "asked").refresh_s')"
equal "a path is absolute" "$work/token" "$(jq -r .secrets.filed.path "$store/secrets.json")"
"$ctl" secret ls >said
grep -q "$canary" said && fail "ls shows a value"

# Bad input is named.
status 2 "$ctl" secret set ../x --env A
status 2 "$ctl" secret set x --env A --file token
status 2 "$ctl" secret set x --env 'A B'
has "not the name of a variable"
status 2 "$ctl" secret set x --command c --refresh soon
status 2 "$ctl" secret set x --env A --refresh 1h
status 1 "$ctl" secret set x --file missing
status 1 "$ctl" secret set x <<<""
has "empty"
printf 'a\nb\n' >two
status 1 "$ctl" secret set x <two
has "more than one line"
status 1 "$ctl" secret set x < <(head -c 9000 /dev/zero | tr '\0' a)
has "longer than"
ln -s token link
status 1 "$ctl" secret set x --file link
has "link"
status 6 "$ctl" secret rm nothing
has "sandboxctl secret set nothing"
chmod 644 "$store/secrets.json"
status 1 "$ctl" secret ls
has "chmod 600"
chmod 600 "$store/secrets.json"
cp "$store/secrets.json" kept
echo '{"version":1,"secrets":{"x":{"kind":"stored","more":1}}}' >"$store/secrets.json"
status 1 "$ctl" secret ls
has "not known"
mv kept "$store/secrets.json"
# Another source takes the value away; so does rm.
status 0 "$ctl" secret set stored --env TOKEN
[ ! -e "$store/secrets/stored" ] || fail "the old value is still there"
status 0 "$ctl" secret set stored <<<"$canary"
status 0 "$ctl" secret rm stored
[ ! -e "$store/secrets/stored" ] || fail "a removed value is still there"

# Sources, by the helper itself.
equal "stored" "$canary" "$(fetch '{"kind":"stored"}' token)"
equal "file" "$canary" "$(fetch "{\"kind\":\"file\",\"path\":\"$work/token\"}")"
equal "env" "$canary" "$(fetch '{"kind":"env","variable":"TOKEN"}')"
mkdir cred
printf %s "$canary" >cred/token
equal "systemd" "$canary" "$(fetch '{"kind":"systemd-credential","credential":"token"}')"
equal "command" "$canary" "$(fetch "{\"kind\":\"command\",\"command\":\"cat $work/token\"}")"
equal "a command's folder and environment" "/ HOME PATH PWD" \
	"$(fetch '{"kind":"command","command":"echo $(pwd) $(env | grep -v ^_= | grep -v ^CRED | cut -d= -f1 | sort)"}')"
equal "a command's PATH is the system's" "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$(fetch '{"kind":"command","command":"echo $PATH"}')"
equal "what a command left behind" x "$(fetch "{\"kind\":\"command\",\"command\":\"(sleep 300; echo late) & echo \$! >$work/left; echo x\"}")"
sleep 0.3
! grep -q '^State:[[:space:]]*[^Z[:space:]]' "/proc/$(cat left)/status" 2>/dev/null || fail "what a command started lives on"
equal "no cores" 0 "$(fetch '{"kind":"command","command":"ulimit -c"}')"
if echo kept | "$ctl" secret set kept --keyring 2>said; then
	equal "keyring" kept "$(fetch '{"kind":"keyring","key":"sandboxctl:kept"}')"
	[ ! -e "$store/secrets/kept" ] || fail "a value of the keyring is on disk"
else
	grep -q keyring said || fail "$(cat said)"
fi
refused '{"kind":"env","variable":"MISSING"}' "MISSING"
refused '{"kind":"file","path":"/nonexistent/x"}' "/nonexistent/x"
refused "{\"kind\":\"file\",\"path\":\"$work/link\"}" "symbolic link"
refused "{\"kind\":\"file\",\"path\":\"$work\"}" "regular file"
refused '{"kind":"command","command":"echo canary-on-stderr >&2; exit 3"}' "exit code 3"
refused '{"kind":"command","command":"echo $TOKEN; echo b"}' "more than one line"
refused '{"kind":"nonsense"}' "nonsense"
refused 'nonsense' "secret"
! grep -q canary-on-stderr words || fail "what a command said is passed on"

# While it runs: nothing in its arguments, its environment, or for a debugger of this user (E18).
mkfifo hold
fetch "{\"kind\":\"command\",\"command\":\"cat $work/token; read x <$work/hold\"}" >out &
for _ in $(seq 100); do pid=$(pgrep -n -x sandbox-secret -P $$ || pgrep -n -x sandbox-secret) && break; sleep 0.05; done
sleep 0.2
! tr '\0' '\n' <"/proc/$pid/cmdline" | grep -q "$canary" || fail "a value is in the arguments"
if [ "$(id -u)" -ne 0 ]; then
	! cat "/proc/$pid/environ" >/dev/null 2>&1 || fail "it can be looked into"
else
	! tr '\0' '\n' <"/proc/$pid/environ" | grep -q "$canary" || fail "a value is in the environment"
fi
echo >hold
wait
equal "held" "$canary" "$(cat out)"
! grep -rq "$canary" "$work/s" 2>/dev/null || fail "a value is in the state folder"
echo ok
