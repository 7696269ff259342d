#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=600 user=root takes=110
# S2, S7, S8, V10, V11, H9: what a busy or racing guest costs the host, measured on the host's side; and what a share gives back.
# As root, who may look into a VMM; the sandbox's files are an ordinary user's.
set -euo pipefail
. "$TREE/tests/lib/sandbox.bash"

owner=1001
folder=$SCRATCH/storm outside=$SCRATCH/outside
mkdir -p "$folder/sub" "$folder/many" "$outside" "$folder/race/real" "$SCRATCH/local"
echo secret >"$outside/secret"
echo inside >"$folder/race/real/secret"
cp "$TREE/tests/attack/operations.py" "$folder"
for i in $(seq 3000); do : >"$folder/many/$i"; done
chown -R $owner:$owner "$folder" "$outside" "$SCRATCH/local"

# own_kib PID: a VMM's private memory apart from guest RAM, which is its largest mapping.
own_kib() {
	awk '/^[0-9a-f]+-[0-9a-f]+ /{ size = 0 } /^Size:/{ size = $2 } /^Private_Dirty:/{ if (size < 200 * 1024) sum += $2 } END { print sum }' \
		"/proc/$1/smaps"
}
fds() {
	find "/proc/$1/fd" -mindepth 1 | wc -l
}

ulimit -n 4096 # what a host may give at most: few enough for one guest to ask for all of it (S8)
start storm "$folder"
vmm=$(data storm vmm_pid)
in_root() {
	inside_root storm "$1" </dev/null
}

note "V11: no page is merged, and a core is not shared with others"
attempt "V11: memory that may be merged" grep -qE '^VmFlags:.* mg( |$)' "/proc/$vmm/smaps"
cat >cookie.py <<-'END'
	import ctypes, os, sys
	libc = ctypes.CDLL(None, use_errno=True)
	PR_SCHED_CORE, GET, CREATE, THREAD = 62, 0, 1, 0
	def cookie(tid):
	    value = ctypes.c_ulong()
	    if libc.prctl(PR_SCHED_CORE, GET, tid, THREAD, ctypes.byref(value)) != 0:
	        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
	    return value.value
	try:
	    cookie(0)
	except OSError as e:
	    print("absent", e.strerror)
	    sys.exit()
	print("cookies", sorted({cookie(int(t)) for t in os.listdir(f"/proc/{sys.argv[1]}/task")}), "ours", cookie(0))
END
cookies=$(/usr/bin/python3 cookie.py "$vmm")
echo "   $cookies"
case $cookies in
absent*) echo "   no core scheduling here: nothing to share either, or a kernel without it (doctor says which)" ;;
*) [[ $cookies =~ ^cookies\ \[([1-9][0-9]*)\]\ ours\ 0$ ]] || fail "V11: not one cookie on all of the VMM's threads: $cookies" ;;
esac

note "H4: all layers are in force, and status says which"
equal "what is missing" '[[],[]]' "$(data storm 'isolation | [.vmm.missing, .link.missing] | tojson')"
equal "what is in force" '[10,10]' "$(data storm 'isolation | [(.vmm.in_force | length), (.link.in_force | length)] | tojson')"

note "S7: the same program of file operations here and there"
for program in '1 60' '3 250' '4 120'; do
	seed=${program% *}
	mkdir -p "$SCRATCH/local/$seed"
	chown $owner "$SCRATCH/local/$seed"
	# shellcheck disable=SC2086 # two words
	setpriv --reuid $owner --regid $owner --clear-groups timeout 60 /usr/bin/python3 -I "$folder/operations.py" $program "$SCRATCH/local/$seed" >"$OUT/here.$seed"
	timeout -s KILL 200 "$SANDBOXCTL" exec storm -n -- sh -c "mkdir -p sub/$seed && exec /usr/bin/python3 -I operations.py $program sub/$seed" >"$OUT/there.$seed" ||
		fail "S7: seed $seed did not end: $(tail -n 3 "$OUT/there.$seed")"
	cmp "$OUT/here.$seed" "$OUT/there.$seed" || fail "S7: seed $seed: $(diff "$OUT/here.$seed" "$OUT/there.$seed" | head -n 6)"
	equal "S7: the tree that is left" "$(cd "$SCRATCH/local/$seed" && find . -type f -exec cksum {} + | sort)" \
		"$(cd "$folder/sub/$seed" && find . -type f -exec cksum {} + | sort)"
