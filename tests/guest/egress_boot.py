#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots the agent in QEMU with a stub of the host's proxy and goes out in every way. Used by egress.sh: KERNEL INITRAMFS
FOLDER offered|absent. The stub says on each stream what it was asked for, and denies one name."""
import os
import select
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
import agent_boot as boot  # noqa: E402
from agent_boot import CID, check, host, run  # noqa: E402

EGRESS_PORT = 1025
CA = b"-----BEGIN CERTIFICATE-----\nnone of a real one\n-----END CERTIFICATE-----\n"
BULK = 4 << 20


def denial(rule, reason, command):
    body = struct.pack("<Q", 0) + b"".join(struct.pack("<H", len(t)) + t for t in (rule, reason, command))
    return struct.pack("<BBH", 1, 2, len(body)) + body


def until(sock, end):
    data = b""
    while end not in data:
        part = sock.recv(65536)
        if not part:
            break
        data += part
    return data


def serve(sock, seen):
    """One stream: the request, the answer, then HTTP enough for curl, or what was sent sent back."""
    stream = host.Stream(sock)
    version, kind, port, size = struct.unpack("<BBHH", stream.exactly(6))
    name = stream.exactly(size).decode()
    if kind == 3:  # the agent would listen for denials: not here, so what answers say is noted
        return sock.close()
    seen.append((version, kind, name, port))
    if name == "denied.test":
        sock.sendall(denial(b"rule-7", b"denied.test is not allowed", b"sandboxctl policy allow denied.test"))
        return sock.close()
    sock.sendall(struct.pack("<BBH", 1, 1, 0))
    if port == 7:
        while (part := sock.recv(65536)):
            sock.sendall(part)
    else:
        line = until(sock, b"\r\n\r\n").split(b"\r\n")[0].decode()
        text = f"{kind} {name} {port} {line}\n".encode()
        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        pass
    sock.close()


def stub(seen):
    listener = host.vsock_listener(EGRESS_PORT)

    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0], seen), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


PROBE = """
import errno, os, socket, sys, time
def refused(name, family, kind, proto, to):
    began = time.monotonic()
    s = socket.socket(family, kind, proto)
    s.settimeout(5)
    try:
        s.connect(to)
        s.send(b'\\x08\\0\\xf7\\xff\\0\\0\\0\\0')
        s.recv(100)
        word = 'answered'
    except OSError as e:
        word = errno.errorcode.get(e.errno, 'timeout')
    print(name, word, 'now' if time.monotonic() - began < 1 else 'late')
refused('udp', socket.AF_INET, socket.SOCK_DGRAM, 0, ('192.0.2.7', 53))
refused('udp6', socket.AF_INET6, socket.SOCK_DGRAM, 0, ('2001:db8::7', 53))
if os.getuid() == 0:
    refused('icmp', socket.AF_INET, socket.SOCK_RAW, 1, ('192.0.2.7', 0))
    refused('sctp', socket.AF_INET, socket.SOCK_RAW, 132, ('192.0.2.7', 0))
"""
ECHO = f"""
import hashlib, os, socket, threading
data = os.urandom({BULK})
s = socket.create_connection(('echo.test', 7))
def send():
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
got = b''
while (part := s.recv(65536)):
    got += part
