#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=420
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
inside work 'rm -f log; for j in $(seq 100); do echo "$j" >>log; done'
equal "appends" 100 "$(sort -u log | wc -l)"
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

note "locks"
inside work 'flock lock sh -c "touch locked; sleep 3" & while [ ! -e locked ]; do sleep 0.1; done; if flock -n lock true; then echo free; else echo held; fi; wait; flock -n lock echo free' >locks
equal "between two processes of the guest" $'held\nfree' "$(cat locks)"

note "SQLite in WAL mode, four processes"
cat >wal.py <<'P'
import sqlite3, sys
db = sqlite3.connect("wal.db", timeout=60)
print(db.execute("pragma journal_mode=wal").fetchone()[0])
db.execute("create table if not exists t (who int, n int)")
for n in range(50):
    with db: db.execute("insert into t values (?, ?)", (int(sys.argv[1]), n))
P
equal "mode" "wal wal wal wal wal" "$(inside work 'python3 wal.py 0; for i in 1 2 3 4; do python3 wal.py $i & done; wait' | xargs)"
both "rows and integrity" "250 ok" 'echo $(sqlite3 wal.db "select count(*) from t; pragma integrity_check")'

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
for i in 1 2 3; do
	printf 'int puts(const char *); int main(void) { return puts("build %s") < 0; }\n' $i >prog.c
	gcc -o prog prog.c
	equal "built here, runs there" "build $i" "$(inside work ./prog)"
done
inside work 'sed -i s/build/guest/ prog.c && gcc -o prog prog.c'
equal "built there, runs here" "guest 3" "$(./prog)"

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
