#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=900 takes=150
# /workspace and other shares, from both sides: whose files are whose, modes, links, mappings, locks, databases, big and many.
. "$TREE/tests/lib/sandbox.bash"

folder=$(project work)
more=$(project more)
fixed=$(project fixed)
cd "$folder"
mkdir -p before/deep
echo old >before/file
echo '#!/bin/sh' >before/script
chmod 755 before/script
echo ro >before/readonly
chmod 444 before/readonly
ln -s file before/link
ln -s ../../escape before/outward
echo linked >before/linked
ln before/linked before/hard
echo fixed >"$fixed/file"
start work "$folder" -v "$more:/more" -v "$fixed:/mnt/fixed:ro" --memory 384M

# both WHAT WANTED SCRIPT: the same answer on both sides.
both() {
	equal "$1, host" "$2" "$(sh -c "$3")"
	equal "$1, guest" "$2" "$(inside work "$3")"
}

note "files of before"
equal "are sandbox's" "sandbox sandbox" "$(inside work 'stat -c "%U %G" before/file')"
inside work 'echo new >>before/file; mkdir before/deep/er; rm before/script; echo x >before/deep/er/x'
equal "host sees the change" $'old\nnew' "$(cat before/file)"
equal "made inside is the host user's" "$(id -u) $(id -g)" "$(stat -c '%u %g' before/deep/er/x)"
equal "made by root inside too" "$(id -u) $(id -g)" "$(inside_root work 'cd /workspace; echo r >by-root' && stat -c '%u %g' by-root)"
equal "root's in the guest" "root root" "$(inside work 'stat -c "%U %G" by-root')"
equal "made outside is sandbox's" sandbox "$(echo h >by-host && inside work 'stat -c %U by-host')"
attempt "a read-only file" inside work 'echo x >before/readonly' 2>/dev/null
attempt "a file that is linked elsewhere too (S4)" inside work 'echo x >before/linked' 2>/dev/null
equal "it is as before" linked "$(cat before/hard)"

note "modes"
inside work 'umask 022; echo >m1; echo >m2; chmod 755 m2; echo >m3; chmod 600 m3; mkdir d1; mkdir -m 700 d2; chmod 644 m1'
both "modes" $'644 m1\n755 m2\n600 m3\n755 d1\n700 d2' 'stat -c "%a %n" m1 m2 m3 d1 d2'
chmod 750 m1
both "host's chmod" "750" 'stat -c %a m1'
inside work 'chmod 4755 m2; chmod 1777 d1'
equal "set-uid and sticky, guest" $'4755\n1777' "$(inside work 'stat -c %a m2 d1')"
equal "not on the host" $'755' "$(stat -c %a m2)"

note "links"
equal "links are links" "file ../../escape" "$(inside work 'echo $(readlink before/link before/outward)')"
inside work 'ln -s target l1; ln m3 h1; ln -s /etc/passwd l2'
equal "made inside" "target /etc/passwd" "$(readlink l1 l2 | xargs)"
both "hard links" "2 2" 'echo $(stat -c %h m3 h1)'
inside work 'echo through >>h1'
equal "one file" through "$(tail -n1 m3)"
both "link of before" "new" 'tail -n1 before/link'

equal "inode numbers are the host's" "$(stat -c %i . m3 before/deep/er)" "$(inside work 'stat -c %i . m3 before/deep/er')"

note "names, renames, removal"
inside work 'mkdir names; cd names; touch -- "a b" "é" "日本" "-x" "tab	tab" "new
line" "$(printf "\377")"; mv "a b" "c d"; mkdir x y; touch x/f; mv x/f y/g; mv -T y x'
equal "the same names" "$(ls names | od -An -c)" "$(inside work 'ls names' | od -An -c)"
equal "renamed" "g" "$(ls names/x)"
long=$(printf 'n%.0s' {1..255})
inside work "touch names/$long && rm names/$long"
attempt "a name of 256 bytes" inside work "touch names/n$long 2>/dev/null"
inside work 'python3 - <<"P"
import os
f = open("gone", "w+"); f.write("kept"); f.flush(); os.unlink("gone")
assert os.fstat(f.fileno()).st_nlink == 0
f.seek(0); assert f.read() == "kept"
g = open("over", "w+"); g.write("first"); g.flush()
open("other", "w").write("second"); os.rename("other", "over")
g.seek(0); assert g.read() == "first" and open("over").read() == "second"
P'
[ ! -e gone ] || fail "an unlinked file is there"
equal "no name of the server's own" "" "$(find . -name '.fuse*' -o -name '.nfs*' -o -name '.unlinked*')"

note "mappings, appends, truncation, big files"
inside work 'python3 - <<"P"
import mmap, os
f = open("mapped", "w+b"); f.truncate(1 << 20)
m = mmap.mmap(f.fileno(), 1 << 20)
for i in range(0, 1 << 20, 4096): m[i:i+4] = i.to_bytes(4, "little")
m.flush(); m.close()
P'
equal "written by a mapping" ok "$(python3 -c '
d = open("mapped", "rb").read()
print("ok" if all(d[i:i+4] == i.to_bytes(4, "little") for i in range(0, 1 << 20, 4096)) else "wrong")')"
cat >shared.py <<'P'
import mmap, os, time
f = open("shared", "r+b"); m = mmap.mmap(f.fileno(), 8192)
def wait(at, value):
    while m[at] != value: time.sleep(0)
