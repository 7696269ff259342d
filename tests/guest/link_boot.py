#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sandbox-vmm's vsock and sandbox-link against a real guest kernel and the real agent. Used by link.sh."""
import hashlib
import os
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import agent_host as host  # noqa: E402
import link_host  # noqa: E402

SINK, SOURCE, ECHO, BOTH = 1, 2, 3, 4
PART = 4 if os.environ.get("TESTBED") == "1" else 1  # of all sizes, where guests are emulated
failures = []


def check(name, good, seen=None):
    print(("ok   " if good else "FAIL ") + name + ("" if good else f": {seen!r}"), flush=True)
    if not good:
        failures.append(name)


def pattern(start, size):
    """Repeats every 2^24 bytes."""
    global table
    if not table:
        rows = [bytes(low ^ row for low in range(256)) for row in range(256)]
        table = b"".join(rows[middle ^ high] for high in range(256) for middle in range(256)) * 2
    at = start % (1 << 24)
    return table[at:at + size]


table = None


def write_pattern(sock, size, total):
    sent = 0
    while sent < total:
        part = min(size, total - sent)
        sock.sendall(pattern(sent, part))
        sent += part


def read_pattern(sock, total=None):
    """Bytes that came and were right, to the end or to total."""
    got = 0
    while total is None or got < total:
        data = sock.recv(min(1 << 20, total - got) if total else 1 << 20)
        if not data:
            break
        if data != pattern(got, len(data)):
            return -1
        got += len(data)
    return got


def command(mode, size=0, total=0):
    return struct.pack("<IIQ", mode, size, total)


def to_guest(connect, size, total):
    sock = connect()
    sock.sendall(command(SINK))
    began = time.time()
    write_pattern(sock, size, total)
    sock.shutdown(socket.SHUT_WR)
    count, wrong = struct.unpack("<QQ", host.Stream(sock).exactly(16))
    seconds = time.time() - began
    assert sock.recv(1) == b""
    sock.close()
    return (count, wrong) == (total, 0), seconds


def from_guest(connect, size, total):
    sock = connect()
    sock.sendall(command(SOURCE, size, total))
    began = time.time()
    got = read_pattern(sock)
    sock.close()
    return got == total, time.time() - began


def both_ways(connect, size, total):
    sock = connect()
    sock.sendall(command(BOTH, size, total))
    feeder = threading.Thread(target=lambda: (write_pattern(sock, size, total), sock.shutdown(socket.SHUT_WR)))
    began = time.time()
    feeder.start()
    got = read_pattern(sock, total)
    answer = struct.unpack("<QQ", host.Stream(sock).exactly(16))
    feeder.join()
    sock.close()
    return got == total and answer == (total, 0), time.time() - began


def install_peer(machine, peer):
    data = open(peer, "rb").read()
    frames = [host.entry(host.FILE, "vsock_peer", 0o755, len(data))]
    frames += [host.frame(host.DATA, data[at:at + 65536]) for at in range(0, len(data), 65536)]
    answer = machine.copy_in("/tmp", frames + [host.entry(host.END)], user="root")
    check("copy in", answer == (host.EXIT, (1, 0)), answer)
    stream = machine.open(host.EXEC, host.exec_body(["/tmp/vsock_peer", "serve", "7000"], user="root", folder="/"))
    kind, _ = stream.read()
    check("exec", kind == host.STARTED and stream.read() == (host.STDOUT, b"up\n"))
    return stream


def test_streams(machine):
    def connect():
        return machine.vsock(7000)

    for name, test in (("to the guest", to_guest), ("from the guest", from_guest), ("both ways", both_ways)):
        for size, total in ((1, 20000), (100, 500000), (4096, 8 << 20), (1 << 20, 32 << 20)):
            total //= PART
            good, seconds = test(connect, size, total)
            check(f"{name}, writes of {size}", good)
            print(f"     {total / seconds / (1 << 20):.1f} MiB/s", flush=True)
    try:
        machine.vsock(7001)
        check("a port where nobody listens", False)
    except ConnectionRefusedError:
        check("a port where nobody listens", True)


