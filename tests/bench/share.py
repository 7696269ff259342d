#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""share.py BUILD KERNEL INITRAMFS SCRATCH [FILES MIB ROUNDS]: our 9p server beside QEMU's (security_model=mapped-xattr), the same
guest kernel, mount options and program, turn by turn in one boot, on ext4. Prints one JSON document with ratios: above 1, ours
is faster. CPU is that of the whole VMM process, guest included."""
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import agent_host as host  # noqa: E402

CID = 78
CONNECT, ACCEPTED, OPEN, OPENED = 1, 2, 4, 5
CMDLINE = "quiet panic=-1 reboot=t 8250.nr_uarts=0"
MEMORY_MIB = 512
SANDBOX = 1000


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(p) for p in f.read().split()]


def welcome():
    return host.welcome(root=0, folder="/", mounts=[host.mount("bench", "/bench", msize=512000)])


class Qemu:
    def __init__(self, options, folder):
        listener = host.vsock_listener()
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "microvm,acpi=off,pic=off,pit=off,rtc=off,isa-serial=off", "-enable-kvm", "-cpu", "host",
             "-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-m", str(MEMORY_MIB), "-smp", "1", "-kernel",
             options.kernel, "-initrd", options.initramfs, "-append", CMDLINE, "-device",
             f"vhost-vsock-device,guest-cid={CID}", "-fsdev", f"local,id=bench,path={folder},security_model=mapped-xattr",
             "-device", "virtio-9p-device,fsdev=bench,mount_tag=bench"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.pid = self.process.pid
        listener.settimeout(300)
        self.control = host.Control(listener.accept()[0], welcome())
        listener.close()
        self.control.wait([host.READY], 300)
        self.guest = host.Guest(host.vsock_connector(CID))

    def end(self):
        self.process.kill()
        self.process.wait()


class Ours:
    def __init__(self, options, folder):
        self.broker, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.number = 1
        st = os.stat(folder)
        files = [os.open("/dev/kvm", os.O_RDWR), os.open(options.kernel, os.O_RDONLY), os.open(options.initramfs, os.O_RDONLY),
                 os.open("/tmp/console", os.O_RDWR | os.O_CREAT | os.O_TRUNC)]
        self.process = subprocess.Popen(
            [options.build + "/tests/bench/jail_run", "--", options.build + "/sandbox-vmm", "--name", "bench", "--cpus", "1",
             "--memory-mib", str(MEMORY_MIB), "--kvm-fd", str(files[0]), "--kernel-fd", str(files[1]), "--initramfs-fd",
             str(files[2]), "--console-fd", str(files[3]), "--vsock-fd", str(theirs.fileno()), "--cmdline-devices", "--cmdline",
             CMDLINE, "--owner", f"{os.getuid()}:{os.getgid()}", "--share",
             f"bench,rw,mapped,{st.st_dev}:{st.st_ino},{folder}"], env={}, stdin=subprocess.DEVNULL,
            pass_fds=files + [theirs.fileno()])
        theirs.close()
        for f in files:
            os.close(f)
        self.broker.settimeout(300)
        kind, _, _, number, port = struct.unpack("<BBHII", self.broker.recv(16)[:12])
        assert (kind, port) == (CONNECT, host.PORT)
        mine, guests = socket.socketpair()
        socket.send_fds(self.broker, [struct.pack("<BBHIII", ACCEPTED, 0, 0, number, port, 0)], [guests.fileno()])
        guests.close()
        self.control = host.Control(mine, welcome())
        self.control.wait([host.READY], 300)
        self.pid = children(self.process.pid)[0]
        self.guest = host.Guest(self.connect)

    def connect(self):
        mine, guests = socket.socketpair()
        self.number += 1
        socket.send_fds(self.broker, [struct.pack("<BBHIII", OPEN, 0, 0, self.number, host.PORT, 0)], [guests.fileno()])
        guests.close()
        kind = self.broker.recv(16)[0]
        assert kind == OPENED, kind
        return mine

    def end(self):
        self.process.kill()
        self.process.wait()


def measure(machine, program, files, mib):
    part = [host.entry(host.FILE, "share_work", 0o755, len(program), 0)]
    part += [host.frame(host.DATA, program[at:at + 65536]) for at in range(0, len(program), 65536)] + [host.entry(host.END)]
    kind, code = machine.guest.copy_in("/", part, user="root")
    assert kind == host.EXIT, (kind, code)
    cpu = cpu_seconds(machine.pid)
    began = time.monotonic()
    result = machine.guest.execute(["/share_work", "/bench", str(files), str(mib)], user="root")
    wall = time.monotonic() - began
    cpu = cpu_seconds(machine.pid) - cpu
    assert result.exit == (1, 0), (result.exit, result.error, bytes(result.out), bytes(result.err))
    phases = {line.split()[0]: float(line.split()[1]) for line in result.out.decode().splitlines()}
    return {**phases, "wall": wall, "cpu": cpu}


def main():
    class Options:
        build, kernel, initramfs, scratch = sys.argv[1:5]
    files, mib, rounds = (int(a) for a in sys.argv[5:8]) if len(sys.argv) > 7 else (10000, 256, 2)
    with open(Options.build + "/tests/bench/share_work", "rb") as f:
        program = f.read()
    rows = {"ours": [], "qemu": []}
    for number in range(rounds):
        for name, kind in (("ours", Ours), ("qemu", Qemu)):
            folder = f"{Options.scratch}/bench-{name}-{number}"
            os.makedirs(folder)
            if name == "qemu":
                os.chown(folder, SANDBOX, SANDBOX)  # ours shows the owner's files as that user's
            machine = kind(Options, folder)
            row = measure(machine, program, files, mib)
            machine.end()
            print(name, number, row, file=sys.stderr, flush=True)
            rows[name].append(row)
    best = {name: {key: min(r[key] for r in all_rows) for key in all_rows[0]} for name, all_rows in rows.items()}
    json.dump({"best": best, "ratio": {key: best["qemu"][key] / best["ours"][key] for key in best["ours"]},
               "files": files, "mib": mib, "median_wall": {n: statistics.median(r["wall"] for r in all_rows)
                                                           for n, all_rows in rows.items()}}, sys.stdout, indent=1)
    print()


main()
