#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""git itself through proxy and injectors, without a guest: a private repository is cloned, fetched and pushed to with a token that git
never has, and what its binding does not name is refused (E14, E15). Usage: test_egress_git.py BUILD"""
import os
import pathlib
import subprocess
import sys
from urllib.parse import quote

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.lib.client_sites import TOKEN, repository  # noqa: E402
from tests.lib.egress_http import *  # noqa: E402,F403
from tests.lib.egress_rig import *  # noqa: E402,F403


def policy(push, lfs=False):
    return {
        "version": 1,
        "rules": [{"id": "git", "action": "allow", "host": "git.test", "methods": ["GET", "POST", "PUT"]}],
        "bindings": [{"id": "repo", "secret": "token", "host": "git.test", "git": {"repositories": ["mine/private"], "push": push, "lfs": lfs}}],
    }


class Git:
    """git as in a guest: told of a proxy and of roots, of nothing else."""

    def __init__(self, rig):
        self.rig, self.home = rig, rig.folder / "home"
        self.home.mkdir(exist_ok=True)
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "GIT_TERMINAL_PROMPT": "0", "GIT_SSL_CAINFO": str(rig.ca),
                            "https_proxy": f"http://127.0.0.1:{bridge(rig, '', 0, EGRESS_PROXY)}"}

    def __call__(self, *words, at=None):
        """(whether it went well, all that it said)"""
        done = subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@test"] + list(words), cwd=at or self.home, env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100)
        assert TOKEN.encode() not in done.stdout, done.stdout
        return done.returncode == 0, done.stdout.decode()


def serve(rig):
    """git.test, where who asks for mine/private or theirs/private needs the token."""
    site = rig.folder / "site"
    for owner in ("mine", "theirs"):
        repository(site / "git.test" / owner / "private.git", {"README": f"{owner}\n", "large": os.urandom(300000)})
    repository(site / "git.test" / "public.git", {"README": "public\n"})
    (site / "token").write_text(TOKEN)
    start_origin(rig, ["git.test"], "services.js", str(site))
    return site / "git.test"


def cloned_and_fetched(rig, site):
    git, clone = Git(rig), rig.folder / "home" / "private"
    good, said = git("clone", "-q", "https://git.test/mine/private.git")
    assert good and (clone / "README").read_text() == "mine\n", said
    assert TOKEN not in (clone / ".git" / "config").read_text()
    good, said = git("fetch", "-q", at=clone)
    assert good, said
    # Neither somebody else's, nor with the name in another spelling, nor with credentials of the guest's own (E13).
    for url in ("https://git.test/theirs/private.git", "https://git.test/mine/../theirs/private.git", "https://git.test/mine/private.git/../../theirs/private.git",
                f"https://x-access-token:{quote(TOKEN, safe=str())}@git.test/theirs/private.git"):
        good, said = git("clone", "-q", url, "not")
        assert not good, url
    good, said = git("clone", "-q", "https://git.test/public.git")
    assert good, said


def pushed(rig, site, allowed):
    git, clone = Git(rig), rig.folder / "home" / "private"
    (clone / "more").write_bytes(os.urandom(1200000))  # more than goes in one piece
    for words in (["add", "-A"], ["commit", "-qm", "two"]):
        good, said = git(*words, at=clone)
        assert good, said
    good, said = git("push", "-q", "origin", "main", at=clone)
    assert good == allowed, said
    head = subprocess.run(["git", "-C", str(site / "mine" / "private.git"), "log", "-1", "--format=%s", "main"], capture_output=True, text=True, check=True).stdout
    assert head == ("two\n" if allowed else "one\n"), head


def with_push(rig):
    site = serve(rig)
    cloned_and_fetched(rig, site)
    pushed(rig, site, True)


def without_push(rig):
    site = serve(rig)
    good, said = Git(rig)("clone", "-q", "https://git.test/mine/private.git")
    assert good, said
    pushed(rig, site, False)


def commit_large(rig, site):
    """mine/private with a file that git-lfs keeps, committed here; its bytes."""
    git, clone = Git(rig), rig.folder / "home" / "private"
    for words, at in ((["lfs", "install", "--skip-repo"], None), (["clone", "-q", "https://git.test/mine/private.git"], None), (["lfs", "track", "*.bin"], clone)):
        good, said = git(*words, at=at)
        assert good, said
    data = os.urandom(700000)
    (clone / "kept.bin").write_bytes(data)
    for words in (["add", "-A"], ["commit", "-qm", "two"]):
        good, said = git(*words, at=clone)
        assert good, said
    return git, clone, data


def with_lfs(rig):
    """git-lfs with the token: batch, locks, an object up and down again; not of somebody else's repository."""
    site = serve(rig)
    git, clone, data = commit_large(rig, site)
    good, said = git("push", "-q", "origin", "main", at=clone)
    assert good, said
    kept = [entry for entry in (site / "mine" / "private.git" / "lfs").iterdir()]
    assert len(kept) == 1 and kept[0].read_bytes() == data
    good, said = git("clone", "-q", "https://git.test/mine/private.git", "again")
    assert good and (rig.folder / "home" / "again" / "kept.bin").read_bytes() == data, said
    good, said = git("lfs", "locks", at=clone)
    assert good, said
    for path in ("theirs/private.git/info/lfs/objects/batch", "mine/private.git/info/lfs/other"):
        assert ask(rig, "/" + path, host="git.test", method="POST")[0] == 401, path
    assert not (site / "theirs" / "private.git" / "lfs").exists()


def lfs_without_push(rig):
    """An upload may be asked about, and goes nowhere."""
    site = serve(rig)
    git, clone, data = commit_large(rig, site)
    good, said = git("lfs", "push", "origin", "main", at=clone)
    assert not good, said
    assert not list((site / "mine" / "private.git").glob("lfs/*")), "an object came"


def without_lfs(rig):
    site = serve(rig)
    git, clone, data = commit_large(rig, site)
    good, said = git("lfs", "push", "origin", "main", at=clone)
    assert not good and not (site / "mine" / "private.git" / "lfs").exists(), said


# whether it may push, and use git-lfs
CASES = {"with_push": (True, False), "without_push": (False, False), "with_lfs": (True, True), "lfs_without_push": (False, True), "without_lfs": (True, False)}


def main():
    if len(sys.argv) == 2:  # one network namespace each
        for which in CASES:
            subprocess.run([sys.executable] + sys.argv + [which], check=True)
        return
    in_namespace()
    check = globals()[sys.argv[2]]
    with Rig(sys.argv[1], [(POLICY_LAYER_COMMAND, policy(*CASES[sys.argv[2]]))], {"repo": ("token", TOKEN)}) as rig:
        run(rig, check)


main()
