#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=240 takes=50
# ssh into an image that has its own OpenSSH server: that one serves, not the tools layer's.
. "$TREE/tests/lib/sandbox.bash"

server=$XDG_CACHE_HOME/sandboxctl/tools/openssh
[ -e "$server/sshd" ] || { echo "no OpenSSH server to try: tests/guest/fetch_sshd"; exit 77; }
folder=$(project sshd)
cd "$SCRATCH"
start sshd "$folder"
ctl cp --user root "$server/libwrap.so.0" sshd:/usr/lib/x86_64-linux-gnu/
ctl cp --user root "$server/sshd" sshd:/usr/sbin/

note "sandboxctl ssh"
status_of 0 ctl ssh sshd -- true </dev/null
status_of 5 ctl ssh sshd -- exit 5 </dev/null
equal "who and where" "sandbox /home/sandbox" "$(ctl ssh sshd -- 'echo $(id -un) $PWD' </dev/null)"
equal "stdin" "through" "$(echo through | ctl ssh sshd -- cat)"
equal "stderr apart" "out" "$(ctl ssh sshd -- 'echo out; echo err >&2' 2>err </dev/null)"
contains "stderr" "$(cat err)" err
contains "-tt" "$(ctl ssh -tt sshd -- tty </dev/null | tr -d '\r')" /dev/pts/
equal "-u root" root "$(ctl ssh -u root sshd -- id -un </dev/null)"

note "plain ssh, scp, sftp, rsync"
ctl ssh-config sshd >conf
plain="-F $SCRATCH/conf -o BatchMode=yes"
contains "it is OpenSSH's" "$(ssh $plain -o LogLevel=DEBUG sshd true 2>&1 </dev/null)" "remote software version OpenSSH"
attempt "another user" ssh $plain -l nobody sshd true </dev/null 2>/dev/null
head -c 3000000 /dev/urandom >big
scp $plain -q big sshd:/tmp/big
scp $plain -q sshd:/tmp/big big.back
cmp big big.back
sftp $plain -q -b - sshd >/dev/null <<<$'mkdir /tmp/sftp\nput err /tmp/sftp/file\nrename /tmp/sftp/file /tmp/sftp/other'
equal "sftp" other "$(inside sshd 'ls /tmp/sftp')"
mkdir -p tree/deep
echo x >tree/deep/file
rsync -a -e "ssh $plain" tree/ sshd:/tmp/rsync/
equal "rsync" x "$(inside sshd 'cat /tmp/rsync/deep/file')"

note "ssh -L"
forwards sshd 18086
until_true 10 "no server is left when its client has gone" inside sshd '! pgrep -x sshd'