if os.fork() == 0:
    for i in range(1, 201):
        wait(0, i)
        m[4096] = i
    os._exit(0)
for i in range(1, 201):
    m[0] = i
    wait(4096, i)
os.wait()
m[8:13] = b"there"; m.flush()
print("ok")
P
head -c 8192 /dev/zero >shared
equal "a mapping that two processes share" ok "$(inside work 'timeout 60 python3 shared.py')"
equal "on the host after msync" there "$(dd if=shared bs=1 skip=8 count=5 status=none)"
inside work 'rm -f log; for j in $(seq 100); do echo "$j" >>log; done'
equal "appends" 100 "$(sort -u log | wc -l)"
inside work 'rm -f all; for i in 1 2 3 4; do (for j in $(seq 50); do echo "$i $j" >>all; done) & done; wait'
equal "appends of four at once" 200 "$(sort -u all | wc -l)"
inside work 'exec 5>>open; echo first >&5; for i in $(seq 100); do [ -e seen ] && exit; sleep 0.2; done; exit 1' &
other=$!
until_true 15 "what is written to a file that stays open" grep -q first open
touch seen
wait $other || fail "the guest has not seen the host's answer"
echo host >>log
inside work 'echo guest >>log'
equal "appends from both sides" $'host\nguest' "$(tail -n2 log)"
inside work 'truncate -s 5 log; truncate -s 3G big; echo end >>big'
both "sizes" "5 3221225476" 'echo $(stat -c %s log big)'
equal "the end of a big file" end "$(tail -c4 big)"
inside work 'rm big; head -c 20000000 /dev/urandom >bulk'
equal "20 MB" "$(sha256sum <bulk)" "$(inside work 'sha256sum <bulk')"
equal "time stamps" "1000000000" "$(inside work 'touch -d @1000000000 stamp' && stat -c %Y stamp)"

note "what the host changes is seen at once"
for ((i = 0; i < 5; i++)); do
	echo "round $i" >changing
	equal "content" "round $i" "$(inside work 'cat changing')"
	touch "new.$i"
	equal "a new name" "new.$i" "$(inside work "ls new.$i")"
	rm "new.$i"
	attempt "a name that went" inside work "ls new.$i 2>/dev/null"
done

