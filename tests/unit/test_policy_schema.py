#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The schema and the loader say the same of every document here, and the loader's error names the place.
test_policy_schema.py POLICY_LOAD SCHEMA PRESET..."""
import json
import pathlib
import subprocess
import sys
import tempfile

import jsonschema


def rule(**more):
    return {"version": 1, "rules": [{"id": "r", "action": "allow", "host": "example.com", **more}]}


def deny(**more):
    return {"version": 1, "rules": [{"id": "r", "action": "deny", "host": "example.com", **more}]}


def without(document, *path):
    at = document
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return document


def binding(**more):
    return {"version": 1, "bindings": [{"id": "b", "secret": "token", "host": "api.example.com", "methods": ["GET"],
                                        "paths": ["/**"], "scheme": "bearer", **more}]}


def git(**more):
    return {"version": 1, "bindings": [{"id": "b", "secret": "token", "host": "git.example.com",
                                        "git": {"repositories": "owner/name"}, **more}]}


def limit(**more):
    return {"version": 1, "limits": [{"id": "l", "requests_per_hour": 10, **more}]}


GOOD = [
    {"version": 1},
    {"version": 1, "$schema": "https://example.com/schema.json", "note": "mine", "rules": [], "bindings": [], "limits": []},
    {"version": 1, "presets": "builder"},
    {"version": 1, "presets": ["builder", "offline"]},
    {"version": 1, "blocked_hosts": "**.prod.example.com"},
    {"version": 1, "blocked_hosts": ["*.com", "**", "10.0.0.1", "::1"]},
    rule(),
    rule(host=["*.example.com", "**.example.com", "*.*.example.com", "**.*.example.com", "EXAMPLE.com", "8.8.8.8", "2606:4700::1", "[2606:4700::2]"]),
    rule(host="intranet"),
    rule(host="a.github.io"),
    rule(host="*.a.github.io"),
    rule(host="10.1.2.3"),
    rule(cidr="10.0.0.0/8"),
    rule(cidr=["10.0.0.0/8", "2606:4700::/32"]),
    without(rule(cidr="8.8.8.0/24"), "rules", 0, "host"),
    rule(port=8443),
    rule(port=[1, 65535, "8000-8100"]),
    rule(protocol="http"), rule(protocol="tls"), rule(protocol="ssh"), rule(protocol="tcp", port=5432),
    rule(methods="GET"), rule(methods=["GET", "HEAD", "M-SEARCH", "VERSION-CONTROL"]),
    rule(paths="/"), rule(paths=["/**", "/a/*/b", "/a/**/b/", "/@scope/x", "/caf%C3%A9", "/%7Euser"]),
    rule(encoded_slash=True), rule(websocket=False), rule(request_bytes_max=0, response_bytes_max="10M"),
    rule(request_bytes_max="1048576"), rule(response_bytes_max=9223372036854775807),
    rule(mode="audit", host="**"), rule(mode="enforce"), rule(guest_credentials="allow"), rule(private_addresses=True),
    rule(tier="deployer", note="because"),
    deny(), deny(host="**"), deny(host="*.com"), deny(port=80), deny(protocol="tcp"), deny(methods="POST"), deny(paths="/x/**"),
    deny(mode="audit"), without(deny(cidr=["10.0.0.0/8", "0.0.0.0/0"]), "rules", 0, "host"), deny(host="127.0.0.1"),
    binding(), binding(port=8443, require=True, tier="admin", note="x"), binding(scheme="basic"), binding(scheme="basic", username="me"),
    binding(scheme="header", header="X-Api-Key"), binding(scheme="header", header="authorization", prefix="token "),
    binding(scheme="query", parameter="key"), binding(host="10.0.0.1"),
    git(), git(git={"repositories": ["a/b", "group/sub/name.js"], "push": True}), git(username="me"), git(scheme="bearer"),
    limit(), limit(host=["example.com", "*.com"], cidr="10.0.0.0/8"), limit(tier="builder"), limit(tier=["builder", "admin"]),
    limit(streams_max=0, egress_bytes_per_day="1G", ingress_bytes_per_day=5, request_bytes_max="1K", response_bytes_max=1, stream_seconds_max=1),
]

# document, and where and what the loader says
BAD = [
    ([], "document: a policy is a JSON object"),
    ({}, "document: has no \"version\" (1)"),
    ({"version": 2}, "document: version: is 2; 1 to 1 are allowed"),
    ({"version": "1"}, "version: is not a whole number"),
    ({"version": True}, "version: is not a whole number"),
    ({"version": 1, "rule": []}, "document: unknown key \"rule\"; did you mean \"rules\"?"),
    ({"version": 1, "x\u001b": []}, "unknown key"),
    ({"version": 1, "rules": {}}, "rules: is not a list"),
    ({"version": 1, "rules": [1]}, "rules[0]: is not an object"),
    ({"version": 1, "note": ""}, "note: is 0 bytes long"),
    ({"version": 1, "note": "a\nb"}, "note: has a control character"),
    ({"version": 1, "presets": "bulider"}, "presets: there is no preset \"bulider\""),
    ({"version": 1, "presets": []}, "presets: is an empty list"),
    ({"version": 1, "presets": ["builder", "builder"]}, "presets: names \"builder\" twice"),
    ({"version": 1, "blocked_hosts": [1]}, "blocked_hosts[0]: is not a text"),
    ({"version": 1, "blocked_hosts": []}, "blocked_hosts: is an empty list"),
    (without(rule(), "rules", 0, "id"), "rules[0]: has no \"id\""),
    (without(rule(), "rules", 0, "action"), "rules[0]: has no \"action\""),
    (without(rule(), "rules", 0, "host"), "rules[0]: has neither \"host\" nor \"cidr\""),
    (rule(id="a b"), "rules[0].id: is no name"), (rule(id="-a"), "rules[0].id: is no name"), (rule(id="x" * 65), "rules[0].id: is 65 bytes"),
    (rule(id=1), "rules[0].id: is not a text"), (rule(action="permit"), "rules[0].action: is none of allow, deny"),
    (rule(hosts="x.com"), "rules[0]: unknown key \"hosts\"; did you mean \"host\"?"),
    (rule(method="GET"), "did you mean \"methods\"?"),
    (rule(colour="red"), "unknown key \"colour\"; there are id, action, host, cidr"),
    (rule(host=[]), "rules[0].host: is an empty list"), (rule(host=["a.com", 1]), "rules[0].host[1]: is not a text"),
    (rule(host="https://example.com"), "rules[0].host: \"https://example.com\" is a URL"), (rule(host="example.com/x"), "paths go into \"paths\""),
    (rule(host="ex ample.com"), "is no host name"), (rule(host="bücher.example"), "is no host name"),
    (rule(cidr="10.0.0.0"), "rules[0].cidr: \"10.0.0.0\" is no range"),
    (rule(port=0), "rules[0].port: is 0; 1 to 65535"), (rule(port=65536), "rules[0].port: is 65536"), (rule(port=-1), "rules[0].port: is -1"),
    (rule(port=[443, "http"]), "rules[0].port[1]: is no port"), (rule(port="443"), "rules[0].port: is no port"), (rule(port=1.5), "rules[0].port: is not a whole number"),
    (rule(protocol="udp"), "rules[0].protocol: is none of http, tls, tcp, ssh"), (rule(protocol="tcp"), "rules[0]: has no \"port\""),
    (rule(protocol="tls", methods="GET"), "rules[0].methods: needs protocol http"),
    (rule(protocol="ssh", guest_credentials="allow"), "rules[0].guest_credentials: needs protocol http"),
    (rule(protocol="tcp", port=1, websocket=True), "rules[0].websocket: needs protocol http"),
    (rule(methods="get"), "rules[0].methods: \"get\" is no method"), (rule(methods=["GET", "CONNECT"]), "rules[0].methods[1]: CONNECT never passes"),
    (rule(paths="x"), "rules[0].paths: \"x\" does not begin with `/`"), (rule(paths="/a?b"), "has a query"),
    (rule(paths="/a;b"), "is no path that a request could have"), (rule(paths="/a b"), "is no path"), (rule(paths=["/", "/a\\b"]), "rules[0].paths[1]"),
    (rule(encoded_slash="yes"), "rules[0].encoded_slash: is neither true nor false"),
    (rule(websocket=1), "rules[0].websocket: is neither true nor false"),
    (rule(request_bytes_max=-1), "rules[0].request_bytes_max: is -1"), (rule(request_bytes_max="10MB"), "rules[0].request_bytes_max: is no size"),
    (rule(request_bytes_max="ten"), "is no size"), (rule(response_bytes_max=[]), "is not a whole number"),
    (rule(mode="learn"), "rules[0].mode: is none of enforce, audit"), (rule(guest_credentials=True), "rules[0].guest_credentials: is none of allow"),
    (rule(guest_credentials="deny"), "rules[0].guest_credentials: is none of allow"), (rule(tier="root"), "rules[0].tier: is none of builder, deployer"),
    (deny(tier="admin"), "rules[0].tier: has no place in a rule that denies"), (deny(websocket=True), "rules[0].websocket: has no place"),
    (deny(private_addresses=True), "rules[0].private_addresses: has no place"), (deny(protocol="tls", paths="/x"), "rules[0].paths: needs protocol http"),
    (without(binding(), "bindings", 0, "secret"), "bindings[0]: has no \"secret\""), (without(binding(), "bindings", 0, "host"), "bindings[0]: has no \"host\""),
    (without(binding(), "bindings", 0, "methods"), "bindings[0]: names no \"methods\""), (without(binding(), "bindings", 0, "paths"), "bindings[0]: names no \"paths\""),
    (without(binding(), "bindings", 0, "scheme"), "bindings[0]: has no \"scheme\""),
    (binding(scheme="digest"), "bindings[0].scheme: is none of bearer, basic, header, query"),
    (binding(host="*.example.com"), "bindings[0].host: \"*.example.com\" has a wildcard"), (binding(host=["a.example.com"]), "bindings[0].host: is not a text"),
    (binding(port="443"), "bindings[0].port: is not a whole number"), (binding(scheme="header"), "bindings[0]: has no \"header\""),
    (binding(scheme="header", header="a b"), "bindings[0].header: is no field name"), (binding(header="x-key"), "bindings[0].header: belongs to scheme header"),
    (binding(prefix="x"), "bindings[0].prefix: belongs to scheme header"), (binding(username="me"), "bindings[0].username: belongs to scheme basic"),
    (binding(scheme="basic", username="a:b"), "bindings[0].username: has a character"), (binding(scheme="query"), "bindings[0]: has no \"parameter\""),
    (binding(parameter="key"), "bindings[0].parameter: belongs to scheme query"), (binding(scheme="header", header="x", prefix="é"), "bindings[0].prefix: has a character"),
    (binding(value="hunter2"), "bindings[0]: unknown key \"value\""), (binding(require="yes"), "bindings[0].require: is neither"),
    (git(git={}), "bindings[0].git: has no \"repositories\""), (git(git=True), "bindings[0].git: is not an object"), (git(git={"repositories": []}), "bindings[0].git.repositories: is an empty list"),
    (git(git={"repositories": "name"}), "is no repository"), (git(git={"repositories": "owner/*"}), "is no repository"), (git(git={"repositories": "owner/name.git"}), "is no repository"),
    (git(git={"repositories": "owner/../x"}), "is no repository"), (git(git={"repositories": "a/b", "push": "no"}), "bindings[0].git.push: is neither"),
    (git(paths="/x"), "bindings[0].paths: follows from \"git\""), (git(methods="GET"), "bindings[0].methods: follows from \"git\""),
    (git(git={"repositories": "a/b", "pull": True}), "bindings[0].git: unknown key \"pull\""),
    (without(limit(), "limits", 0, "requests_per_hour"), "limits[0]: limits nothing"), (limit(requests_per_hour=-1), "limits[0].requests_per_hour: is -1"),
    (limit(requests_per_hour="10"), "limits[0].requests_per_hour: is not a whole number"), (limit(tier="x"), "limits[0].tier: is none of"),
    (limit(stream_seconds_max=0), "limits[0].stream_seconds_max: is 0"), (limit(wall_time=5), "limits[0]: unknown key \"wall_time\""),
    (limit(tier=[]), "limits[0].tier: is an empty list"),
]

# The loader alone can know these: each says why no schema does. (document, error, why)
STRICTER = [
    ('{"version": 1, "version": 1}', "version: this key is there twice", "JSON Schema sees a document after its duplicate keys are gone"),
    ('{"version": 1, "rules": [{"id": "a", "action": "deny", "host": ["x.example", "y.example"], "note": "a \\"}]{, [\\\\"}, {"id": "b", "action": "deny",\n "host": "z.example", "id": "c"}]}',
     "rules[1].id: this key is there twice (line 2)", "as above"),
    ('{"version": 1} {}', "line 1", "text after the document"),
    ('{"version": 1.0}', "version: is not a whole number", "1.0 is an integer to JSON Schema"),
    (rule(host="github.io"), "is a public suffix", "E2 needs the list"), (rule(host="*.github.io"), "covers a public suffix", "E2"),
    (rule(host="**.co.uk"), "covers a public suffix", "E2"), (rule(host="*.com"), "covers a public suffix", "E2"), (rule(host="*.internal"), "covers a public suffix", "E2"),
    (rule(host="**"), "lets every host through", "E2 is about allow rules of mode enforce"),
    (binding(host="github.io"), "is a public suffix", "E2"),
    (rule(host="example.com:443"), "the port goes into \"port\"", "IPv6 addresses have colons"),
    (rule(host="a.*.com"), "wildcard in the wrong place", "labels are not in the pattern"), (rule(host="*example.com"), "wildcard in the wrong place", "labels"),
    (rule(host="*.8.8.8.8"), "", "labels"), (rule(host="0177.0.0.1"), "is no host name", "E3: the canonicaliser's"), (rule(host="2130706433"), "is no host name", "E3"),
    (rule(host="a..b"), "is no host name", "E1"), (rule(host="127.0.0.1"), "no policy lets anybody reach", "E6"), (rule(host="169.254.169.254"), "no policy lets anybody reach", "E6"),
    (rule(cidr="10.0.0.1/8"), "is no range", "bits past the length"), (rule(port="9000-8000"), "is no port", "order"), (rule(port="0-5"), "is no port", "range"),
    (rule(paths="/a/../b"), "is no path", "E12: the canonicaliser's"), (rule(paths="/a//b"), "is no path", "E12"), (rule(paths="/a/%2e%2e/b"), "is no path", "E12"),
    (rule(paths="/a/x*"), "wildcard within a segment", "segments"), (rule(paths="/%zz"), "is no path", "E12"), (rule(paths="/a" * 65), "too many segments", "segments"),
    (rule(request_bytes_max="99999999999999T"), "is no size", "overflow"),
    ({"version": 1, "rules": [rule()["rules"][0], rule()["rules"][0]]}, "rules[1].id: \"r\" is rules[0]'s already", "ids are unique"),
    ({"version": 1, "bindings": binding()["bindings"] * 2}, "bindings[1].id", "ids are unique"), ({"version": 1, "limits": limit()["limits"] * 2}, "limits[1].id", "ids are unique"),
    (deny(host="10.0.0.1", methods="GET"), "rules[0].methods: can't stand in a deny rule that lists addresses", "host may be a name or an address"),
    (binding(scheme="header", header="Host"), "bindings[0].header: can't carry a secret", "a list of names in any case"),
    (binding(scheme="header", header="Transfer-Encoding"), "bindings[0].header: can't carry a secret", "the same"),
    ({"version": 1, "rules": [{"id": "t", "action": "allow", "host": "**.example.com", "protocol": "tls"}], **{"bindings": binding()["bindings"]}}, "E25", "one part beside another"),
    ({"version": 1, "rules": [{"id": "t", "action": "allow", "host": "**", "mode": "audit"}], **{"bindings": binding()["bindings"]}}, "E21", "one part beside another"),
    ({"version": 1, "presets": "audit-all", **{"bindings": binding()["bindings"]}}, "E21", "a preset beside a binding"),
]

# Only the project's layer refuses these (H5).
PROJECT = [
    (binding(), "document: bindings: can't stand in a project's policy"), ({"version": 1, "presets": "builder"}, "presets: can't stand"),
    (rule(guest_credentials="allow"), "rules[0].guest_credentials: can't stand"), (rule(private_addresses=True), "rules[0].private_addresses: can't stand"),
    (rule(mode="audit"), "rules[0].mode: can't stand"), (rule(tier="admin"), "rules[0].tier: can't stand"), (deny(mode="audit"), "rules[0].mode: can't stand"),
]


def load(program, layer, documents):
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for i, document in enumerate(documents):
            names.append(pathlib.Path(folder, str(i)))
            names[-1].write_text(document if isinstance(document, str) else json.dumps(document))
        lines = subprocess.run([program, layer, *names], check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == len(documents), f"{len(lines)} answers to {len(documents)} documents"
    return lines


def main():
    program, schema = sys.argv[1], json.loads(pathlib.Path(sys.argv[2]).read_text())
    presets = [pathlib.Path(name).read_text() for name in sys.argv[3:]]
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    failed = []

    def check(what, document, said, wanted, schema_wanted):
        if wanted is None and said != "ok" or wanted is not None and (said == "ok" or wanted not in said):
            failed.append(f"{what}: the loader says <{said}>, expected <{wanted or 'ok'}>: {document}")
        try:
            valid = validator.is_valid(json.loads(document) if isinstance(document, str) else document)
        except json.JSONDecodeError:
            return
        if schema_wanted is not None and valid != schema_wanted:
            failed.append(f"{what}: the schema says {valid}: {document}")

    good = GOOD + presets
    for document, said in zip(good, load(program, "user", good)):
        check("good", document, said, None, True)
    for (document, wanted), said in zip(BAD, load(program, "user", [d for d, _ in BAD])):
        check("bad", document, said, wanted, False)
    for (document, wanted, _), said in zip(STRICTER, load(program, "user", [d for d, _, _ in STRICTER])):
        check("stricter", document, said, wanted, True)
    for (document, wanted), said in zip(PROJECT, load(program, "project", [d for d, _ in PROJECT])):
        check("project", document, said, wanted, True)
    print("\n".join(failed))
    print(f"{len(good)} good, {len(BAD)} bad, {len(STRICTER)} stricter, {len(PROJECT)} of a project: {len(failed)} wrong")
    return 1 if failed else 0


sys.exit(main())