print(got == data)
"""


def curl(guest, words, **options):
    out, result = run(guest, f"curl -sS -m 20 {words} 2>&1; echo \" exit $?\"", **options)
    return out


def test_captured(guest, seen):
    direct = "--noproxy '*'"
    check("a name has a synthetic address", run(guest, "getent ahostsv4 plain.test")[0].startswith("198.18."))
    check("captured by name", curl(guest, f"{direct} http://plain.test/x") == "1 plain.test 80 GET /x HTTP/1.1\n exit 0",
          curl(guest, f"{direct} http://plain.test/x"))
    check("an address is told as one", "1 192.0.2.7 8080 GET" in curl(guest, f"{direct} http://192.0.2.7:8080/"))
    check("IPv6 by name", "1 six.test 80 GET" in curl(guest, f"{direct} -6 http://six.test/"),
          curl(guest, f"{direct} -6 http://six.test/"))
    check("IPv6 address", "1 2001:db8::7 80 GET" in curl(guest, f"{direct} http://[2001:db8::7]/"))
    check("root is captured", "1 root.test 80 GET" in run(guest, f"sudo -n curl -sS -m 20 {direct} http://root.test/")[0])
    check("the proxy's port", "2  0 GET http://via.test/ HTTP/1.1" in curl(guest, "http://via.test/"),
          curl(guest, "http://via.test/"))
    check("bulk both ways", run(guest, f"/usr/bin/python3 -c \"$P\"", env=["P=" + ECHO])[0] == "True")
    check("no stream but these", all(v == 1 and k in (1, 2) for v, k, _, _ in seen))


def test_refused(guest):
    began = time.monotonic()
    out = curl(guest, "--noproxy '*' http://denied.test/")
    # the reset may be there before curl has looked at its new connection (55) or when it waits for the answer (56)
    check("a denial is at once", ("exit 55" in out or "exit 56" in out) and time.monotonic() - began < 5, out)
    out = run(guest, "cat /run/sandbox/denials")[0]
    check("and told", '"host":"denied.test","port":80,"rule":"rule-7"' in out and "policy allow denied.test" in out, out)
    for user, count in (("", 2), ("root", 4)):
        result = guest.execute(["/usr/bin/python3", "-c", PROBE], user=user)
        out = result.out.decode()
        check(f"UDP and ICMP are refused at once {user}", out.count(" now") == count and "answered" not in out, (out, result.err))
    print("     " + out.replace("\n", "; "))
    check("a name that is none", "exit 6" in curl(guest, "--noproxy '*' http://x.invalid/"))


def test_set_up(guest):
    out = run(guest, "cat /etc/resolv.conf; env")[0]
    check("resolver", "nameserver 127.0.0.1" in out)
    check("variables", "https_proxy=http://127.0.0.1:3128" in out and "NODE_EXTRA_CA_CERTS=/run/sandbox/ca.pem" in out
          and "SSL_CERT_FILE=/run/sandbox/ca-bundle.pem" in out, out)
    out = run(guest, "for f in /run/sandbox/ca-bundle.pem /etc/ssl/certs/ca-certificates.crt; do"
                     " grep -c 'none of a real one' $f; grep -c BEGIN $f; done")[0].split()
    check("the CA stands beside the roots", out[0] == out[2] == "1" and out[1] == out[3], out)
    out = run(guest, "ps -eo uid,comm | grep agent-egress")[0].split()
    check("a user of its own", out[:1] == ["64999"], out)


def test_restart(guest):
    run(guest, "sudo -n pkill -x agent-egress")
    # What comes before the new one is there waits for it.
    check("served again", "1 again.test 80 GET" in curl(guest, "--noproxy '*' http://again.test/ --retry 3 --retry-all-errors"),
          curl(guest, "--noproxy '*' http://again.test/"))


def test_absent(guest, seen):
    out = run(guest, "cat /etc/resolv.conf; env | grep -i proxy; ls /sys/class/net; ls /run/sandbox; ps -eo comm")[0]
    check("nothing is set up", not any(w in out for w in ("nameserver", "proxy", "sandbox0", "denials", "agent-egress")), out)
    check("nothing goes out", "exit 7" in curl(guest, "http://192.0.2.7/"), curl(guest, "http://192.0.2.7/"))
    check("the host hears nothing", not seen)


def main(kernel, initramfs, scratch, offer):
    seen = []
    offered = offer == "offered"
    listener = host.vsock_listener()
    stub(seen)
    machine = boot.qemu(kernel, initramfs, scratch)
    try:
        if not select.select([listener], [], [], 120)[0]:
            raise TimeoutError("the agent did not call")
        mounts = [host.mount("usr", role=2, readonly=True, cache=2), host.mount("etc", role=3, readonly=True),
                  host.mount("workspace", "/workspace")]
        control = host.Control(listener.accept()[0], host.welcome(
            mounts, time_ns=time.time_ns(), seed=os.urandom(32), egress=offered,
            files=[host.file("/run/sandbox/ca.pem", CA, 0o444)] if offered else []))
        kind, body = control.wait([host.READY, host.REFUSED])
        elapsed, degraded = struct.unpack("<QI", body) if kind == host.READY else (0, 0)
        check("ready, nothing degraded", kind == host.READY and not degraded, (kind, body))
        print(f"     {elapsed / 1e6:.0f} ms")
        guest = host.Guest(host.vsock_connector(CID))
        if degraded:
            print(run(guest, "sudo -n dmesg | tail -n 20")[0])
        if offered:
            test_set_up(guest)
            test_captured(guest, seen)
            test_refused(guest)
            test_restart(guest)
        else:
            test_absent(guest, seen)
        boot.test_end(control, machine)
    finally:
        machine.kill()
        machine.wait()
        if boot.failures:
            sys.stdout.write(open(scratch + "/console", errors="replace").read()[-4000:])
    print(f"{len(boot.failures)} failed")
    return 1 if boot.failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