printf '%0600d' 1 >shortened
inside work 'exec python3 -c "
import os, time
fd = os.open(\"shortened\", os.O_RDONLY)
os.fstat(fd)
open(\"looked\", \"w\").close()
while os.path.exists(\"looked\"): time.sleep(0.2)
try: print(len(os.read(fd, 1000)))
except OSError as e: print(e.strerror)
"' >"$SCRATCH/cut" &
until_true 60 "a reader in the guest" test -e looked
truncate -s 300 shortened
rm looked
wait $! || fail "who reads a file that the host cut did not end"
grep -qE '^(300|Stale file handle)$' "$SCRATCH/cut" || fail "a file that the host cut: $(cat "$SCRATCH/cut")"

note "locks"
inside work 'flock lock sh -c "touch locked; sleep 3" & while [ ! -e locked ]; do sleep 0.1; done; if flock -n lock true; then echo free; else echo held; fi; wait; flock -n lock echo free' >locks
equal "between two processes of the guest" $'held\nfree' "$(cat locks)"

note "SQLite: WAL mode, four processes of the guest; then rollback mode, both sides at once"
cat >rows.py <<'P'
import sqlite3, sys
name, who, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
db = sqlite3.connect(name, timeout=120)
mode = db.execute("pragma journal_mode").fetchone()[0]
for n in range(rows):
    with db: db.execute("insert into t values (?, ?)", (who, n))
    # A transaction that was answered is there, whoever looks.
    seen = db.execute("select count(*) from t where who = ?", (who,)).fetchone()[0]
    if seen != n + 1: sys.exit(f"{who}: {seen} rows after {n + 1}")
print(mode)
P
inside work 'sqlite3 wal.db "pragma journal_mode=wal; create table t (who int, n int)"' >/dev/null
equal "mode" "wal wal wal wal" "$(inside work 'for i in 1 2 3 4; do python3 rows.py wal.db $i 50 & done; wait' | xargs)"
both "rows and integrity" "200 ok" 'echo $(sqlite3 wal.db "select count(*) from t; pragma integrity_check")'
equal "the host adds to it when the guest has closed it" wal "$(python3 rows.py wal.db 5 10)"
equal "the guest sees that" "210 ok" "$(inside work 'echo $(sqlite3 wal.db "select count(*) from t; pragma integrity_check")')"
# WAL's index is memory that its users share: one machine's, says SQLite. Rollback journals stand on locks, which are the host's own.
sqlite3 both.db "create table t (who int, n int)"
inside work 'for i in 1 2; do python3 rows.py both.db $i 20 & done; wait' >guest-modes &
other=$!
equal "the host writes at the same time" delete "$(python3 rows.py both.db 3 20)"
reads=0
while kill -0 $other 2>/dev/null; do
	equal "the host reads at the same time" ok "$(sqlite3 -cmd '.timeout 60000' both.db 'pragma integrity_check')"
	reads=$((reads + 1))
	sleep 0.2
done
wait $other || fail "the guest's writers failed"
equal "the guest's mode" "delete delete" "$(xargs <guest-modes)"
both "rows and integrity, rollback" "60 ok" 'echo $(sqlite3 both.db "select count(*) from t; pragma integrity_check")'
echo "host read $reads times meanwhile"

note "an npm-made tree"
mkdir -p npm/tool
cat >npm/package.json <<'P'
{"name": "top", "version": "1.0.0", "dependencies": {"tool": "file:./tool"}}
P
cat >npm/tool/package.json <<'P'
{"name": "tool", "version": "1.0.0", "bin": {"tool": "cli.js"}}
P
printf '#!/usr/bin/env node\nconsole.log("tool runs in", process.cwd());\n' >npm/tool/cli.js
inside work 'cd npm && npm install --offline --no-audit --no-fund --loglevel=error >/dev/null && npx --offline tool'
equal "its symlinks on the host" "../tool ../tool/cli.js" "$(readlink npm/node_modules/tool npm/node_modules/.bin/tool | xargs)"
equal "it runs on the host" "tool runs in $folder/npm" "$(cd npm && node_modules/.bin/tool)"

note "a binary built on one side runs on the other"
# build N: a program of which every build has the same size; with an argument it waits, mapped, before it tells once more.
build() {
	printf '#include <stdio.h>\n#include <unistd.h>\nint main(int n, char **v)\n{\n(void)v; puts("build %s"); fflush(stdout); while (n > 1 && access("go", F_OK)) usleep(50000); if (n > 1) puts("still %s"); return 0; }\n' \
		"$1" "$1" >prog.c
	gcc -o prog.new prog.c
}
for i in 1 2 3 4 5 6; do
	build $i
	if [ $((i % 2)) -eq 1 ]; then mv prog.new prog; else cat prog.new >prog; fi
	chmod +x prog
	equal "built here, runs there (by rename if odd, in place if even)" "build $i" "$(inside work ./prog)"
	equal "and once more" "build $i" "$(inside work 'cp prog /tmp/p && cmp prog /tmp/p && /tmp/p')"
done
inside work './prog wait >said & while ! grep -q build said; do sleep 0.1; done'
build 7
mv prog.new prog
touch go
until_true 20 "the old one, replaced by rename, ran on unharmed" grep -q 'still 6' said
# While a guest's process has the old file open its 9p client goes on finding that one under the name.
until_true 20 "the new one is found when the old one has ended" sh -c '[ "$("$0" exec work -- ./prog)" = "build 7" ]' "$SANDBOXCTL"
inside work 'sed -i s/build/guest/ prog.c && gcc -o prog prog.c'
equal "built there, runs here" "guest 7" "$(./prog)"

note "several shares, read-only ones"
inside work 'echo more >/more/file'
equal "rw share" more "$(cat "$more/file")"
equal "ro share" fixed "$(inside work 'cat /mnt/fixed/file')"
for what in 'echo x >/mnt/fixed/file' 'rm -f /mnt/fixed/file' 'touch /mnt/fixed/new' 'chmod 777 /mnt/fixed/file' 'mkdir /mnt/fixed/d'; do
	attempt "$what" inside_root work "$what" 2>/dev/null
done
attempt "a remount" inside_root work 'mount -o remount,rw /mnt/fixed && touch /mnt/fixed/new'
equal "nothing came" file "$(ls "$fixed")"
equal "shares in status" "/more false /mnt/fixed true" "$(data work 'shares[] | "\(.guest) \(.readonly)"' | xargs)"
attempt "a workspace that is not there" ctl start other --no-attach --workspace "$SCRATCH/no-such-folder" </dev/null 2>/dev/null

note "a read-only workspace"
start readonly "$fixed:ro"
equal "read" fixed "$(inside readonly 'cat file')"
attempt "write" inside readonly 'touch new' 2>/dev/null

note "H14: what the guest makes a link is not read for the host"
inside work 'ln -s /etc/passwd .env; ln -s /etc conf'
attempt "an --env-file that leads out" ctl start other --dry-run --workspace "$more" --env-file "$folder/.env" 2>"$SCRATCH/words"
contains "in words" "$(cat "$SCRATCH/words")" "symbolic link"
attempt "a folder on its way that leads out" ctl start other --dry-run --workspace "$more" --env-file "$folder/conf/environment" 2>"$SCRATCH/words"
contains "in words" "$(cat "$SCRATCH/words")" "symbolic link"
