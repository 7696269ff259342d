#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""transport.py BUILD SCRATCH: hostile_transport.c as the guest of a jailed sandbox-vmm, and the host's side of it: a link that
answers, a share, and what of the host was touched."""
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time

build, scratch = sys.argv[1:3]
CONNECT, ACCEPTED, REFUSED = 1, 2, 3
MACHINE_END_EXIT_BASE, MACHINE_END_POWEROFF = 64, 1  # vmm/base/event.h
ATTACKS, MEMORY_MIB, OWN_MIB = 15, 128, 64
share, outside = scratch + "/share", scratch + "/outside"
failures = []


def check(what, good, seen=""):
    if not good:
        failures.append(what)
        print("FAILED:", what, seen)


def make(path, data=b""):
    with open(path, "wb") as f:
        f.write(data)


resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
os.makedirs(share + "/sub")
os.makedirs(outside)
make(outside + "/secret", b"secret")
make(share + "/file", b"data")
make(share + "/large", os.urandom(200000))
make(share + "/target", b"0123456789")
os.symlink(outside, share + "/absolute")
os.symlink("../outside", share + "/relative")
os.symlink("/proc/self/root/etc", share + "/magic")

ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
events, its_events = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
its_events.setblocking(False)
try:  # as a guest's faults would fill it, and nobody reads: the end's record is lost
    while its_events.send(bytes(64)):
        pass
except BlockingIOError:
    pass
log = open(scratch + "/console", "w+b")
files = [os.open("/dev/kvm", os.O_RDWR), os.open(build + "/tests/attack/hostile_transport", os.O_RDONLY)]
numbers = files + [theirs.fileno(), its_events.fileno(), log.fileno()]
stat = os.stat(share)
errors = open(scratch + "/vmm.log", "w+b")
vmm = subprocess.Popen(
    ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", build + "/sandbox-vmm", "--name", "transport",
     "--memory-mib", str(MEMORY_MIB), "--kvm-fd", str(files[0]), "--kernel-fd", str(files[1]), "--console-fd", str(log.fileno()),
     "--vsock-fd", str(theirs.fileno()), "--event-fd", str(its_events.fileno()), "--owner", f"{stat.st_uid}:{stat.st_gid}",
     "--share", f"ws,rw,mapped,{stat.st_dev}:{stat.st_ino},{share}"],
    pass_fds=numbers, stdin=subprocess.DEVNULL, stderr=errors)
theirs.close()
its_events.close()
beside = sorted(os.listdir(scratch))


def echo(stream):
    try:
        while data := stream.recv(65536):
            stream.sendall(data)
    except OSError:
        pass
    stream.close()


def link():
    deaf = []
    while message := ours.recv(64):
        op, number, port = struct.unpack("<B3xII4x", message)
        if op != CONNECT:
            continue
        if port not in (5000, 5001):
            ours.send(struct.pack("<B3xII4x", REFUSED, number, 0))
            continue
        mine, its = socket.socketpair()
        socket.send_fds(ours, [struct.pack("<B3xII4x", ACCEPTED, number, 0)], [its.fileno()])
        its.close()
        if port == 5000:
            threading.Thread(target=echo, args=(mine,), daemon=True).start()
        else:
            deaf.append(mine)
            for old in deaf[:-1100]:
                old.close()
            del deaf[:-1100]


threading.Thread(target=link, daemon=True).start()
most_kib, end = 0, time.time() + 200
while vmm.poll() is None and time.time() < end:
    for line in subprocess.run(["ps", "-o", "rss=", "--ppid", str(vmm.pid)], capture_output=True, text=True).stdout.split():
        most_kib = max(most_kib, int(line))
    time.sleep(0.3)
check("it ends", vmm.poll() is not None)
vmm.kill()
vmm.wait()
log.seek(0)
text = log.read().decode(errors="replace")
errors.seek(0)
said = errors.read().decode(errors="replace")
print(text, said, f"VMM: at most {most_kib} KiB resident", sep="\n")
check("all passed", text.count("PASS ") == ATTACKS and "FAIL" not in text and "all attempted" in text)
check("the machine ended as its guest asked", vmm.returncode == MACHINE_END_EXIT_BASE + MACHINE_END_POWEROFF, vmm.returncode)
check("V7: said, and not flooded", said.count("\n") <= 60, said.count("\n"))
check("V9, S8: memory", most_kib <= (MEMORY_MIB + OWN_MIB) << 10, most_kib)
check("S1: the outside", os.listdir(outside) == ["secret"] and open(outside + "/secret").read() == "secret")
check("S1: beside the share", sorted(os.listdir(scratch)) == beside, os.listdir(scratch))
check("the file that was lied about", open(share + "/target", "rb").read() == b"0123456789", open(share + "/target", "rb").read()[:40])
special = [p for p in os.listdir(share) if not (os.path.isfile(os.path.join(share, p)) or os.path.isdir(os.path.join(share, p))
                                                or os.path.islink(os.path.join(share, p)))]
check("S3: special files", not special, special)
sys.exit(bool(failures))
