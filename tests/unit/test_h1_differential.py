#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""test_h1_differential.py H1_PROBE: our HTTP/1 parser beside h11 (another implementation) on the messages of the fuzz
corpora, which are the forms that request smuggling is made of (E10): ours is never more lenient. What h11 refuses or waits
on, ours does not accept; what both accept has one method, target, status, fields, body, trailers and end. Messages whose
name begins with ok_ are accepted by both, so that neither refuses everything.

Run by Debian's own interpreter: h11 is its python3-h11."""
import json
import pathlib
import subprocess
import sys

import h11

CORPUS = pathlib.Path(__file__).resolve().parents[1] / "fuzz" / "corpus"


def answered_method(path):
    for method in ("head", "connect"):
        if path.name.startswith(method + "_"):
            return method.upper()
    return "GET"


def connection(path):
    """An h11 connection that expects this message."""
    if path.parent.name == "h1_request":
        return h11.Connection(h11.SERVER)
    client = h11.Connection(h11.CLIENT)
    method = answered_method(path)
    target = "a.example:443" if method == "CONNECT" else "/"
    client.send(h11.Request(method=method, target=target, headers=[("Host", "a.example")]))
    client.send(h11.EndOfMessage())
    return client


def fields(headers):
    return [[name.hex(), value.hex()] for name, value in headers]


def without_case(pairs):
    """h11 gives a coding in lower case."""
    coding = b"transfer-encoding".hex()
    return [[name, bytes.fromhex(value).lower().hex() if name == coding else value] for name, value in pairs]


def theirs(path):
    """h11's reading, in h1_probe's words."""
    peer, data = connection(path), path.read_bytes()
    result = {"verdict": "more", "body": ""}
    peer.receive_data(data)
    closed = False
    try:
        while True:
            event = peer.next_event()
            if event is h11.NEED_DATA and result["verdict"] == "head" and not closed:
                # Only the end of the stream ends a body without a length.
                if path.parent.name == "h1_response" and result["until_close"]:
                    peer.receive_data(b"")
                    closed = True
                    continue
                break
            if event is h11.NEED_DATA:
                break
            if isinstance(event, h11.Request):
                result.update(verdict="head", method=event.method.hex(), target=event.target, fields=fields(event.headers))
            elif isinstance(event, (h11.Response, h11.InformationalResponse)):
                names = {name for name, _ in event.headers}
                until_close = not names & {b"content-length", b"transfer-encoding"} or event.http_version < b"1.1"
                result.update(verdict="head", status=event.status_code, fields=fields(event.headers), until_close=until_close)
            elif isinstance(event, h11.Data):
                result["body"] += bytes(event.data).hex()
            elif isinstance(event, h11.EndOfMessage):
                result.update(verdict="accepted", trailers=fields(event.headers), rest=len(peer.trailing_data[0]), done=True)
                break
            else:
                break
    except h11.RemoteProtocolError as error:
        result = {"verdict": "refused", "why": str(error)}
    if result["verdict"] == "head":
        result["done"] = False
    return result


def normal_target(raw):
    """h11 gives the target as it came; ours says `/` where an absolute one has no path, and a scheme in lower case."""
    text = raw.decode("latin1")
    scheme, mark, rest = text.partition("://")
    if mark and not text.startswith("/"):
        if "/" not in rest:
            authority, query, after = rest.partition("?")
            rest = authority + "/" + query + after
        text = scheme.lower() + mark + rest
    return text.encode("latin1").hex()


def differences(ours, their):
    """Why this pair is more lenient, or of another meaning."""
    if ours["verdict"] != "accepted":
        return []
    if their["verdict"] in ("refused", "more"):
        return [f"ours accepts, h11: {their.get('why', 'waits for more')}"]
    bad = []
    if "target" in their:
        their["target"] = normal_target(their["target"])
    ours["fields"] = without_case(ours["fields"])
    for key in ("method", "target", "status", "fields", "body"):
        if ours.get(key) != their.get(key):
            bad.append(f"{key}: ours {ours.get(key)}, h11 {their.get(key)}")
    # Without a length only the stream's end is the body's: ours never says that it is done.
    ended = ours["done"] or ours["kind"] in (3, 4)
    if ended != their["done"]:
        bad.append(f"whole: ours {ended}, h11 {their['done']}")
    if ours["done"] and their["done"] and (ours["rest"] != their["rest"] or ours["trailers"] != their["trailers"]):
        bad.append(f"end: ours {ours['rest']} {ours['trailers']}, h11 {their['rest']} {their['trailers']}")
    return bad


def main():
    paths = [p for kind in ("h1_request", "h1_response") for p in sorted((CORPUS / kind).iterdir())]
    lines = subprocess.run([sys.argv[1], *map(str, paths)], capture_output=True, text=True, check=True).stdout.splitlines()
    bad, both, stricter, refused = 0, 0, 0, 0
    for path, line in zip(paths, lines, strict=True):
        ours, their = json.loads(line), theirs(path)
        found = differences(ours, their)
        accepted = ours["verdict"] == "accepted"
        they_accept = their["verdict"] in ("accepted", "head")
        if "ok_" in path.name and not (accepted and they_accept):
            found.append(f"an ordinary message: ours {ours['verdict']} ({ours['why']}), h11 {their['verdict']}")
        for text in found:
            print(f"{path.parent.name}/{path.name}: {text}", file=sys.stderr)
        bad += bool(found)
        both += accepted and they_accept
        stricter += they_accept and not accepted
        refused += not they_accept
    print(f"{len(paths)} messages: {both} accepted by both, {stricter} by h11 alone, {refused} by neither, {bad} differ")
    if both < 25 or stricter < 25 or refused < 60:
        print("the corpus compares too little", file=sys.stderr)
        bad += 1
    return 1 if bad else 0


sys.exit(main())
