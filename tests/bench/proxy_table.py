#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: proxy_table.py FILE: what proxy.py found, as tables for docs/benchmarks.md. Medians of the rounds."""
import json
import statistics
import sys

OTHERS = ("nginx", "squid", "mitmproxy")


def middle(results, key):
    return statistics.median(r[key] for r in results) if results else None


def per_cpu(results):
    found = [r["requests"] / r["cpu"] for r in results if r["cpu"] > 0]
    return statistics.median(found) if found else None


def number(value, digits=0):
    return "-" if value is None else f"{value:.{digits}f}"


def ratio(ours, theirs):
    return "-" if ours is None or not theirs else f"{ours / theirs:.2f}"


def rates(title, rows):
    print(f"\n| {title} | binding | none | nginx | squid | mitmproxy | binding : nginx | none : nginx | by processor time, binding | none |\n|" + "---|" * 10)
    for row, found in rows.items():
        ours = [found.get(f"ours, {kind}", []) for kind in ("binding", "none")]
        nginx = found.get("nginx", [])
        cells = [number(middle(results, "rate")) for results in ours + [found.get(name, []) for name in OTHERS]]
        cells += [ratio(middle(results, "rate"), middle(nginx, "rate")) for results in ours]
        cells += [ratio(per_cpu(results), per_cpu(nginx)) for results in ours]
        print(f"| {row} | " + " | ".join(cells) + " |")


def latencies(rows):
    names = ("ours, binding", "ours, none") + OTHERS
    print("\n| added latency, us, p50 / p99 | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for row, found in rows.items():
        direct = [middle(found["direct"], key) for key in ("p50_us", "p99_us")]
        cells = []
        for name in names:
            values = [middle(found.get(name, []), key) for key in ("p50_us", "p99_us")]
            cells.append("-" if values[0] is None else " / ".join(number(v - d) for v, d in zip(values, direct)))
        print(f"| {row} | " + " | ".join(cells) + " |")


def memory(rows):
    print("\n| private and dirty, KiB, by process | idle | with 1000 connections | after |\n|---|---|---|---|")
    for row, found in rows.items():
        print(f"| {row} ({found['held']} connections) | " + " | ".join(", ".join(str(v) for v in found[when].values()) for when in ("before", "with", "after")) + " |")


def main():
    result = json.load(open(sys.argv[1]))
    if "rows" in result:
        rates("requests per second", result["rows"])
    if "latency" in result:
        latencies(result["latency"])
    if "bulk" in result:
        rates("MiB per second", result["bulk"])
    if "memory" in result:
        memory(result["memory"])


main()
