#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=150
. "$TREE/tests/lib/sandbox.bash"
folder=$(project dbg)
cd "$SCRATCH"
start dbg "$folder"
inside dbg 'mkdir -p /tmp/www; echo over ssh >/tmp/www/x; cd /tmp/www; nohup python3 -m http.server 8000 --bind 127.0.0.1 >/tmp/http 2>&1 &'
until_true 20 "the guest's server" inside dbg 'curl -s http://127.0.0.1:8000/x'
ctl ssh-config dbg >conf
plain="-F $SCRATCH/conf -o BatchMode=yes -o LogLevel=DEBUG2"
ssh $plain -N -L 18087:127.0.0.1:8000 dbg </dev/null >f1 2>&1 &
f=$!
for i in 1 2 3 4 5 6; do sleep 2; curl -v -m 5 http://127.0.0.1:18087/x && break; done
ss -tlnp | head
cat f1 | tail -40
inside_root dbg 'pgrep -a dropbear; for p in $(pgrep dropbear); do cat /proc/$p/status | grep -E "Sig|State|Pid"; cat /proc/$p/wchan; ls -l /proc/$p/fd; done; ss -tanp; cat /tmp/http'
command -v strace
inside_root dbg 'command -v strace; for p in $(pgrep -x dropbear); do timeout 8 strace -f -p $p -o /tmp/st & done; sleep 1; true' &
sleep 2
curl -v -m 5 http://127.0.0.1:18087/x
sleep 3
inside_root dbg 'tail -60 /tmp/st'
kill $f
