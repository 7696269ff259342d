#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=1200 takes=110
# `cp` both ways, ssh with all that stands on it, console and logs.
. "$TREE/tests/lib/sandbox.bash"

folder=$(project copy)
cd "$SCRATCH"
start copy "$folder" --memory 384M -- sh -c 'echo first line; echo to stderr >&2; while :; do sleep 1; done'

# tree FOLDER: one with everything that a copy must keep.
tree() {
	mkdir -p "$1/deep/er" "$1/empty" "$1/sp ace"
	echo text >"$1/file"
	printf '#!/bin/sh\necho ran\n' >"$1/deep/er/run"
	chmod 755 "$1/deep/er/run"
	echo secret >"$1/private"
	chmod 600 "$1/private"
	: >"$1/sp ace/é nothing"
	ln -s ../file "$1/deep/link"
	head -c 3000000 /dev/urandom >"$1/big"
	touch -d '2020-02-02 02:02:02 UTC' "$1/file"
	chmod 750 "$1/deep"
}

# listing FOLDER: shell text that prints kind, mode, size, target and name of all in it, and a sum of the contents.
listing='cd "$1" && find . -type d -printf "d %m %p\n" -o -type l -printf "l %l %p\n" -o -printf "f %m %s %p\n" | LC_ALL=C sort && find . -type f -exec sha256sum {} + | LC_ALL=C sort'

note "cp, a tree there and back"
tree from
ctl cp from copy:/tmp/there
equal "the tree in the guest" "$(sh -c "$listing" - from)" "$(ctl exec copy -- sh -c "$listing" - /tmp/there)"
equal "times" "$(stat -c %Y from/file)" "$(inside copy 'stat -c %Y /tmp/there/file')"
equal "owner" sandbox "$(inside copy 'stat -c %U /tmp/there/file')"
ctl cp copy:/tmp/there back
equal "the tree back here" "$(sh -c "$listing" - from)" "$(sh -c "$listing" - back)"
equal "times" "$(stat -c %Y from/file)" "$(stat -c %Y back/file)"
mkdir into
ctl cp copy:/tmp/there into
equal "into a folder" "$(sh -c "$listing" - from)" "$(sh -c "$listing" - into/there)"
ctl cp from/file copy:/tmp/
equal "a file into a folder" text "$(inside copy 'cat /tmp/file')"
ctl cp from/deep/er/run copy:/tmp/renamed
equal "a file, renamed" ran "$(inside copy /tmp/renamed)"
(cd "$folder" && ctl cp :/tmp/renamed here)
equal "without a name" ran "$("$folder/here")"
attempt "a missing source" ctl cp copy:/no/such there
attempt "a missing source here" ctl cp no-such copy:/tmp/
attempt "a place that is not sandbox's" ctl cp from/file copy:/root/x
ctl cp --user root from/file copy:/root/x
equal "--user root" "root text" "$(inside_root copy 'stat -c %U /root/x; cat /root/x' | xargs)"
inside copy 'mkdir /tmp/out; ln -s /etc/passwd /tmp/out/leads-out; echo x >/tmp/out/x; chmod 4755 /tmp/out/x'
ctl cp copy:/tmp/out out 2>said || true
contains "a link that leads out is named" "$(cat said)" leads-out
attempt "it is not made" test -L out/leads-out
equal "no set-uid bit" 755 "$(stat -c %a out/x)"
head -c 12000000 /dev/urandom >large
ctl cp large copy:/tmp/large
ctl cp copy:/tmp/large large.back
cmp large large.back
equal "a limit" 1 "$(ctl cp --limit 1M copy:/tmp/large small 2>/dev/null; echo $?)"

