#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The way out through a proxy of the host's own (egress.proxy of config.json): everything goes by CONNECT, and is judged all the
same. As test_egress.py. Usage: test_egress_via.py BUILD"""
import json
import pathlib
import socket
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.lib.egress_http import *  # noqa: E402,F403
from tests.lib.egress_rig import *  # noqa: E402,F403

PROXY_PORT = 3128
SECRET = "via/Secret-42"
POLICY = {
    "version": 1,
    "rules": [{"id": "all", "action": "allow", "host": ["api.test", "bound.test", "refused.test"], "port": [80, 443]},
              {"id": "raw", "action": "allow", "host": "raw.test", "protocol": "tcp", "port": 2222},
              {"id": "literal", "action": "allow", "cidr": "93.184.216.0/24", "port": 80}],
    "bindings": [{"id": "bound", "secret": "token", "host": "bound.test", "methods": "GET", "paths": "/**", "scheme": "bearer"}],
}


class Proxy(threading.Thread):
    """CONNECT and nothing else; names are its own to resolve. On port 2222 it is the other end itself, which speaks first."""

    def __init__(self):
        super().__init__(daemon=True)
        self.asked = []
        self.listener = socket.create_server((ORIGIN, PROXY_PORT), backlog=64)

    def run(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        target = head.split(b" ")[1].decode()
        self.asked.append(target)
        if target.startswith("refused.test"):
            client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return client.close()
        if target.endswith(":2222"):
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\nhello")  # in one piece with what the other end says
            while (data := client.recv(4096)):
                client.sendall(data)
            return client.close()
        upstream = self.rig.there(lambda: socket.create_connection((ORIGIN, int(target.split(":")[1]))))
        client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        threading.Thread(target=copy, args=(upstream, client), daemon=True).start()
        return copy(client, upstream)


def copy(source, target):
    try:
        while (data := source.recv(65536)):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def through_it(rig):
    status, _, body = ask(rig, "/v1/x")
    assert status == 200 and json.loads(body)["version"] == "2.0", body
    status, _, body = ask(rig, "/v1/y")
    assert status == 200
    assert rig.host_proxy.asked == ["api.test:443"], "a connection is kept"
    status, _, body = ask(rig, "/v1/x", host="bound.test")
    assert status == 200 and set(json.loads(body)["headers"]["authorization"]) <= set("Bearer *"), body
    assert not [n for n, _ in rig.dns.asked if n.endswith("api.test")], "names are the proxy's to resolve"


def what_speaks_first(rig):
    stream, verdict, _ = rig.connect("raw.test", 2222)
    assert verdict == ACCEPTED
    assert stream.recv(16) == b"hello"
    stream.sendall(b"and back")
    assert stream.recv(16) == b"and back"
    stream.close()


def judged_all_the_same(rig):
    before = list(rig.host_proxy.asked)
    assert ask(rig, "/", host="nobody.test")[0] == 403
    for address in ("127.0.0.1", "169.254.169.254", "10.0.0.1", "93.184.216.1"):  # E6: the last is the host's own
        stream, verdict, _ = rig.connect(address, 80)
        if verdict == ACCEPTED:
            stream.sendall(f"GET / HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
            answer = stream.recv(64)
            assert answer.split(b" ")[1] in (b"403", b"502"), answer
        stream.close()
    assert rig.host_proxy.asked == before, rig.host_proxy.asked


def refused_by_it(rig):
    status, _, body = ask(rig, "/", host="refused.test")
    assert status == 502, (status, body)


def main():
    in_namespace()
    with Rig(sys.argv[1], [(POLICY_LAYER_COMMAND, POLICY)], {"bound": ("token", SECRET)}, injector_words=["--proxy", f"{ORIGIN}:{PROXY_PORT}"]) as rig:
        start_origin(rig, ["api.test", "bound.test", "refused.test"])
        rig.host_proxy = rig.there(Proxy)
        rig.host_proxy.rig = rig
        rig.host_proxy.start()
        run(rig, through_it, what_speaks_first, judged_all_the_same, refused_by_it)


main()
