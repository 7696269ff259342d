#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""operations.py SEED COUNT FOLDER: a program of file operations; prints what each of them gave.

S7: run on a share in the guest and on a local file system of the host, the same seed prints the same. Names, contents and
errors are compared; inode numbers and times are not.
"""
import errno
import os
import random
import stat
import sys

seed, count, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
pick = random.Random(seed)
os.chdir(folder)
os.umask(0o022)
names = ["a", "b", "c", "d", "d/a", "d/b", "e", "e/a", "e/f", "e/f/a", "long" + "x" * 200]
held = []  # open fds; many of them lose their names


def say(*words):
    print(*words, flush=True)


def name():
    return pick.choice(names)


def describe(st):
    kind = stat.S_IFMT(st.st_mode) >> 12
    size = 0 if stat.S_ISDIR(st.st_mode) else st.st_size
    links = 0 if stat.S_ISDIR(st.st_mode) else st.st_nlink
    return f"{kind:o} {stat.S_IMODE(st.st_mode):o} {size} {links}"


def do_open():
    flags = pick.choice([os.O_RDWR, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDONLY,
                         os.O_RDWR | os.O_CREAT | os.O_TRUNC])
    fd = os.open(name(), flags, 0o644)
    if len(held) >= 12:
        os.close(held.pop(pick.randrange(len(held))))
    held.append(fd)
    return describe(os.fstat(fd))


def on_held(f):
    def run():
        return f(pick.choice(held)) if held else "none"
    return run


def write(fd):
    data = bytes([pick.randrange(65, 91)]) * pick.choice([1, 10, 4096, 5000])
    return os.pwrite(fd, data, pick.choice([0, 1, 4095, 4096, 10000]))


def read(fd):
    data = os.pread(fd, pick.choice([1, 100, 5000, 20000]), pick.choice([0, 5, 4096, 12000]))
    return f"{len(data)} {sum(data)}"


def close(fd):
    held.remove(fd)
    os.close(fd)


def create():
    with open(name(), "xb") as f:
        f.write(b"new" * pick.randrange(5))


def read_by_name():
    with open(name(), "rb") as f:
        data = f.read()
    return f"{len(data)} {sum(data)}"


def list_folder():
    return " ".join(sorted(os.listdir(pick.choice([".", "d", "e", "e/f"]))))


operations = [
    (8, do_open),
    (8, on_held(write)),
    (8, on_held(read)),
    (4, on_held(lambda fd: describe(os.fstat(fd)))),
    (2, on_held(lambda fd: os.ftruncate(fd, pick.choice([0, 1, 5000])))),
    (1, on_held(lambda fd: os.fchmod(fd, pick.choice([0o600, 0o644, 0o755])))),
    (3, on_held(close)),
    (5, lambda: os.unlink(name())),
    (6, lambda: os.rename(name(), name())),
    (2, lambda: os.link(name(), name())),
    (2, lambda: os.symlink(pick.choice(["a", "../b", "none", "d"]), name())),
    (2, lambda: os.readlink(name())),
    (4, lambda: os.mkdir(pick.choice(["d", "e", "e/f", "a"]))),
    (2, lambda: os.rmdir(pick.choice(["d", "e", "e/f", "a"]))),
    (3, create),
    (4, read_by_name),
    (4, lambda: describe(os.lstat(name()))),
    (3, list_folder),
    (1, lambda: os.truncate(name(), pick.choice([0, 3, 4097]))),
]
table = [f for weight, f in operations for _ in range(weight)]
for step in range(count):
    f = pick.choice(table)
    state = pick.getstate()
    try:
        result = f()
    except OSError as e:
        result = errno.errorcode[e.errno]
    # Whatever was drawn before an error: the next step draws from a known place.
    pick.setstate(state)
    pick.random()
    say(step, table.index(f), result)
for root, folders, files in os.walk("."):
    folders.sort()
    for file in sorted(files):
        path = os.path.join(root, file)
        st = os.lstat(path)
        say(path, describe(st), os.readlink(path) if stat.S_ISLNK(st.st_mode) else sum(open(path, "rb").read()))