done

note "S2: swaps from both sides while the guest walks"
cat >swap.py <<-'END'
	import os, sys, time
	folder, outside, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
	os.chdir(folder)
	end = time.time() + seconds
	n = 0
	while time.time() < end:
	    # The folder and a link to the outside change places, over and over.
	    try:
	        os.rename("real", "kept")
	        os.symlink(outside, "real")
	        os.unlink("real")
	        os.rename("kept", "real")
	    except FileNotFoundError:
	        pass
	    except OSError:
	        try: os.unlink("real")
	        except OSError: pass
	        try: os.rename("kept", "real")
	        except OSError: pass
	    n += 1
	print("swaps", n)
END
cp swap.py "$folder/swap.py"
# In the guest the link's target is made too, so that a link is worth following there: what it must never show is the host's.
in_root "mkdir -p '$outside' && echo guests >'$outside/secret' && chmod -R 777 '$outside'"
setpriv --reuid $owner --regid $owner --clear-groups /usr/bin/python3 -I swap.py "$folder/race" "$outside" 12 >swaps.host &
here=$!
cat >"$folder/walk.py" <<-'END'
	import os, sys, time
	os.chdir("/workspace/race")
	end = time.time() + float(sys.argv[1])
	rounds = found = 0
	def attempt(call, *words):
	    global found
	    try:
	        result = call(*words)
	        if isinstance(result, int):
	            found += b"secret" in os.read(result, 100)
	            os.close(result)
	    except OSError:
	        pass
	while time.time() < end:
	    attempt(os.open, "real/secret", os.O_RDONLY)
	    attempt(os.open, "real/secret", os.O_RDWR)
	    attempt(os.open, "real/written", os.O_RDWR | os.O_CREAT)
	    attempt(os.mkdir, "real/made")
	    attempt(os.rmdir, "real/made")
	    attempt(os.chmod, "real/secret", 0o777)
	    attempt(os.link, "real/secret", "real/hard")
	    attempt(os.rename, "real/hard", "real/moved")
	    attempt(os.unlink, "real/moved")
	    rounds += 1
	print(rounds, found)
END
in_root "/usr/bin/python3 -I /workspace/swap.py /workspace/race '$outside' 12 >/tmp/swaps & /usr/bin/python3 -I /workspace/walk.py 12; wait" >seen
wait $here
echo "   host: $(cat swaps.host); guest: $(in_root 'cat /tmp/swaps'), rounds and how often the host's file was seen: $(cat seen)"
[ "$(awk '{print $1}' seen)" -ge 5 ] || fail "S2: too few rounds to tell: $(cat seen)"
equal "S2: the outside was not read" 0 "$(awk '{print $2}' seen)"
equal "S2: nor written" $'secret\nsecret' "$(ls "$outside" && cat "$outside/secret")"
equal "S2: nor changed in mode" 644 "$(stat -c %a "$outside/secret")"

