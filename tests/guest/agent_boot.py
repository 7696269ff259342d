#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots the agent in QEMU and asks of it what issue 2 does. Used by agent.sh: KERNEL INITRAMFS FOLDER all|root|none
(everything; the root and one exec; no root but the initramfs)."""
import hashlib
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import agent_host as host  # noqa: E402

CID = 42
ETC = ["alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl", "skel", "bash.bashrc", "profile", "localtime"]
failures = []


def check(name, good, seen=None):
    print(("ok   " if good else "FAIL ") + name + ("" if good else f": {seen!r}"), flush=True)
    if not good:
        failures.append(name)


def make_etc(folder):
    os.makedirs(folder)
    for name in ETC:
        source = os.path.join("/etc", name)
        if os.path.isdir(source):
            shutil.copytree(source, os.path.join(folder, name), symlinks=True, ignore=shutil.ignore_patterns("private"))
        elif os.path.exists(source):
            shutil.copy2(source, folder, follow_symlinks=False)


def qemu(kernel, initramfs, scratch):
    make_etc(scratch + "/etc")
    os.makedirs(scratch + "/workspace/sub")
    with open(scratch + "/workspace/hello", "w") as f:
        f.write("from the host\n")
    os.chown(scratch + "/workspace", 1000, 1000)
    args = ["qemu-system-x86_64", "-M", "microvm,rtc=on,acpi=on", "-nodefaults", "-no-user-config", "-nographic", "-m", "768",
            "-smp", "1", "-enable-kvm", "-cpu", "host", "-serial", "stdio", "-no-reboot", "-kernel", kernel,
            "-initrd", initramfs, "-append", "console=ttyS0 reboot=t panic=-1 quiet",
            "-device", f"vhost-vsock-device,guest-cid={CID}"]
    for tag, path, model in (("usr", "/usr", "passthrough,readonly=on"), ("etc", scratch + "/etc", "passthrough,readonly=on"),
                             ("workspace", scratch + "/workspace", "passthrough")):
        args += ["-fsdev", f"local,id={tag},path={path},security_model={model}", "-device",
                 f"virtio-9p-device,fsdev={tag},mount_tag={tag}"]
    return subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=open(scratch + "/console", "w"), stderr=subprocess.STDOUT)


def run(guest, script, **options):
    result = guest.execute(["sh", "-c", script], **options)
    return result.out.decode(errors="replace").strip(), result


def test_root(guest):
    check("user", run(guest, "id -un; id -u; id -Gn")[0].split() == ["sandbox", "1000", "sandbox", "sudo", "users", "kvm"],
          run(guest, "id -un; id -u; id -Gn")[0])
    check("folder", run(guest, "pwd")[0] == "/workspace", run(guest, "pwd")[0])
    check("instance", run(guest, "cat /run/sandbox/instance; hostname")[0] == "test-1\ntestbox")
    check("workspace is read", run(guest, "cat hello")[0] == "from the host")
    check("workspace is written", run(guest, "echo x >made && cat made")[0] == "x", run(guest, "echo x >made && cat made"))
    check("environment", run(guest, "echo $HOME $USER $A $B", env=["B=c"])[0] == "/home/sandbox sandbox b c")
    out, result = run(guest, "sudo -n id -u; sudo -n touch /usr/probe /etc/probe && ls /usr/probe")
    check("sudo", out == "0\n/usr/probe", (out, result.err.decode()))
    check("file of WELCOME", run(guest, "stat -c '%a %u' /run/sandbox/x/y; cat /run/sandbox/x/y")[0] == "640 1000\nhi")
    check("links", run(guest, "readlink /bin /lib64; test -d /tmp && touch /tmp/t ~/h && echo ok")[0]
          == "usr/bin\nusr/lib64\nok")
    check("cgroup", "pids" in run(guest, "cat /sys/fs/cgroup/cgroup.controllers")[0])
    check("loopback", run(guest, "cat /sys/class/net/lo/operstate /sys/class/net/lo/flags")[0].endswith("0x9"))
    check("no zombies", run(guest, "(sleep 0.1 &) ; sleep 0.5; ps -eo stat | grep -c ^Z")[0] == "0",
          run(guest, "ps -eo pid,ppid,stat,comm | grep Z")[0])
    check("gcc", run(guest, "command -v cc >/dev/null || { echo 5; exit; }; printf 'int main(void){return 5;}' >/tmp/a.c"
                     " && cc -o /tmp/a /tmp/a.c; /tmp/a; echo $?")[0] == "5")
    check("mounts", True)
    print(run(guest, "cat /proc/mounts; df -h / /workspace; dmesg 2>/dev/null | tail -3; sudo -n dmesg | grep sandbox-agent")[0])


def test_exec(guest):
    check("exit code", guest.execute(["sh", "-c", "exit 7"]).exit == (1, 7))
    check("signalled", guest.execute(["sh", "-c", "kill -9 $$"]).exit == (2, 9))
    check("not found", guest.execute(["no-such-program"]).exit == (3, 127))
    check("not executable", guest.execute(["/etc/passwd"]).exit == (3, 126))
    check("no such user", guest.execute(["id"], user="nobody2").error == (2, 34))
    check("no such folder", guest.execute(["id"], folder="/none").error == (2, 35))
    check("root", run(guest, "id -u", user="root")[0] == "0")
    both = guest.execute(["sh", "-c", "echo out; echo err >&2"])
    check("stderr apart", (both.out, both.err) == (b"out\n", b"err\n"))
    every = bytes(range(256)) * 64
    check("8-bit clean", bytes(guest.execute(["cat"], stdin=every).out) == every)
    check("left behind", guest.execute(["sh", "-c", "sleep 100 & echo done"]).out == b"done\n")
    tty = guest.execute(["sh", "-c", "tty; stty size; echo $TERM"], flags=host.TTY, rows=50, cols=132)
    check("tty", tty.out.decode().split() == ["/dev/pts/0", "50", "132", "xterm"], tty.out)
    login = guest.execute([], flags=host.TTY | host.SHELL | host.LOGIN, interact=type_into(b"echo $0; exit 3\n"))
    check("login shell", b"-bash" in login.out and login.exit == (1, 3), login.out)


def type_into(line):
    typed = []

    def interact(stream, result):
        if not typed:
            typed.append(1)
            stream.send(host.frame(host.STDIN, line))
    return interact


def test_signals(guest):
    def resize(stream, result):
        if result.out.count(b"\n") == 1:
            stream.send(host.frame(host.RESIZE, struct.pack("<HH", 33, 44)))
            stream.send(host.frame(host.STDIN, b"x\n"))
    sized = guest.execute(["sh", "-c", "echo go; read x; stty size"], flags=host.TTY, interact=resize)
    check("resize", b"33 44" in sized.out, sized.out)

    def interrupt(stream, result):
        stream.send(host.frame(host.SIGNAL, struct.pack("<I", 15)))
    check("signal", guest.execute(["sh", "-c", "echo go; exec sleep 100"], interact=interrupt).exit == (2, 15))

    def ctrl_c(stream, result):
        stream.send(host.frame(host.STDIN, b"\x03"))
    check("ctrl-c", guest.execute(["sh", "-c", "echo go; exec sleep 100"], flags=host.TTY, interact=ctrl_c).exit == (2, 2))
    stream = guest.open(host.EXEC, host.exec_body(["sh", "-c", "trap '' HUP; echo go; sleep 4321; sleep 4321"]))
    while stream.read()[0] != host.STDOUT:
        pass
    stream.close()
    time.sleep(4)
    check("client gone", run(guest, "pgrep -fc 'sleep 432[1]'")[0] == "0", run(guest, "pgrep -fa 'sleep 432[1]'")[0])


def test_bulk(guest):
    size, part = 16 if os.environ.get("TESTBED") == "1" else 64, os.urandom(1 << 20)
    digest = hashlib.sha256(part * size).hexdigest()
    began = time.time()
    check(f"{size} MiB in", run(guest, "sha256sum", stdin=(part for _ in range(size)))[0].split()[0] == digest)
    print(f"     {size / (time.time() - began):.0f} MiB/s")
    began = time.time()
    check(f"{size} MiB out", len(guest.execute(["head", "-c", f"{size}M", "/dev/zero"]).out) == size << 20)
    print(f"     {size / (time.time() - began):.0f} MiB/s")
    results = {}

    def one(i):
        results[i] = run(guest, f"sleep 0.{i % 10}; echo number {i}")[0]
    threads = [threading.Thread(target=one, args=(i,)) for i in range(50)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("50 at once", all(results[i] == f"number {i}" for i in range(50)), results)


def test_copy(guest):
    run(guest, "rm -rf /tmp/t && mkdir -p /tmp/t/d && cd /tmp/t && echo abc >a && chmod 640 a && ln -s ../x d/l && : >d/empty"
        " && mkfifo d/pipe && head -c 200000 /dev/zero >big")
    entries, kind, gone = guest.copy_out("/tmp/t")
    found = sorted((e[0], e[1], e[2], len(e[3])) for e in entries if e[0] < 4)
    check("copy out", found == [(1, "d", 0o755, 0), (1, "t", 0o755, 0), (2, "a", 0o640, 4), (2, "big", 0o644, 200000),
                                (2, "empty", 0o644, 0), (3, "l", 0o777, 4)], found)
    check("copy out's end", (kind, gone) == (host.EXIT, (1, 1)), (kind, gone))
    check("copy out of nothing", guest.copy_out("/none")[1:] == (host.ERROR, (2, 38)), guest.copy_out("/none"))
    check("copy out unreadable", guest.copy_out("/etc/shadow")[1] == host.ERROR)
    check("the same as root", guest.copy_out("/etc/shadow", user="root")[1] == host.EXIT)
    tree = [host.entry(host.DIR, "n", 0o750, 0, 10**9), host.entry(host.FILE, "f", 0o755, 3, 10**18),
            host.frame(host.DATA, b"abc"), host.entry(host.SYMLINK, "l", 0o777, 4), host.frame(host.DATA, b"/etc"),
            host.entry(host.UP), host.entry(host.END)]
    answer = guest.copy_in("/tmp", tree)
    seen = run(guest, "cd /tmp/n && cat f && stat -c '%a %Y %U' f . && readlink l")[0]
    check("copy in", answer == (host.EXIT, (1, 0)) and
          seen == "abc755 1000000000 sandbox\n750 1 sandbox\n/etc", (answer, seen))
    answer = guest.copy_in("/tmp/other", tree)
    check("copy in under a new name", run(guest, "cat /tmp/other/f")[0] == "abc", answer)
    check("copy in to no folder", guest.copy_in("/tmp/none/x", tree)[0] == host.ERROR)
    check("copy in where root alone may", guest.copy_in("/etc", tree) == (host.ERROR, (13, 40)), guest.copy_in("/etc", tree))
    evil = [host.entry(host.SYMLINK, "e", 0o777, 4), host.frame(host.DATA, b"/etc"), host.entry(host.DIR, "e", 0o755),
            host.entry(host.FILE, "owned", 0o644, 0), host.entry(host.UP), host.entry(host.END)]
    check("link, then child (H14)", guest.copy_in("/tmp", evil, user="root")[0] == host.ERROR
          and run(guest, "ls /etc/owned")[1].exit == (1, 2))
    dots = [host.frame(host.ENTRY, struct.pack("<BBHIQq", 2, 0, 0, 0o644, 0, 0) + bytes(40) + b"../x".ljust(256, b"\0"))]
    check("dots (H14)", guest.copy_in("/tmp", dots) == (host.ERROR, (71, 41)), guest.copy_in("/tmp", dots))


def test_forward(guest):
    stream = guest.open(host.EXEC, host.exec_body(["python3", "-u", "-c", """
