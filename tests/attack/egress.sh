#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: user=root limit=300 takes=50
# E8, E16, E17, H3, H8 on the way out of two running sandboxes: where the authorities' keys are, what the processes hold, what a guest gets
# that speaks to the host itself. No network is needed: what is denied is denied before one is.
. "$TREE/tests/lib/sandbox.bash"

as_user
for name in one two; do
	start "$name" "$(project $name)"
done
# pid_of PROCESS NAME
pid_of() {
	pgrep -f "$1 --name $2 "
}

note "H8: the walls of proxy and injector; the injector alone has the host's network"
proxy=$(pid_of sandbox-proxy one) injector=$(pid_of sandbox-injector one)
walls "$proxy"
walls "$injector" net
for pid in $proxy $injector; do
	equal "its root is empty" "" "$(find "/proc/$pid/root/" -mindepth 1 -maxdepth 1 ! -name fd)"
	for fd in /proc/"$pid"/fd/*; do
		at=$(readlink "$fd")
		case $at in
		socket:* | pipe:* | anon_inode:* | /memfd:* | /dev/null | */one/limits | */one/lock) ;;
		*) fail "H8: $(cat "/proc/$pid/comm") holds $at" ;;
		esac
	done
done
equal "no socket of a network is the proxy's" "" "$(nsenter -n -t "$proxy" ss -Hntua)"

