#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bulk over vsock, ours beside QEMU's microvm with vhost-vsock: same guest kernel, initramfs, guest program and host program,
turn by turn in one boot, the best round of each. Prints one JSON document. Reported, without a bar."""
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
CMDLINE = "panic=-1 quiet reboot=t 8250.nr_uarts=0"
SINK, SOURCE, ECHO = 1, 2, 3
ROUNDS = 3
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


ROWS = [("host to guest, 1 MiB writes, MiB/s", to_guest, 1 << 20, 32 << 20),
        ("host to guest, 4 KiB writes, MiB/s", to_guest, 4096, 4 << 20),
        ("guest to host, 1 MiB writes, MiB/s", from_guest, 1 << 20, 32 << 20),
        ("guest to host, 4 KiB writes, MiB/s", from_guest, 4096, 4 << 20),
        ("round trips of 64 bytes, 1/s", round_trips, 64, 300)]


class Side:
    """A running guest that serves vsock_peer. cpu() is what its host's side has used so far, the guest's own work included."""

    def serve(self, peer):
        with open(peer, "rb") as f:
            data = f.read()
        frames = [host.entry(host.FILE, "vsock_peer", 0o755, len(data))]
        frames += [host.frame(host.DATA, data[at:at + 65536]) for at in range(0, len(data), 65536)] + [host.entry(host.END)]
        assert self.guest.copy_in("/tmp", frames, user="root") == (host.EXIT, (1, 0))
        self.server = self.guest.open(host.EXEC, host.exec_body(["/tmp/vsock_peer", "serve", str(PORT)], user="root", folder="/"))
        while self.server.read()[0] != host.STDOUT:
            pass

    def cpu(self):
        return process_seconds(*self.pids)


def process_seconds(*pids):
    seconds = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def vhost_workers():
    """The kernel's threads that serve vhost devices: QEMU's vsock work is theirs."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as f:
                if f.read().startswith("vhost-"):
                    yield int(pid)
        except OSError:
            pass


class Vhost(Side):
    def __init__(self, options):
        listener = host.vsock_listener()
        self.machine = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "microvm,acpi=off,pic=off,pit=off,rtc=off,isa-serial=off", "-nodefaults", "-no-user-config",
             "-nographic", "-m", "256", "-smp", "1", "-enable-kvm", "-cpu", "host", "-no-reboot", "-kernel", options.kernel, "-initrd",
             options.initramfs, "-append", CMDLINE, "-device", f"vhost-vsock-device,guest-cid={CID}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        listener.settimeout(120)
        self.control = host.Control(listener.accept()[0], host.welcome(root=0, folder="/"))
        listener.close()
        assert self.control.wait({host.READY, host.REFUSED})[0] == host.READY
        self.guest = host.Guest(host.vsock_connector(CID))
        self.connect = host.vsock_connector(CID, PORT)
        self.pids = [self.machine.pid, *vhost_workers()]

    def end(self):
        self.machine.kill()
        self.machine.wait()


class Ours(Side):
    def __init__(self, options):
        self.guest = link_host.Machine(options.build, options.kernel, options.initramfs, options.scratch)
        self.guest.event(link_host.READY)
        self.connect = lambda: self.guest.vsock(PORT)
        self.pids = [self.guest.vmm.pid, self.guest.link.pid]

    def end(self):
        self.guest.stop()


def measure(row, sides):
    name, test, size, total = row
    rounds = {side: [] for side in sides}
    for number in range(ROUNDS + 1):  # the first is the warm-up
        for side, machine in sides.items():
            before = machine.cpu()
            rate = test(machine.connect, size, total)
            if number:
                rounds[side].append((rate, machine.cpu() - before))
    result = {side: {"rate": max(r for r, _ in seen), "cpu": min(c for _, c in seen)} for side, seen in rounds.items()}
    result["ratio"] = {"rate": result["ours"]["rate"] / result["vhost"]["rate"],
                       "cpu": result["ours"]["cpu"] / max(result["vhost"]["cpu"], 0.01)}
    print(name, result, file=sys.stderr, flush=True)
    return result


def main():
    class Options:
        build, kernel, initramfs, peer, scratch = sys.argv[1:6]
    sides = {"vhost": Vhost(Options), "ours": Ours(Options)}
    try:
        for side in sides.values():
            side.serve(Options.peer)
        json.dump({row[0]: measure(row, sides) for row in ROWS}, sys.stdout, indent=1)
        print()
    finally:
        for side in sides.values():
            side.end()


main()
