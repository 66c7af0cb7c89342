#!/usr/bin/env python3
"""Draws what `benchmarks/scale.sh`, the comparison with Kafka Streams and `benchmarks/soak.py` measured.

    benchmarks/plot.py [RESULTS] [NAME...]      default benchmarks/results, and all of scale, peers, soak

Reads RESULTS/NAME.ndjson where it is there; writes SVG files beside it. Needs matplotlib.
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

# the same input gives the same bytes
matplotlib.rcParams["svg.hashsalt"] = "sealpost"
SAVE = {"format": "svg", "metadata": {"Date": None}}
WHOLE = "settle, render, send"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def phase(report, workload, name):
    for result in report["results"]:
        if result["workload"] == workload:
            for one in result["phases"]:
                if one["phase"] == name:
                    return one
    return None


def streamed(report):
    """Whether it is of the runs that differ in the number of users."""
    return any(result["workload"] == "stream" for result in report["results"])


def population(reports, out):
    """Time, CPU and memory of a month's end against the number of users."""
    points = [(r["users"], phase(r, "burst", WHOLE)) for r in reports if streamed(r)]
    points.sort(key=lambda point: point[0])
    users = [count for count, _ in points]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    left.loglog(users, [p["seconds"] for _, p in points], "o-", label="wall")
    left.loglog(users, [p["cpu_seconds"] for _, p in points], "s--", label="CPU, both cores")
    first = points[0]
    left.loglog(users, [first[1]["seconds"] * u / first[0] for u in users], ":", label="in proportion")
    left.set(xlabel="users", ylabel="seconds", title="a month's end")
    left.legend()
    right.loglog(users, [p["peak_memory_bytes"] / 2**20 for _, p in points], "o-")
    right.set(xlabel="users", ylabel="MiB at the most", title="memory")
    figure.tight_layout()
    figure.savefig(out / "population.svg", **SAVE)


def spread(reports, out):
    """Users a second against partitions."""
    points = {}
    for report in reports:
        whole = phase(report, "burst", WHOLE)
        if whole and not streamed(report) and report["workers"] == min(2, report["partitions"]):
            points[report["partitions"]] = whole
    counts = sorted(points)
    figure, axis = plt.subplots(figsize=(5, 3.6))
    axis.semilogx(counts, [points[c]["per_second"] for c in counts], "o-", base=2)
    axis.set(xlabel="partitions", ylabel="users a second", title="a month's end, two workers of each stage")
    axis.set_ylim(bottom=0)
    figure.tight_layout()
    figure.savefig(out / "partitions.svg", **SAVE)


def peers(rows, out):
    """Beside Kafka Streams."""
    names = [row["contestant"] for row in rows]
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
    for axis, key, title in zip(
        axes,
        ["cpu_s", "peak_rss_mib", "restart_clean_s"],
        ["CPU seconds", "memory, MiB", "start to first outcome, s"],
    ):
        axis.bar(names, [row[key] for row in rows])
        axis.set_title(title)
        axis.tick_params(axis="x", labelrotation=20)
    figure.tight_layout()
    figure.savefig(out / "peers.svg", **SAVE)


def soak(rows, out):
    """Memory, disk and handles over the hours, with what happened to the process."""
    samples = [row for row in rows if row["kind"] == "sample" and "rss" in row]
    at = [row["at_s"] / 60 for row in samples]
    figure, (memory, disk, handles) = plt.subplots(3, 1, figsize=(9, 8), sharex=True)
    memory.plot(at, [row["rss"] / 2**20 for row in samples], ".-", markersize=2, linewidth=0.7)
    memory.set(ylabel="MiB", title="memory of the process")
    disk.plot(at, [row["log_bytes"] / 2**20 for row in samples], label="the log")
    disk.plot(at, [row["journal_bytes"] / 2**20 for row in samples], ":", label="of it, journals")
    disk.plot(at, [row["ledger_bytes"] / 2**20 for row in samples], "--", label="the provider's ledger")
    disk.set(ylabel="MiB", title="disk")
    disk.legend()
    handles.plot(at, [row["handles"] for row in samples], label="handles")
    handles.plot(at, [row["threads"] for row in samples], "--", label="threads")
    handles.plot(at, [row["log_files"] for row in samples], ":", label="files of the log")
    handles.set(ylabel="number", xlabel="minutes", title="handles and threads")
    handles.set_ylim(bottom=0)
    handles.legend()
    colours = {"SIGKILL": "tab:red", "SIGTERM": "tab:orange"}
    for axis in (memory, disk, handles):
        for row in rows:
            if row["kind"] == "close":
                axis.axvline(row["at_s"] / 60, color="0.85", linewidth=0.8, zorder=0)
            elif row["kind"] == "end":
                colour = colours[row["signal"]]
                axis.axvline(row["at_s"] / 60, ymax=0.06, color=colour, linewidth=1.2)
    marks = [plt.Line2D([], [], color=colour, label=f"ended with {name}") for name, colour in colours.items()]
    marks.append(plt.Line2D([], [], color="0.85", label="a period closes"))
    memory.legend(handles=marks, loc="upper left")
    figure.tight_layout()
    figure.savefig(out / "soak.svg", **SAVE)


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "benchmarks/results")
    pictures = {"scale": (population, spread), "peers": (peers,), "soak": (soak,)}
    for name in sys.argv[2:] or pictures:
        if (out / f"{name}.ndjson").exists():
            rows = lines(out / f"{name}.ndjson")
            for draw in pictures[name]:
                draw(rows, out)


if __name__ == "__main__":
    main()