note "ssh"
status_of 0 ctl ssh copy -- true </dev/null
status_of 5 ctl ssh copy -- exit 5 </dev/null
equal "who and where" "sandbox" "$(ctl ssh copy -- id -un </dev/null)"
equal "streams" "out" "$(ctl ssh copy -- 'echo out; echo err >&2' 2>err </dev/null)"
contains "stderr" "$(cat err)" err
equal "stdin" "through" "$(echo through | ctl ssh copy -- cat)"
equal "no terminal" "not a tty" "$(ctl ssh copy -- tty </dev/null || true)"
contains "-tt" "$(ctl ssh -tt copy -- tty </dev/null | tr -d '\r')" /dev/pts/
cmp large <(ctl ssh copy -- cat /tmp/large </dev/null)
equal "-u root" root "$(ctl ssh -u root copy -- id -un </dev/null)"

equal "keys are their user's" "sandbox 700 sandbox 600" "$(inside copy 'echo $(stat -c "%U %a" ~/.ssh ~/.ssh/authorized_keys)')"

note "plain ssh, scp, sftp, rsync"
ctl ssh-config copy >conf
host=$(awk '/^Host / { print $2; exit }' conf)
plain="-F $SCRATCH/conf -o BatchMode=yes"
equal "no prompt" "yes" "$(ssh $plain "$host" echo yes </dev/null)"
scp $plain -q -p from/deep/er/run "$host:/tmp/scped"
equal "scp there" ran "$(inside copy /tmp/scped)"
scp $plain -q -r "$host:/tmp/there" scp.back
equal "scp back" "$(cat from/file)" "$(cat scp.back/file)"
scp $plain -q -O from/file "$host:/tmp/old-protocol"
equal "scp's old protocol" text "$(inside copy 'cat /tmp/old-protocol')"
sftp $plain -q -b - "$host" >/dev/null <<<$'mkdir /tmp/sftp\nput from/file /tmp/sftp/file\nget /tmp/sftp/file sftp.back\nrename /tmp/sftp/file /tmp/sftp/other'
equal "sftp" "text other" "$(cat sftp.back) $(inside copy 'ls /tmp/sftp')"
rsync -a -e "ssh $plain" from/ "$host:/tmp/rsync/"
equal "rsync there" "$(sh -c "$listing" - from)" "$(ctl exec copy -- sh -c "$listing" - /tmp/rsync)"
inside copy 'echo changed >>/tmp/rsync/file'
rsync -a -e "ssh $plain" "$host:/tmp/rsync/" rsync.back/
equal "rsync back" changed "$(tail -n1 rsync.back/file)"

note "ssh -L, git over ssh"
forwards copy 18085
inside copy 'cd /tmp && git init -q -b main repo && cd repo && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m "made inside"'
GIT_SSH_COMMAND="ssh $plain" git clone -q "$host:/tmp/repo" cloned 2>/dev/null
equal "git clone over ssh" "made inside" "$(git -C cloned log --format=%s)"
equal "no TCP port" "" "$(ss -Hltnp 2>/dev/null | grep -E 'sandbox-|dropbear' || true)"
equal "the key is the user's alone" 600 "$(stat -c %a "$(awk '/IdentityFile/ { gsub("\"", "", $2); print $2; exit }' conf)")"

note "console and logs"
equal "logs" $'first line\nto stderr' "$(ctl logs copy | sort)"
equal "logs -n" 1 "$(ctl logs copy -n 1 | wc -l)"
equal "logs --json" "2 LogLine" "$(ctl logs copy --json | jq -r .kind | sort | uniq -c | xargs)"
inside_root copy 'echo said to the console >/dev/console'
until_true 10 "the console has it" eval "ctl console copy | grep -q 'said to the console'"
# Both go on until the sandbox has ended, and end with it.
timeout 60 "$SANDBOXCTL" logs copy -f >followed &
logs=$!
timeout 60 "$SANDBOXCTL" console copy -f -n 0 >console &
console=$!
until_true 10 "logs -f begins with what is there" grep -q 'to stderr' followed
inside_root copy 'echo while it is followed >/dev/console'
until_true 10 "console -f goes on" grep -q 'while it is followed' console
attempt "console -f ended already" gone $console
ctl stop copy
status_of 0 wait $logs
status_of 0 wait $console
equal "logs -f" $'first line\nto stderr' "$(sort followed)"
equal "logs of a stopped one" $'first line\nto stderr' "$(ctl logs copy | sort)"