import socket
s = socket.socket(); s.bind(("127.0.0.1", 8080)); s.listen(); print("up"); c, _ = s.accept()
while True:
    d = c.recv(65536)
    if not d: break
    c.sendall(d.upper())
"""]))
    while stream.read()[0] != host.STDOUT:
        pass
    raw = guest.forward(8080)
    raw.sendall(b"hello" * 1000)
    raw.shutdown(socket.SHUT_WR)
    answer = b""
    while part := raw.recv(65536):
        answer += part
    check("forward", answer == b"HELLO" * 1000, len(answer))
    try:
        guest.forward(8081)
        check("forward to nobody", False)
    except OSError as why:
        check("forward to nobody", why.errno == 111, why)
    stream.close()


def test_hostile(guest):
    for name, data in (("garbage", os.urandom(64)), ("cut", host.frame(host.EXEC, b"abc")), ("empty", b""),
                       ("long", struct.pack("<BBHI", 48, 0, 0, 1 << 30))):
        stream = host.Stream(guest.connect())
        stream.send(data)
        stream.sock.shutdown(socket.SHUT_WR)
        try:
            kind = stream.read()[0]
        except (EOFError, ConnectionError):
            kind = host.ERROR
        check(f"hostile request: {name}", kind == host.ERROR, kind)
        stream.close()
    out, _ = run(guest, "python3 -c 'import socket; s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM);"
                 " s.connect((1, 1024)); s.send(b\"x\"); print(s.recv(1))' 2>&1 | tail -1")
    check("the operation port is not the guest's", "Error" in out or out == "b''", out)


def test_control(guest, control):
    control.stream.send(host.frame(host.HEALTH_REQUEST))
    _, body = control.wait([host.HEALTH])
    health = struct.unpack("<5Q4I", body)
    check("health", 500000 < health[1] < 800000 and 0 < health[2] < health[1] and health[3] > health[4] > 0, health)
    control.stream.send(host.frame(host.TIME_SET, struct.pack("<Q", 1893456000 * 10**9)))
    control.wait([host.AUDIT])
    check("time", run(guest, "date -u +%Y-%m-%d")[0] == "2030-01-01", run(guest, "date -u"))


def test_end(control, machine):
    began = time.time()
    control.shutdown()
    try:
        machine.wait(20)
        check("shutdown", True)
        print(f"     {time.time() - began:.1f} s")
    except subprocess.TimeoutExpired:
        check("shutdown", False)


def say_welcome(listener, depth):
    mounts = [host.mount("usr", role=2, readonly=True, cache=2), host.mount("etc", role=3, readonly=True),
              host.mount("workspace", "/workspace"), host.mount("gone", "/gone", optional=True)]
    return host.Control(listener.accept()[0], host.welcome(
        mounts if depth != "none" else [], env=["A=b", "B=x"], time_ns=1700000000 * 10**9, root=int(depth != "none"),
        files=[host.file("/run/sandbox/x/y", b"hi", 0o640, 1000, 1000)], seed=os.urandom(32)))


def ask_all(guest):
    began = time.monotonic()
    for test in (test_root, test_exec, test_signals, test_bulk, test_copy, test_forward, test_hostile):
        print(f"-- {time.monotonic() - began:.0f} s: {test.__name__}", flush=True)
        test(guest)


def ask_little(guest, depth):
    if depth == "none":
        check("nothing to run", guest.execute(["sh"]).exit == (3, 127))
        check("copy out", [e[1] for e in guest.copy_out("/run/sandbox/instance")[0]] == ["instance", ""])
        return
    check("sudo", run(guest, "sudo -n id -u")[0] == "0")
    check("workspace", run(guest, "cat hello; echo x >made && cat made")[0] == "from the host\nx")
    time.sleep(1)
    out = run(guest, "grep -c . /proc/modules; ls -l /dev/fuse /dev/net/tun")[0]
    print("     " + out.replace("\n", "\n     "))
    check("modules for later", out.count("crw-rw-rw-") == 2, out)


def main(kernel, initramfs, scratch, depth):
    listener = host.vsock_listener()
    machine = qemu(kernel, initramfs, scratch)
    try:
        if not select.select([listener], [], [], 120)[0]:
            raise TimeoutError("the agent did not call")
        control = say_welcome(listener, depth)
        kind, body = control.wait([host.READY, host.REFUSED])
        check("ready", kind == host.READY, (kind, body))
        elapsed, degraded = struct.unpack("<QI", body)
        print(f"     {elapsed / 1e6:.0f} ms, degraded {degraded:#x}")
        # The initramfs has no sudo; elsewhere only the share that is not there is missed.
        check("what degrades", degraded == (1 << 5 if depth == "none" else 1 << 6), degraded)
        guest = host.Guest(host.vsock_connector(CID))
        if depth == "all":
            ask_all(guest)
            test_control(guest, control)
        else:
            ask_little(guest, depth)
        test_end(control, machine)
    finally:
        machine.kill()
        machine.wait()
        if failures:
            sys.stdout.write(open(scratch + "/console", errors="replace").read()[-6000:])
    print(f"{len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
