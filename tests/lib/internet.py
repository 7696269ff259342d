#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""internet.py FOLDER NAME... [--services TREE]: a small internet beside the network namespace that this is run in (a test's own): a
name server, and an origin (origin.js, or services.js with TREE) that has a certificate for every NAME. Writes FOLDER/resolv.conf and
FOLDER/roots.pem, says `ready`, and stays until its standard input ends. FOLDER/asked lists every name that was asked for."""
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.lib.egress_rig import INTERNET, NAME_SERVER, ORIGIN, Rig, authority, ip, leaf  # noqa: E402


class Internet(Rig):
    def __init__(self, folder):
        self.folder, self.children, self.build = pathlib.Path(folder), [], "/nowhere"


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    names, program = sys.argv[2:], ["origin.js"]
    if names[-2:-1] == ["--services"]:
        names, program = names[:-2], ["services.js", names[-1]]
    internet = Internet(sys.argv[1])
    internet.make_network()
    ip("route", "add", "default", "via", f"{ORIGIN}")
    _, roots = authority(internet.folder, "roots")
    certificate, key = leaf(internet.folder, "roots", *names)
    internet.dns.names.update({name: [ORIGIN] for name in names})
    internet.dns.log = open(internet.folder / "asked", "w", buffering=1)
    script = pathlib.Path(__file__).resolve().parent / program[0]
    origin = internet.start_origin("node", str(script), ORIGIN, str(certificate), str(key), *program[1:])
    assert origin.stdout.readline() == "ready\n"
    (internet.folder / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\n")
    print("ready", flush=True)
    try:
        sys.stdin.read()
    finally:
        for child in internet.children:
            child.kill()


main()
