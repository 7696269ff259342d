#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the host's processes of egress hold: of secrets their own (E23), and of limits what they had before (H9). As test_egress.py.
Usage: test_egress_held.py BUILD"""
import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.lib.egress_http import *  # noqa: E402,F403
from tests.lib.egress_rig import *  # noqa: E402,F403
from tests.lib.memory_has import memory_has  # noqa: E402

# binding -> (its secret's name, the value)
SECRETS = {"one": ("first", "the-First/Secret-42"), "two": ("second", "another/Secret-77")}
POLICY = {
    "version": 1,
    "rules": [{"id": "all", "action": "allow", "host": ["one.test", "two.test", "limited.test"]}],
    "bindings": [{"id": binding, "secret": name, "host": f"{binding}.test", "methods": "GET", "paths": "/**", "scheme": "bearer"} for binding, (name, _) in SECRETS.items()],
    "limits": [{"id": "two", "host": "limited.test", "requests_per_hour": 2}],
}


def secrets_are_apart(rig):
    """E23: each secret is in its own injector, whoever else owns its process."""
    for binding, (_, value) in rig.secrets.items():
        assert ask(rig, "/v1/x", host=f"{binding}.test")[0] == 200
        holders = [name for name, (process, _) in rig.injectors.items() if memory_has(process.pid, [value.encode()])]
        assert holders == [binding], (binding, holders)
        assert not memory_has(rig.proxy.pid, [value.encode()]), "the proxy"


def limits_outlive(rig):
    """H9: a limit's counters outlive the run of a sandbox, however it ended; what was damaged is no reason to stop."""
    for want in (200, 200, 429):
        assert ask(rig, "/", host="limited.test")[0] == want
    rig.restart(signal.SIGTERM)
    status, _, body = ask(rig, "/", host="limited.test")
    assert status == 429 and json.loads(body)["lifts_at"] > time.time(), (status, body)
    time.sleep(1.5)  # they are written each second
    rig.restart(signal.SIGKILL)
    assert ask(rig, "/", host="limited.test")[0] == 429
    rig.restart(signal.SIGTERM)
    os.pwrite(rig.counters, b"\xff" * 40, 0)
    rig.restart(signal.SIGKILL)
    assert ask(rig, "/", host="limited.test")[0] == 200


def main():
    in_namespace()
    with Rig(sys.argv[1], [(POLICY_LAYER_COMMAND, POLICY)], SECRETS) as rig:
        start_origin(rig, ["one.test", "two.test", "limited.test"])
        run(rig, secrets_are_apart, limits_outlive)


main()