def test_many(machine):
    results = {}

    def one(i):
        sock = machine.vsock(7000)
        sock.sendall(command(ECHO))
        data = b"%d" % i * 1000
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        got = b""
        while part := sock.recv(65536):
            got += part
        results[i] = got == data
    threads = [threading.Thread(target=one, args=(i,)) for i in range(60)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("60 streams at once", len(results) == 60 and all(results.values()), results)


def test_slow_reader(machine):
    """The guest's bytes wait in its program, not in our memory; and its end does not lose them."""
    sock = machine.vsock(7000)
    sock.sendall(command(SOURCE, 65536, 2 << 20))
    time.sleep(2)
    check("a reader that waits loses nothing", read_pattern(sock) == 2 << 20)
    sock = machine.vsock(7000)
    sock.sendall(command(SOURCE, 65536, 200000))
    time.sleep(12)  # beyond the guest's patience for our side of a close
    check("nor after the guest has closed", read_pattern(sock) == 200000)


def test_guest_opens(machine):
    def serve(listener):
        while True:
            sock, _ = listener.accept()
            mode, size, total = struct.unpack("<IIQ", host.Stream(sock).exactly(16))
            if mode == SINK:
                got = read_pattern(sock)
                sock.sendall(struct.pack("<QQ", max(got, 0), int(got < 0)))
            else:
                write_pattern(sock, size, total)
            sock.close()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(machine.folder + "/vsock.sock_3128")
    listener.listen(8)
    threading.Thread(target=serve, args=(listener,), daemon=True).start()

    def run(port, mode, size, total):
        return machine.execute(["/tmp/vsock_peer", "open", str(port), str(mode), str(size), str(total)], user="root", folder="/")
    size = 16 // PART
    for mode in (SINK, SOURCE):
        began = time.time()
        result = run(3128, mode, 65536, size << 20)
        check(f"the guest opens ({mode})", bytes(result.out) == b"%d 0\n" % (size << 20), (result.out, result.err))
        print(f"     {size / (time.time() - began):.1f} MiB/s", flush=True)
    result = run(3129, SINK, 1, 1)
    check("a port that is not allowed", b"reset" in result.err or b"refused" in result.err, result.err)
    result = run(1024, SINK, 1, 1)
    check("the agent's own port is taken", b"reset" in result.err or b"refused" in result.err, result.err)


def test_exec_bulk(machine):
    """STDIN and STDOUT through agent, VMM and link: the peer's `sink` and `source` have no part here."""
    size, part = 16 // PART, os.urandom(1 << 20)
    out = machine.execute(["/none"], user="root", folder="/")
    check("exec of nothing", out.exit == (3, 127), out.__dict__)
    frames = [host.entry(host.FILE, "big", 0o644, size << 20)]
    frames += [host.frame(host.DATA, part[at:at + 65536]) for _ in range(size) for at in range(0, 1 << 20, 65536)]
    began = time.time()
    answer = machine.copy_in("/tmp", frames + [host.entry(host.END)], user="root")
    check(f"{size} MiB in", answer == (host.EXIT, (1, 0)), answer)
    print(f"     {size / (time.time() - began):.1f} MiB/s", flush=True)
    began = time.time()
    entries, kind, _ = machine.copy_out("/tmp/big", user="root")
    check(f"{size} MiB out", kind == host.EXIT and hashlib.sha256(entries[0][3]).digest()
          == hashlib.sha256(part * size).digest())
    print(f"     {size / (time.time() - began):.1f} MiB/s", flush=True)


def test_memory(machine):
    """V9: what a VMM holds after all this is bounded."""
    dirty = sum(int(line.split()[1]) for line in open(f"/proc/{machine.link.pid}/smaps") if line.startswith("Private_Dirty"))
    check("sandbox-link stays small", dirty < 8192, dirty)
    print(f"     sandbox-link: {dirty} KiB private dirty; vmm {machine.cpu_seconds(machine.vmm):.1f} s, "
          f"link {machine.cpu_seconds(machine.link):.1f} s of CPU", flush=True)


def test_idle(machine):
    time.sleep(1)
    before = machine.cpu_seconds(machine.link)
    time.sleep(5)
    check("an idle link uses no CPU", machine.cpu_seconds(machine.link) - before < 0.1)


def main():
    build, kernel, initramfs, peer, scratch = sys.argv[1:6]
    began = time.monotonic()
    machine = link_host.Machine(build, kernel, initramfs, scratch, allow=[3128])
    try:
        print("protocol version", machine.event(link_host.HELLO)[0])
        ready = machine.event(link_host.READY)
        print(f"ready after {ready[0] / 1e9:.2f} s, degraded {ready[1]:#x}", flush=True)
        server = install_peer(machine, peer)
        for test in (test_streams, test_many, test_guest_opens, test_exec_bulk, test_slow_reader, test_memory, test_idle):
            print(f"-- {time.monotonic() - began:.0f} s: {test.__name__}", flush=True)
            try:
                test(machine)
            except Exception as e:  # noqa: B902
                check(test.__name__, False, repr(e))
        server.close()
    finally:
        machine.stop()
    if failures:
        machine.console.seek(0)
        print(machine.console.read()[-2000:])
    print(f"{len(failures)} failed")
    sys.exit(bool(failures))


main()
