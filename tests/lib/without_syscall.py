#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""without_syscall.py NUMBER ERRNO COMMAND...: runs COMMAND where that system call of x86-64 fails with ERRNO, as on a kernel or in
a container that does not have it."""
import ctypes
import os
import struct
import sys

LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7fff0000, 0x00050000
SET_NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2


def step(code, yes, no, value):
    return struct.pack("<HBBI", code, yes, no, value)


number, error = int(sys.argv[1]), int(sys.argv[2])
program = ctypes.create_string_buffer(
    step(LOAD, 0, 0, 0) + step(JUMP_EQUAL, 0, 1, number) + step(RETURN, 0, 0, ERRNO | error) + step(RETURN, 0, 0, ALLOW), 32)
table = ctypes.create_string_buffer(struct.pack("<H6xQ", 4, ctypes.addressof(program)), 16)
libc = ctypes.CDLL(None, use_errno=True)
for words in ((SET_NO_NEW_PRIVS, 1, 0, 0, 0), (SET_SECCOMP, MODE_FILTER, ctypes.addressof(table), 0, 0)):
    if libc.prctl(words[0], *[ctypes.c_ulong(w) for w in words[1:]]) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
os.execvp(sys.argv[3], sys.argv[3:])
