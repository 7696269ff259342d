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
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import agent_host as host  # noqa: E402
import pair  # noqa: E402

OPEN, OPENED = 4, 5
MEMORY_MIB = 512
SANDBOX = 1000


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Qemu(pair.Qemu):
    def __init__(self, options, folder):
        super().__init__(options, folder, MEMORY_MIB)
        self.guest = host.Guest(host.vsock_connector(pair.CID))


class Ours(pair.Ours):
    def __init__(self, options, folder):
        super().__init__(options, folder, MEMORY_MIB)
        self.number = 1
        self.guest = host.Guest(self.connect)

    def connect(self):
        mine, guests = socket.socketpair()
        self.number += 1
        socket.send_fds(self.broker, [struct.pack("<BBHIII", OPEN, 0, 0, self.number, host.PORT, 0)], [guests.fileno()])
        guests.close()
        kind = self.broker.recv(16)[0]
        assert kind == OPENED, kind
        return mine


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