note "S8: opens, walks and listings without end"
before=$(own_kib "$vmm") before_fds=$(fds "$vmm")
cat >"$folder/storm.py" <<-'END'
	import os, resource, sys, time
	# Files and folders held open, as many as the guest's kernel gives; then listings that are begun and left, again and again.
	resource.setrlimit(resource.RLIMIT_NOFILE, (1048576, 1048576)) if os.geteuid() == 0 else None
	held, stopped = [], None
	end = time.time() + 25
	for i in range(30000):
	    try:
	        held.append(os.open(f"/workspace/many/{i % 3000 + 1}", os.O_RDONLY))
	        if i % 10 == 0:
	            held.append(os.open("/workspace/many", os.O_RDONLY | os.O_DIRECTORY))
	    except OSError as e:
	        stopped = e.errno
	        break
	    if time.time() > end:
	        break
	print("held", len(held), "stopped by", stopped, flush=True)
	for fd in held[-50:]:  # the share's cap is reached: something is to be left for the listings
	    os.close(fd)
	listings = 0
	end = time.time() + 10
	while time.time() < end:
	    with os.scandir("/workspace/many") as it:
	        next(it, None)
	    listings += 1
	print("listings", listings, flush=True)
	open("/tmp/storm.held", "w").close()
	while not os.path.exists("/tmp/storm.end"):
	    time.sleep(0.2)
END
in_root 'ulimit -n 65536; /usr/bin/python3 -I /workspace/storm.py' >storm.out &
storm=$!
until_true 90 "the storm" in_root 'test -e /tmp/storm.held'
during=$(own_kib "$vmm") during_fds=$(fds "$vmm")
cat storm.out
grep -q 'stopped by \(23\|24\)$' storm.out || fail "S8: the cap on open files was not reached: $(cat storm.out)"
in_root 'touch /tmp/storm.end' || true
wait $storm || true
echo "   VMM's own memory: $before, $during KiB; fds: $before_fds, $during_fds"
[ $((during - before)) -le $((48 * 1024)) ] || fail "S8: the VMM's own memory went from $before to $during KiB"
limit=$(awk '/Max open files/{print $5}' "/proc/$vmm/limits")
[ "$during_fds" -lt "$limit" ] || fail "S8: the VMM's fds are used up: $during_fds of $limit"
equal "the share serves on" inside "$(in_root 'cat /workspace/race/real/secret || cat /workspace/race/kept/secret')"

note "V10: a machine that does nothing but exit, beside this one"
now() {
	date +%s%N
}
# Milliseconds for three execs.
pace() {
	local began
	began=$(now)
	for _ in 1 2 3; do in_root true; done
	echo $((($(now) - began) / 1000000))
}
alone=$(pace)
unshare -Urpf --kill-child "$BUILD/sandbox-vmm" --name exits --memory-mib 128 --kvm-fd 3 --kernel-fd 4 --console-fd 5 --cmdline storm \
	3<>/dev/kvm 4<"$BUILD/tests/attack/exit_storm" 5<>exits.log 2>exits.vmm </dev/null &
exits=$!
sleep 1
beside=$(pace)
kill -0 $exits || fail "the storm had ended: $(cat exits.vmm exits.log)"
kill -KILL $exits # unshare does not listen to less, and takes its child along
wait $exits 2>/dev/null || true
grep -aq storm exits.log || fail "no storm was seen: $(cat exits.vmm)"
echo "   three execs: $alone ms alone, $beside ms beside the storm"
[ "$beside" -le $((alone * 4 + 1000)) ] || fail "V10: another's exits slow this one: $alone, then $beside ms"

note "H9: memory and wall time are caps"
in_root '/usr/bin/python3 -I -c "
b = []
try:
    while True: b.append(bytearray(8 << 20))
except MemoryError: pass"' >/dev/null 2>&1 || true
rss=$(awk '/^VmRSS/{print $2}' "/proc/$vmm/status")
[ "$rss" -le $(((256 + 96) * 1024)) ] || fail "H9: the VMM is larger than its guest may be: $rss KiB"
ctl stop storm --grace 3s
start storm "$folder" --timeout 15s
in_root 'trap "" TERM INT HUP; date -s "2001-01-01" >/dev/null; (while :; do date -s "2001-01-01" >/dev/null; sleep 0.3; done) >/dev/null 2>&1 &' || true
until_true 45 "H9, H3: the time is judged on the host" sh -c "! '$SANDBOXCTL' status storm --json | jq -r .data.state | grep -q running"
contains "H9: and said" "$(data storm reason)" time
echo "storms: held"
