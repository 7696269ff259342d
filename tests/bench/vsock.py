#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bulk over vsock, ours beside QEMU's microvm with vhost-vsock: same guest kernel, initramfs, guest program and host program,
one after the other in one boot. Prints one JSON document. Reported, without a bar."""
import json
import os
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import agent_host as host  # noqa: E402
import link_host  # noqa: E402

CID, PORT = 42, 7000
SINK, SOURCE, ECHO = 1, 2, 3
ROUNDS = 2
BUFFER = bytes(1 << 20)


def command(mode, size=0, total=0):
    return struct.pack("<IIQ", mode, size, total)


def to_guest(connect, size, total):
    sock = connect()
    sock.sendall(command(SINK))
    part = BUFFER[:size]
    began = time.time()
    for _ in range(total // size):
        sock.sendall(part)
    sock.shutdown(socket.SHUT_WR)
    count, _ = struct.unpack("<QQ", host.Stream(sock).exactly(16))
    seconds = time.time() - began
    sock.close()
    assert count == total // size * size, count
    return total / seconds / (1 << 20)


def from_guest(connect, size, total):
    sock = connect()
    began = time.time()
    sock.sendall(command(SOURCE, size, total))
    got = 0
    while part := sock.recv(1 << 20):
        got += len(part)
    seconds = time.time() - began
    sock.close()
    assert got == total, got
    return total / seconds / (1 << 20)


def round_trips(connect, size, total):
    sock = connect()
    sock.sendall(command(ECHO))
    stream = host.Stream(sock)
    began = time.time()
    for _ in range(total):
        sock.sendall(b"x" * size)
        stream.exactly(size)
    seconds = time.time() - began
    sock.close()
    return total / seconds


ROWS = [("host to guest, 1 MiB writes, MiB/s", to_guest, 1 << 20, 64 << 20),
        ("host to guest, 4 KiB writes, MiB/s", to_guest, 4096, 16 << 20),
        ("guest to host, 1 MiB writes, MiB/s", from_guest, 1 << 20, 64 << 20),
        ("guest to host, 4 KiB writes, MiB/s", from_guest, 4096, 8 << 20),
        ("round trips of 64 bytes, 1/s", round_trips, 64, 300)]


def measure(guest, connect, peer, cpu):
    data = open(peer, "rb").read()
    frames = [host.entry(host.FILE, "vsock_peer", 0o755, len(data))]
    frames += [host.frame(host.DATA, data[at:at + 65536]) for at in range(0, len(data), 65536)]
    assert guest.copy_in("/tmp", frames + [host.entry(host.END)], user="root") == (host.EXIT, (1, 0))
    server = guest.open(host.EXEC, host.exec_body(["/tmp/vsock_peer", "serve", str(PORT)], user="root", folder="/"))
    while server.read()[0] != host.STDOUT:
        pass
    results = []
    for _, test, size, total in ROWS:
        test(connect, size, total // 4)
        before = cpu()
        results.append((max(test(connect, size, total) for _ in range(ROUNDS)), (cpu() - before) / ROUNDS))
    server.close()
    return results


def process_seconds(*pids):
    seconds = 0
    for pid in pids:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def vhost_workers():
    """The kernel's threads that serve vhost devices: QEMU's vsock work is theirs."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if open(f"/proc/{pid}/comm").read().startswith("vhost-"):
                yield int(pid)
        except OSError:
            pass


def theirs(kernel, initramfs, peer, scratch):
    listener = host.vsock_listener()
    machine = subprocess.Popen(
        ["qemu-system-x86_64", "-M", "microvm,rtc=off,pic=off,pit=off", "-nodefaults", "-no-user-config", "-nographic", "-m", "256",
         "-smp", "1", "-enable-kvm", "-cpu", "host", "-serial", f"file:{scratch}/qemu-console", "-no-reboot", "-kernel", kernel,
         "-initrd", initramfs, "-append", "console=ttyS0 panic=-1 quiet", "-device", f"vhost-vsock-device,guest-cid={CID}"],
        stdin=subprocess.DEVNULL)
    try:
        listener.settimeout(120)
        control = host.Control(listener.accept()[0], host.welcome(root=0, folder="/"))
        assert control.wait({host.READY, host.REFUSED})[0] == host.READY
        guest = host.Guest(host.vsock_connector(CID))
        pids = [machine.pid, *vhost_workers()]
        return measure(guest, host.vsock_connector(CID, PORT), peer, lambda: process_seconds(*pids))
    finally:
        machine.kill()
        machine.wait()


def ours(build, kernel, initramfs, peer, scratch):
    machine = link_host.Machine(build, kernel, initramfs, scratch)
    try:
        machine.event(link_host.READY)
        return measure(machine, lambda: machine.vsock(PORT), peer,
                       lambda: process_seconds(machine.vmm.pid, machine.link.pid))
    finally:
        machine.stop()


def main():
    build, kernel, initramfs, peer, scratch = sys.argv[1:6]
    rows = {"vhost": theirs(kernel, initramfs, peer, scratch), "ours": ours(build, kernel, initramfs, peer, scratch)}
    result = {}
    for i, (name, *_) in enumerate(ROWS):
        result[name] = {side: {"rate": row[i][0], "cpu": row[i][1]} for side, row in rows.items()}
        result[name]["ratio"] = rows["ours"][i][0] / rows["vhost"][i][0]
    json.dump(result, sys.stdout, indent=1)
    print()


main()