note "E16: an authority's key is with supervisor and proxy, and nowhere else"
keys=$SCRATCH/keys
mkdir -m 700 "$keys"
supervisor=$(data one supervisor_pid)
for fd in /proc/"$supervisor"/fd/*; do
	case $(readlink "$fd") in
	/memfd:ca*) cat "$fd" >"$keys/one.pem" ;;
	esac
done
grep -q 'BEGIN PRIVATE KEY' "$keys/one.pem" || fail "no key was found to look for"
# The key as it is written, and its number in both orders of bytes.
sed -n '/BEGIN PRIVATE/{n;p;}' "$keys/one.pem" | tr -d '\n' >"$keys/written"
openssl pkey -in "$keys/one.pem" -noout -text | sed -n '/^priv/,/^pub/{/^ /p;}' | python3 -c "
import sys
number = bytes.fromhex(sys.stdin.read().replace(':', ''))[-32:]
open(sys.argv[1] + '/number', 'wb').write(number)
open(sys.argv[1] + '/reversed', 'wb').write(number[::-1])" "$keys"
equal "the number's size" 32 "$(stat -c %s "$keys/number")"
# holds PID: which of these are in its memory; a VMM's has the guest's in it.
holds() {
	"$TREE/tests/lib/memory_has.py" "$1" "$keys"/{written,number,reversed}
}
contains "the proxy has it, so it can be found" "$(holds "$proxy")" reversed
for pid in "$(data one vmm_pid)" "$(data one link_pid)" "$injector" "$(pid_of sandbox-proxy two)" "$(data two supervisor_pid)"; do
	equal "E16: the key in $(cat "/proc/$pid/comm")" "" "$(holds "$pid")"
done
equal "E16: the key in a file" "" "$(grep -rlF -f "$keys/written" "$XDG_STATE_HOME" "$XDG_RUNTIME_DIR" "$HOME" || :)"

note "E16: an authority is of no use for another sandbox, and its leaves are short-lived"
authority=/run/sandbox/ca.pem
for name in one two; do
	inside $name "cat $authority" >"$SCRATCH/$name/$name.pem"
done
cp "$SCRATCH/two/two.pem" "$SCRATCH/one/two.pem"
openssl x509 -in "$SCRATCH/one/one.pem" -noout -subject >/dev/null || fail "no certificate in $authority"
believing='mkdir -p /tmp/none && curl -sS --capath /tmp/none https://nobody.test/ --cacert'
contains "one believes its own" "$(inside one "$believing one.pem")" '"error":"denied"'
attempt "E16: one believes the other's" inside one "$believing two.pem"
leaf=$(inside one 'openssl s_client -connect nobody.test:443 -servername nobody.test </dev/null 2>/dev/null')
contains "a leaf" "$leaf" "BEGIN CERTIFICATE"
attempt "a leaf that is good for three days" openssl x509 -noout -checkend $((3 * 86400)) <<<"$leaf"
attempt "E16: one's leaf by two's authority" openssl verify -CAfile "$SCRATCH/two/two.pem" <(openssl x509 <<<"$leaf")

note "E8, E17: who speaks to the host's ports itself gains nothing"
cat >"$SCRATCH/one/ask.py" <<-'EOP'
	import socket, struct, sys
	# kind, port, host; what the host's answer to it may be: denied, unreachable, or the end of the stream
	for kind, port, host in ((1, 22, "127.0.0.1"), (1, 443, "nobody.test"), (1, 22, "nobody.test"), (1, 80, "169.254.169.254"), (9, 1, "x"), (1, 0, ""), (1, 25, "::1")):
	    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
	    s.settimeout(30)
	    s.connect((2, 1025))
	    name = host.encode()
	    s.sendall(struct.pack("<BBHH", 1, kind, port, len(name)) + name)
	    try:
	        answer = s.recv(4)
	    except ConnectionError:
	        answer = b""
	    # Where HTTP might still be spoken the stream is taken, to be answered in its terms.
	    accepted = len(answer) == 4 and answer[1] == 1
	    if accepted and port in (80, 443):
	        s.sendall(b"GET / HTTP/1.1\r\nHost: " + name + b"\r\n\r\n")
	        said = b""
	        try:
	            while b"\r\n\r\n" not in said and (piece := s.recv(4096)):
	                said += piece
	        except ConnectionError:
	            pass
	        accepted = said and b"proxy-status: sandboxctl" not in said
	        answer = said[:12]
	    print(kind, port, host, "LET THROUGH" if accepted else "refused", answer)
	for port in list(range(1, 64)) + [1023, 1026, 1027, 1028, 2049, 5000]:
	    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
	    s.settimeout(30)
	    try:
	        s.connect((2, port))
	        print("port", port, "LET THROUGH")
	    except OSError:
	        pass
	print("asked")
EOP
for user in sandbox root; do
	seen=$(ctl exec one --user $user -- python3 /workspace/ask.py)
	contains "it was asked" "$seen" asked
	attempt "E8: as $user: $seen" grep -q 'LET THROUGH' <<<"$seen"
done
note "H3: who speaks to the agent's port is not the agent, and what the host saw is in the log whatever a root of the guest does"
cat >"$SCRATCH/one/forge.py" <<-'EOP'
	import socket, struct
	def frame(kind, payload):
	    return struct.pack("<BBHI", kind, 0, 0, len(payload)) + payload
	build = b"forged\0"
	said = frame(64, struct.pack("<HI", 2, 65536) + struct.pack("<H", len(build)) + build)  # HELLO
	said += frame(65, struct.pack("<QI", 1, 0))  # READY
	said += frame(67, struct.pack("<QQQQQIIII", 1, 424242, 424242, 424242, 424242, 1, 1, 1, 0))  # HEALTH
	said += frame(68, struct.pack("<I5Q", 2, 424242, 16, 0, 424242, 0))  # AUDIT: an operation started
	for _ in range(20):
	    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
	    s.settimeout(20)
	    try:
	        s.connect((2, 1024))
	        s.sendall(said)
	        if s.recv(1):
	            print("it was ANSWERED")
	    except ConnectionError:
	        pass
	    except TimeoutError:
	        print("it was KEPT")
	print("forged")
EOP
seen=$(ctl exec one --user root -- python3 /workspace/forge.py)
equal "H3: a second agent" forged "$seen"
# The guest's own record of a denial is the guest's to destroy; the host's is not.
inside one 'curl -sS https://hidden.test/ >/dev/null'
inside_root one 'rm -f /run/sandbox/denials'
until_true 30 "H3: the denial is in the host's log" eval 'ctl events one | grep -q "denied .*hidden.test"'
seen=$(ctl events one --json)
attempt "H3: a forged word in the log: $(grep 424242 <<<"$seen" | head -n1)" grep -q 424242 <<<"$seen"
attempt "H3: a guest's word that passes for the host's" jq -se 'map(.data | select(.source == "host" and (.rule == "root-exec" or .rule == "operation-started"))) | length > 0' <<<"$seen"
attempt "H3: a forged word in status" grep -q 424242 <<<"$(ctl status one --json)"
equal "the agent is the same" healthy "$(data one health)"

note "E8: a root of the guest who takes the capture away has less, not more"
# shellcheck disable=SC2016 # the guest's shell
equal "a device that is no figment of the guest's kernel" "" "$(inside one 'readlink -f /sys/class/net/* | grep -v /devices/virtual/ || :')"
contains "before" "$(inside_root one 'curl -sS --noproxy "*" --max-time 30 https://nobody.test/')" '"error":"denied"'
inside_root one 'ip link set sandbox0 down'
attempt "E8: without a link" inside_root one 'curl -sS --noproxy "*" --max-time 30 https://nobody.test/'
attempt "E8: to an address" inside_root one 'curl -sS --noproxy "*" --max-time 30 https://93.184.216.34/'
contains "through the proxy's port, as policy has it" "$(inside one 'curl -sS https://nobody.test/')" '"error":"denied"'
equal "both live" "running running" "$(data one state) $(data two state)"
