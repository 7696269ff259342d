#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=300
# H6: what a guest prints reaches a terminal without what could act on it, and reaches files as it is. H14, H15: copies and ssh of a
# hostile guest touch nothing but their target.
set -euo pipefail
. "$TREE/tests/lib/sandbox.bash"

folder=$(project show)

# Title, clipboard (OSC 52), link (OSC 8), DCS, APC, C1 in one byte and in two, bidi, a report that types; then what must pass.
{
	printf 'begin \e]0;TITLE\a\e]52;c;Y2xpcA==\a\e]8;;http://evil.invalid\e\\LINK\e]8;;\e\\ \eP$q"p\e\\ \e_APC\e\\ '
	printf '\x9d0;CONE\x9c \xc2\x9d0;CTWO\xc2\x9c \xe2\x80\xaeBIDI\xe2\x80\xac \xe2\x81\xa6ISO\xe2\x81\xa9 \e[6n \e[21t \e[31mred\e[0m end\n'
} >"$folder/payload"

# on_terminal FILE COMMAND...: runs it on a terminal of its own; what came there is FILE. stdin is what is typed.
on_terminal() {
	local file=$1
	shift
	timeout 60 script -qefc "$(printf '%q ' "$@")" "$SCRATCH/typescript" >"$file"
}

# harmless WHERE FILE [plain|asks]: what the payload's end is in; none of what acts on a terminal. plain: colours need not be there;
# asks: where the guest has the terminal's input, it may ask where the cursor is, as full-screen programs do.
harmless() {
	local reports='|\x1b\[6n'
	[ "${3:-}" != asks ] || reports=
	grep -aq 'end' "$2" || fail "H6 $1: the payload is not there: $(cat -v "$2")"
	if LC_ALL=C grep -aqP '\x1b[\]P_X^]|\x9d|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]|\x1b\[21t'"$reports" "$2"; then
		fail "H6 $1: not filtered: $(cat -v "$2")"
	fi
	if [ "${3:-}" != plain ] && grep -aqE 'TITLE|Y2xpcA|evil.invalid|APC' "$2"; then
		fail "H6 $1: a dropped sequence's text is left: $(cat -v "$2")"
	fi
	[ "${3:-}" = plain ] || grep -aq $'\e\[31mred' "$2" || fail "H6 $1: colours are gone: $(cat -v "$2")"
}

start show "$folder" -t -- sh -c 'while [ ! -e /tmp/go ]; do sleep 0.2; done; cat /workspace/payload; while :; do sleep 1; done'

note "H6: filtered on a terminal"
on_terminal out "$SANDBOXCTL" exec show -t -- cat payload </dev/null
harmless "exec -t" out asks
on_terminal out "$SANDBOXCTL" exec show -T -- cat payload </dev/null
harmless "exec without a guest terminal" out
on_terminal out "$SANDBOXCTL" exec show -T -- sh -c 'cat payload >&2' </dev/null
harmless "stderr of exec" out
{
	sleep 4
	printf 'cat /workspace/payload\n'
	sleep 2
	printf 'exit\n'
	sleep 1
} | on_terminal out "$SANDBOXCTL" shell show || true
harmless shell out asks
{
	sleep 1
	ctl exec show -n -- touch /tmp/go
	sleep 3
	printf '\x10\x11'
	sleep 1
} | on_terminal out "$SANDBOXCTL" attach show || true
harmless attach out asks
on_terminal out "$SANDBOXCTL" logs show </dev/null
harmless logs out
inside_root show 'cat /workspace/payload >/dev/kmsg; cat /workspace/payload >/dev/hvc0 || cat /workspace/payload >/dev/console'
sleep 1
on_terminal out "$SANDBOXCTL" console show </dev/null
harmless console out plain

note "H6: names and errors"
name=$'a\e]0;TITLE\a\e]52;c;Y2xpcA==\a\xc2\x9b31mb'
inside show "mkdir -p /tmp/evil && mkfifo \"/tmp/evil/\$(printf 'a\\033]0;TITLE\\007\\302\\2331mb')\" && echo x >\"/tmp/evil/\$(printf 'f\\033]0;TITLE\\007')\""
for words in "cp show:/tmp/evil $SCRATCH/copied" "exec show -- $name" "exec show -w $name -- true" "cp show:/tmp/$name $SCRATCH/none" \
	"ls" "status show" "start $name --no-attach"; do
	echo end >out.end
	# shellcheck disable=SC2086 # words are words
	on_terminal out "$SANDBOXCTL" $words </dev/null || true
	cat out.end >>out
	harmless "$words" out plain
done

note "H6: as they are in pipes and files, and with --raw"
ctl exec show -T -- cat payload | cmp - "$folder/payload" || fail "H6: a pipe is filtered"
ctl cp show:/workspace/payload "$SCRATCH/back"
cmp "$SCRATCH/back" "$folder/payload" || fail "H6: a copy is filtered"
ctl logs show | grep -aq TITLE || fail "H6: logs are filtered in a pipe"
on_terminal out "$SANDBOXCTL" exec show -t --raw -- cat payload </dev/null
grep -aq TITLE out || fail "H6: --raw filters"

