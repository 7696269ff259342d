#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""exec.py BUILD SCRATCH [ROUNDS]: how long `true` in a running sandbox takes, there and back, in counted time: by
`sandboxctl exec`, a new process each time; by a client that is connected to the control socket already; and, to know what of
it is ours, the guest's own fork, exec and wait of it. Prints one JSON document, in seconds. Reported, without a bar."""
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

WARM_UP = 3


class Client:
    """vmm/supervisor/control.h: a length, then JSON; the stream's fd comes with the answer's first byte."""

    def __init__(self, name):
        self.sock = socket.socket(socket.AF_UNIX)
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        folder = f"{runtime}/sandboxctl" if runtime else f"{os.environ['XDG_STATE_HOME']}/sandboxctl/run"
        self.sock.connect(f"{folder}/{name}/control.sock")

    def call(self, request):
        text = json.dumps(request).encode()
        self.sock.sendall(struct.pack("<I", len(text)) + text)
        head, fds, _, _ = socket.recv_fds(self.sock, 4, 1)
        answer = json.loads(host.Stream(self.sock).exactly(struct.unpack("<I", head)[0]))
        assert answer["ok"] and len(fds) == 1, answer
        return socket.socket(fileno=fds[0])

    def execute(self, argv):
        stream = host.Stream(self.call({"op": "exec", "argv": argv}))
        stream.send(host.frame(host.STDIN_EOF))
        while (frame := stream.read())[0] != host.EXIT:
            assert frame[0] != host.ERROR, frame
        stream.close()
        return struct.unpack("<II", frame[1])


def seconds(run, rounds):
    times = []
    for number in range(WARM_UP + rounds):
        began = time.monotonic_ns()
        run()
        took = (time.monotonic_ns() - began) / 1e9
        print(run.__name__, number, took, file=sys.stderr, flush=True)
        if number >= WARM_UP:
            times.append(took)
    return {"median": statistics.median(times), "least": min(times), "most": max(times)}


def measure(program, rounds):
    client = Client("bench")

    def whole():
        subprocess.run([program, "exec", "bench", "--", "true"], check=True, stdin=subprocess.DEVNULL)

    def warm():
        assert client.execute(["true"]) == (1, 0)

    def ten_inside():
        assert client.execute(["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do /usr/bin/true; done"]) == (1, 0)

    def none_inside():
        assert client.execute(["sh", "-c", ":"]) == (1, 0)

    result = {"sandboxctl exec": seconds(whole, rounds), "warm client": seconds(warm, rounds)}
    in_guest = (seconds(ten_inside, rounds)["median"] - seconds(none_inside, rounds)["median"]) / 10
    result["in the guest alone"] = {"median": in_guest}
    for row in result.values():
        row["instructions"] = round(row["median"] / 2e-9)
    return result


def main():
    build, scratch = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    program, folder = build + "/sandboxctl", scratch + "/project"
    os.makedirs(folder, exist_ok=True)
    subprocess.run([program, "start", "bench", "--fresh", "--no-attach", "--workspace", folder, "--kernel", "minimal", "--cpus", "1",
                    "--memory", "256M"], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        result = measure(program, rounds)
    finally:
        subprocess.run([program, "stop", "bench"], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
