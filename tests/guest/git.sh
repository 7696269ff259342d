#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=900 takes=150
# A repository in /workspace, worked on by the host's git and the guest's at once: nothing is lost, nothing corrupt, and neither side
# sees a change of mode or type. GIT_SECONDS: how long both commit at once (15, 60 on a fit KVM); GIT_FILES: how many files (40; 10000
# on a fit KVM). Where guests are emulated the long form takes an hour: GIT_SECONDS=300 GIT_FILES=10000 TEST_LIMIT=5000.
. "$TREE/tests/lib/sandbox.bash"

if [ "${TESTBED:-}" = 1 ]; then
	seconds=${GIT_SECONDS:-15} files=${GIT_FILES:-40}
else
	seconds=${GIT_SECONDS:-60} files=${GIT_FILES:-10000}
fi
folder=$(project repo)
cd "$folder"
export GIT_AUTHOR_NAME=host GIT_AUTHOR_EMAIL=host@x GIT_COMMITTER_NAME=host GIT_COMMITTER_EMAIL=host@x
guest_git='export GIT_AUTHOR_NAME=guest GIT_AUTHOR_EMAIL=guest@x GIT_COMMITTER_NAME=guest GIT_COMMITTER_EMAIL=guest@x'

# guest SCRIPT
guest() {
	inside repo "$guest_git; set -e; $1"
}

# timed WHAT COMMAND...
timed() {
	local began=$SECONDS what=$1
	shift
	"$@"
	echo "$what: $((SECONDS - began)) s"
}

# clean WHAT: both sides say so. What the guest's status writes down of a file are another machine's words to the host's, which looks
# at it again; the guest's git takes the host's word (its gitconfig: core.checkStat).
clean() {
	local looks='git status --porcelain; git diff --summary HEAD' began=$SECONDS
	equal "$1: status and modes, host" "" "$(sh -c "$looks")"
	echo "$1: status, host: $((SECONDS - began)) s"
	began=$SECONDS
	equal "$1: status and modes, guest" "" "$(guest "$looks")"
	echo "$1: status, guest: $((SECONDS - began)) s"
}

start repo "$folder" --memory 512M
note "init in the guest, $files files from the host"
guest 'git init -q -b main .'
python3 - "$files" <<'P'
import os, sys
for i in range(int(sys.argv[1])):
    d = f"tree/{i % 100:02}"
    os.makedirs(d, exist_ok=True)
    with open(f"{d}/file-{i}.txt", "w") as f: f.write(f"file {i}\n" * (i % 9 + 1))
    if i % 10 == 0: os.chmod(f"{d}/file-{i}.txt", 0o755)
    if i % 50 == 0: os.symlink(f"file-{i}.txt", f"{d}/link-{i}")
P
mkdir host guest
echo 0 >host/n
echo 0 >guest/n
# Most of them by the host: adding is the slowest part in an emulated guest, and a tenth of them shows as much.
timed "add and commit, host" eval 'git add host tree/*[0-8] && git commit -qm most'
timed "add and commit, guest" guest 'git add guest tree/*9 && git commit -qm all'
equal "commits" "guest: all host: most" "$(git log --format='%an: %s' | xargs)"
clean "after the first commit"
equal "modes" "100644 100755 120000" "$(git ls-tree -r HEAD | cut -d' ' -f1 | sort -u | xargs)"

note "branches, clones, worktrees"
guest 'git switch -qc other; echo guest >>tree/00/file-0.txt; git rm -q tree/01/file-1.txt; git mv tree/02/file-2.txt tree/02/moved.txt; git commit -qam "on other"'
git switch -q main
git merge -q --no-edit other
clean "after a merge on the host"
guest 'git clone -q --no-local . /tmp/clone && test "$(git -C /tmp/clone rev-parse HEAD)" = "$(git rev-parse HEAD)"'
guest 'git clone -q --depth 1 file:///workspace inner && git -C inner status --porcelain && rm -rf inner'
guest 'git stash list; echo x >>tree/03/file-3.txt; git stash -q; git stash pop -q; git checkout -q -- tree/03/file-3.txt; git tag one; git branch -d other'
clean "after branches"

# committer FOLDER SECONDS: shell text; edits, adds and commits over and over, three times at least; waits while the other side holds a lock.
committer='
	end=$(($(date +%s) + $2)); n=0; locked=0
	while [ $(date +%s) -lt $end ] || [ $n -lt 3 ]; do
		n=$((n + 1))
		echo $n >$1/n; echo $n >$1/file-$n
		printf "%s\n" "$n" >>$1/log
		until git add $1 2>err-$1; do
			grep -q "index.lock" err-$1 || { cat err-$1; exit 1; }
			locked=$((locked + 1)); sleep 0.2
		done
		until git commit -qm "$1 $n" -- $1 2>err-$1 >out-$1; do
			grep -qE "\.lock|is at .* but expected" err-$1 || { echo "commit $n:"; cat err-$1 out-$1; exit 1; }
			locked=$((locked + 1)); sleep 0.2
		done
	done
	echo "$n commits, $locked times locked out"'
printf 'err-*\nout-*\n' >.git/info/exclude
note "both commit at once for $seconds s"
guest "set -- guest $seconds; $committer" >"$SCRATCH/guest.said" 2>&1 &
other=$!
status_of 0 sh -c "set -- host $seconds; $committer"
wait $other || fail "the guest's side: $(cat "$SCRATCH/guest.said")"
cat "$SCRATCH/guest.said"
rm -f err-* out-*
ls .git/*.lock 2>/dev/null && fail "a lock was left"
git status --porcelain >"$SCRATCH/looked"
cp .git/index "$SCRATCH/index"
guest 'git status --porcelain'
cmp .git/index "$SCRATCH/index" || fail "the guest's git read anew what the host's has looked at"
timed "fsck, both" eval 'git fsck --strict --no-dangling && guest "git fsck --strict --no-dangling"'
clean "after commits from both sides"
for side in host guest; do
	n=$(cat $side/n)
	equal "commits of $side" "$n" "$(git log --format=%s | grep -c "^$side [0-9]")"
	equal "files of $side" "$n" "$(git ls-tree -r --name-only HEAD $side | grep -c "file-")"
	equal "lines of $side" "$n" "$(git show HEAD:$side/log | wc -l)"
	[ "$n" -ge 3 ] || fail "$side made no commits to speak of: $n"
done

note "gc from the guest, then the host"
timed "gc, guest" guest 'git gc -q'
timed "gc, host" git gc -q
git fsck --strict --no-dangling
guest 'git fsck --strict --no-dangling'
clean "after gc"