note "H14: a source that changes while it is copied"
mkdir "$SCRATCH/target" "$SCRATCH/outside"
echo kept >"$SCRATCH/outside/kept"
inside show "mkdir -p /tmp/race/d && for i in 1 2 3 4 5 6 7 8; do echo \$i >/tmp/race/d/\$i; done
	ln -s '$SCRATCH/outside' /tmp/race/link; ln -s ../../../outside /tmp/race/up; mkfifo /tmp/race/fifo; ln -s /etc/passwd /tmp/race/abs
	(end=\$((\$(date +%s) + 14)); while [ \$(date +%s) -lt \$end ]; do
		mv -T /tmp/race/d /tmp/race/e 2>/dev/null; ln -s '$SCRATCH/outside' /tmp/race/d; rm -f /tmp/race/d; mv -T /tmp/race/e /tmp/race/d; done) >/dev/null 2>&1 &"
for _ in 1 2 3 4 5; do
	timeout 20 "$SANDBOXCTL" cp show:/tmp/race "$SCRATCH/target" >/dev/null 2>&1 || true
done
equal "H14: what lies outside" "kept" "$(cd "$SCRATCH/outside" && cat ./* && [ "$(ls)" = kept ] || echo more)"
equal "H14: special files" "" "$(find "$SCRATCH/target" "$SCRATCH/copied" ! -type f ! -type d ! -type l 2>/dev/null)"
while read -r link; do
	case $(readlink "$link") in
	/* | *../../*) fail "H14: a link that leads out: $link -> $(readlink "$link")" ;;
	esac
done < <(find "$SCRATCH/target" -type l)
ln -s "$SCRATCH/outside" "$SCRATCH/target/race/taken" 2>/dev/null || true
inside show 'rm -rf /tmp/deep && mkdir -p /tmp/deep/race/taken && echo taken >/tmp/deep/race/taken/kept'
ctl cp show:/tmp/deep/race "$SCRATCH/target" >/dev/null 2>&1 || true
equal "H14: a link that is there already is not followed" kept "$(cat "$SCRATCH/outside/kept")"

note "H14: the guest swaps the place that is copied to"
inside show 'mkdir -p /workspace/in && mkdir /workspace/x
	(end=$(($(date +%s) + 8)); while [ $(date +%s) -lt $end ]; do rmdir /workspace/in 2>/dev/null || rm -rf /workspace/in; ln -s /workspace/x /workspace/in
		rm -f /workspace/in; mkdir /workspace/in; done) >/dev/null 2>&1 &'
for _ in 1 2 3; do
	timeout 20 "$SANDBOXCTL" cp "$folder/payload" show:/workspace/in >/dev/null 2>&1 || true
done
equal "the sandbox lives" running "$(data show state)"

note "H15: ssh reads our configuration only"
install -d -m 700 "$HOME/.ssh"
cat >"$HOME/.ssh/config" <<-END
	Match exec "touch $SCRATCH/canary-match"
	  ForwardAgent yes
	Host *
	  ProxyCommand touch $SCRATCH/canary-proxy
	  PermitLocalCommand yes
	  LocalCommand touch $SCRATCH/canary-local
	  SendEnv CANARY_*
	  ForwardX11 yes
END
got=$(CANARY_SSH=bird timeout 60 "$SANDBOXCTL" ssh show -- 'echo in; env | grep CANARY; echo ${SSH_AUTH_SOCK:-no agent} ${DISPLAY:-no display}' </dev/null) || got="failed: $got"
equal "H15: what ssh runs" "in no agent no display" "$(echo $got)"
equal "H15: nothing of ~/.ssh/config ran" "" "$(find "$SCRATCH" -maxdepth 1 -name 'canary*')"
ctl ssh-config show >config # a file: ssh closes what it inherits
timeout 20 ssh -G -F config show >resolved </dev/null
for line in 'forwardagent no' 'forwardx11 no' 'permitlocalcommand no' 'stricthostkeychecking true' 'identitiesonly yes' 'gssapiauthentication no'; do
	grep -qx "$line" resolved || fail "H15: $line is not in force: $(grep "^${line% *}" resolved)"
done
attempt "H15: an environment is sent" grep -q '^sendenv' resolved

note "H15: completion runs and offers nothing that somebody else named"
bad="\$(touch $SCRATCH/canary-completion)"
touch "$folder/x\$(touch canary-completion)" "$folder/\`touch canary-completion\`"
mkdir -p "$XDG_STATE_HOME/sandboxctl/sandboxes/\$(touch canary-completion)" "$XDG_STATE_HOME/sandboxctl/sandboxes/;touch canary-completion"
cat >complete.bash <<-'END'
	PATH=$(dirname "$SANDBOXCTL"):$PATH
	source <("$SANDBOXCTL" completion bash)
	for verb in exec start stop cp logs; do
		COMP_WORDS=(sandboxctl "$verb" "") COMP_CWORD=2
		_sandboxctl
		printf '%s\n' "${COMPREPLY[@]}"
	done
END
(cd "$folder" && bash "$OLDPWD/complete.bash" >"$OLDPWD/offered")
grep -qx show offered || fail "H15: completion offers no sandbox"
attempt "H15: a name that nobody may have is offered: $bad" grep -q 'canary' offered
equal "H15: nothing ran" "" "$(find "$SCRATCH" "$folder" -maxdepth 1 -name 'canary*')"
rmdir "$XDG_STATE_HOME/sandboxctl/sandboxes/"*canary*
echo "terminal: held"
