#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=1200 takes=35
# From inside a real guest, against the folders it was given: S1, S3, S4, S10, S12, V5. The raw 9P frames of a hostile kernel (S1, S2)
# are attempted in tests/unit/test_p9_server.c, which drives the same server with no kernel between.
set -euo pipefail
. "$TREE/tests/lib/sandbox.bash"

folder=$(project shares)
outside=$SCRATCH/outside
mkdir -p "$outside" "$folder/sub" "$SCRATCH/readonly"
echo secret >"$outside/secret"
echo kept >"$SCRATCH/readonly/kept"
echo data >"$folder/file"
ln -s "$outside" "$folder/absolute"
ln -s ../outside "$folder/relative"
ln -s /proc/self/root/etc/passwd "$folder/magic"
ln "$outside/secret" "$folder/linked"

note "S10: what may not be shared"
for path in / "$HOME" "$XDG_STATE_HOME" "$XDG_RUNTIME_DIR"; do
	mkdir -p "$path"
	attempt "S10 $path" ctl start s10 --no-attach --workspace "$path" --kernel "$KERNEL" </dev/null
done

export CANARY_OF_THE_HOST=bird
start shares "$folder" -v "$SCRATCH/readonly:/readonly:ro" -e GIVEN=this

note "S12: the host's environment stays outside"
equal "what was given" this "$(inside shares 'echo $GIVEN')"
attempt "S12" inside shares 'env | grep -q CANARY'
attempt "S12 as root" inside_root shares 'cat /proc/*/environ 2>/dev/null | tr "\0" "\n" | grep CANARY'

note "S1: links and dots lead nowhere outside"
equal "the file itself" data "$(inside shares 'cat file')"
for way in absolute/secret relative/secret sub/../../outside/secret ../outside/secret; do
	attempt "S1 $way" inside_root shares "cat /workspace/$way"
done
contains "S1: a link is the guest's own" "$(inside shares 'readlink absolute')" "$outside"
attempt "S1: a magic link shows no file of the host" inside_root shares "grep -q '^dev:' /workspace/magic"

note "S3: nothing special becomes real on the host"
inside_root shares 'cd /workspace && cp /usr/bin/id suid && chown root:root suid && chmod 6755 suid && mknod device c 1 3 &&
	mkfifo fifo && touch foreign && chown 1234:1234 foreign'
equal "set-id in the guest" "6755 0" "$(inside_root shares 'stat -c "%a %u" /workspace/suid')"
equal "the device in the guest" "character special file" "$(inside_root shares 'stat -c %F /workspace/device')"
equal "its host mode has no set-id bit" "" "$(find "$folder" -perm /7000)"
equal "no special file on the host" "" "$(find "$folder" ! -type f ! -type d ! -type l)"
equal "no foreign owner on the host" "" "$(find "$folder" ! -user "$(id -u)" ! -path "$folder/linked")"
attempt "S3: the attributes cannot be forged by name" inside_root shares \
	'setfattr -n user.virtfs.uid -v 0x00000000 /workspace/file'

note "S4: a file linked outside is readable, and stays as it is"
equal "readable" secret "$(inside shares 'cat linked')"
attempt "S4 write" inside_root shares 'echo taken >>/workspace/linked'
attempt "S4 truncate" inside_root shares 'truncate -s 0 /workspace/linked'
attempt "S4 chmod" inside_root shares 'chmod 777 /workspace/linked'
inside shares 'echo mine >new && mv new linked'
equal "S4: replaced by rename, the other name untouched" secret "$(cat "$outside/secret")"
equal "S4: links that the guest makes itself stay writable" both "$(inside shares 'echo a >one && ln one two && echo both >two && cat one')"

note "V5: read-only is the host's word"
equal "readable" kept "$(inside shares 'cat /readonly/kept')"
attempt "V5" inside_root shares 'echo x >/readonly/new'
attempt "V5: not after a remount either" inside_root shares \
	'mount -o remount,rw /readonly 2>/dev/null; touch /readonly/new'
equal "nothing was written" kept "$(ls "$SCRATCH/readonly")"
echo "shares: held"
