#!/usr/bin/env python3
"""Hours of a deployment's life on the embedded log: usage comes in all the time, periods close one
after the other, what failed is retried, and `run` is killed (`kill -9`, `SIGTERM`, in turns) and
started again. The last third of the time nobody touches it, so that a process grows old.

    benchmarks/soak.py [MINUTES]      default 60; --help for the rest

Memory, disk, handles and threads are sampled every five seconds. At the end: are the books of
every period balanced, was nobody left out, does the provider's ledger have anybody twice, and are
the bills the same to the won as those of a deployment that was given the same usage and that
nobody disturbed. Prints one line of JSON; OUT/soak.ndjson has the samples, OUT/soak.svg the picture.

Needs a release build (SEALPOST names the program) and Python; `cargo build --release -p
sealpost-topology --example log_contents` lets it tell what the log holds, matplotlib draws it.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAMPLE_S = 5.0
PORTION_S = 5.0
PARTITIONS = 8
SEED = 42
LATE_SHARE = 0.02  # of the usage, for the period before
TWICE_SHARE = 0.01  # of the usage comes a second time
FIRST_MONTH = (2026, 1)
SEOUL = datetime.timezone(datetime.timedelta(hours=9))
# so that a few of a hundred go by a second channel, and a few of a thousand fail altogether
REFUSED = {"email": 0.1, "sms": 0.3, "kakao": 0.5, "push": 0.5}
# A command whose `run` is killed under it fails; so it is given again.
ATTEMPTS_MAX = 60
# In which a message has ended, for this round
ENDS = ("sent", "failed", "unknown", "suppressed")


def period(cycle):
    months = FIRST_MONTH[0] * 12 + FIRST_MONTH[1] - 1 + cycle
    return f"{months // 12}-{months % 12 + 1:02}"


def portion(options, cycle, number):
    """The usage of one portion, as lines; the same arguments give the same lines."""
    draw = random.Random(f"{SEED}/{cycle}/{number}")
    kinds = [("data", 2 * 10**9), ("voice", 3_600), ("sms", 20), ("content", 5_000)]
    count = int(options.rate * PORTION_S)
    lines = []
    for event in range(count):
        of = cycle - 1 if cycle > 0 and draw.random() < LATE_SHARE else cycle
        year, month = (int(part) for part in period(of).split("-"))
        at = datetime.datetime(year, month, 1 + draw.randrange(28), tzinfo=SEOUL)
        at += datetime.timedelta(seconds=draw.randrange(86_400))
        kind, most = draw.choice(kinds)
        line = json.dumps(
            {
                "event_id": f"{cycle}-{number}-{event}",
                "user_id": 1 + draw.randrange(options.users),
                "occurred_at": at.isoformat(),
                "kind": kind,
                "quantity": draw.randrange(1, most),
            }
        )
        lines.append(line)
        if draw.random() < TWICE_SHARE:
            lines.append(line)
    return lines


def portions_of(options):
    return max(1, round(options.period_s / PORTION_S))


def part_of(file):
    """What a file of the data directory belongs to."""
    if file.startswith("provider-ledger/"):
        return "ledger"
    if file.endswith(".jnl"):
        return "journal"
    return next((part for part in ("tables", "blobs") if f"/{part}/" in file), "other")


def subscribers(options):
    plans = re.findall(r'code = "(PLN-\d+)"', (ROOT / "schemas/catalog/2026-01.toml").read_text())
    for user in range(1, options.users + 1):
        yield json.dumps(
            {
                "user_id": user,
                "name": f"Person {user}",
                "email": f"person-{user}@example.com",
                "phone": f"010-{user // 10_000:04}-{user % 10_000:04}",
                "push_token": f"token-{user:012}",
                "plan": plans[user % len(plans)],
            }
        )


def configuration(options, port):
    """Of a deployment; without a port, of one that only settles."""
    text = f'[log]\npartitions = {PARTITIONS}\nkeep_handled = "{options.keep_handled}"\n'
    text += "[windows]\nignore = true\n[policy]\nchannels = [" + ", ".join(f'"{c}"' for c in REFUSED) + "]\n"
    if port:
        text += f'[http]\nlisten = "127.0.0.1:{port}"\n'
    # everybody is sent to in a third of a period, so that a kill often meets open calls
    pace = max(1, int(3 * options.users / options.period_s))
    for channel, share in REFUSED.items():
        text += f"[channels.{channel}]\nlatency_ms = 50\nfailure_rate = {share}\nrate_per_second = {pace}\n"
    return text


class Deployment:
    """A folder with a configuration, keys, and a data directory."""

    def __init__(self, folder, sealpost, config):
        self.folder, self.sealpost = folder, sealpost
        self.data = folder / "data"
        folder.mkdir(parents=True)
        (folder / "sealpost.toml").write_text(config)

    def command(self, *arguments):
        return [
            self.sealpost,
            "--config",
            str(self.folder / "sealpost.toml"),
            "--data-dir",
            str(self.data),
            "--json",
            *arguments,
        ]

    def ask(self, *arguments):
        """What a command answers; `CalledProcessError` if it fails."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, cwd=self.folder, check=True)
        return json.loads(done.stdout) if done.stdout.strip() else None


class Soak:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.sealpost = str(pathlib.Path(os.environ.get("SEALPOST", ROOT / "target/release/sealpost")).resolve())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.site = Deployment(folder / "site", self.sealpost, configuration(options, self.port))
        self.rows, self.lock = [], threading.Lock()
        self.process = None
        self.over = threading.Event()
        self.closed = 0
        self.again = collections.Counter()
        self.wrong = []
        self.began = time.monotonic()
        self.cycles = max(1, int(options.minutes * 60 / options.period_s))
        self.undisturbed_at = self.cycles * options.period_s * 2 / 3

    def note(self, kind, **fields):
        row = {"kind": kind, "at_s": round(time.monotonic() - self.began, 1), **fields}
        with self.lock:
            self.rows.append(row)
            # as it comes: what is known by then outlives whatever ends the soak
            with (self.folder / "soak.ndjson").open("a") as told:
                told.write(json.dumps(row) + "\n")
        if kind != "sample":
            print(json.dumps(row), file=sys.stderr, flush=True)

    def fault(self, what):
        self.wrong.append(what)
        self.note("fault", what=what)

    def persist(self, *arguments, done=lambda: None):
        """Gives a command until it was done; `done` is asked before it is given again."""
        for _ in range(ATTEMPTS_MAX):
            try:
                return self.site.ask(*arguments)
            except subprocess.CalledProcessError as failed:
                line = (failed.stderr.strip().splitlines() or ["nothing was said"])[-1]
                self.again[f"{arguments[0]}: {re.sub(r'[0-9]+', 'N', line.replace(str(self.folder), ''))}"] += 1
                time.sleep(0.5)
                if (answer := done()) is not None:
                    return answer
        self.fault(f"{arguments[0]} was not done in {ATTEMPTS_MAX} attempts")
        return None

    # What comes in

    def usage(self, cycle):
        """The folder of what comes in until a period closes: kept for the undisturbed deployment."""
        folder = self.folder / "usage" / period(cycle)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def ingest(self):
        for cycle in range(self.cycles):
            for number in range(portions_of(self.options)):
                at = cycle * self.options.period_s + number * PORTION_S
                time.sleep(max(0.0, self.began + at - time.monotonic()))
                file = self.usage(cycle) / f"{number}.ndjson"
                file.write_text("\n".join(portion(self.options, cycle, number)) + "\n")
                self.persist("ingest", str(file))
            self.persist("close", period(cycle))
            self.closed = cycle + 1
            self.note("close", period=period(cycle))

    # What becomes of it

    def figures(self):
        """The metrics of the process that runs; empty where it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return {}
        found = {}
        for line in text.splitlines():
            if match := re.match(r"(sealpost_\w+)\{(.*)\} (\S+)$", line):
                labels = re.findall(r'="([^"]*)"', match[2])
                found[(match[1], *labels)] = float(match[3])
        return found

    def through(self, cycle):
        """Waits until every message of a period has ended; returns its books."""
        while True:
            figures = self.figures()
            ended = sum(figures.get(("sealpost_messages", state), 0) for state in ENDS)
            # books are read whole: they are asked for once it can be so
            if ended >= self.options.users * (cycle + 1):
                books = self.persist("status", period(cycle))
                if sum(books[state] for state in ENDS) == self.options.users:
                    return books
            time.sleep(2)

    def bill(self):
        for cycle in range(self.cycles):
            while self.closed <= cycle:
                time.sleep(0.5)
            first = books = self.through(cycle)
            if first["failed"]:
                self.persist("retry", period(cycle), done=lambda of=cycle: self.begun(of))
                # the command is taken up a moment later
                while books["failed"] == first["failed"] or sum(books[state] for state in ENDS) < self.options.users:
                    time.sleep(5)
                    books = self.persist("status", period(cycle))
            told = {key: books[key] for key in ("statements", "sent", "failed", "unknown", "version", "balanced")}
            self.note("billed", period=period(cycle), failed_at_first=first["failed"], **told)

    def begun(self, cycle):
        """The books of a period whose second round has begun, should its answer have been lost."""
        books = self.persist("status", period(cycle))
        return books if books["version"] > 0 else None

    # What happens to the process

    def start(self):
        log = open(self.folder / "run.stderr", "ab")
        self.process = subprocess.Popen(
            self.site.command("run"), stdout=subprocess.DEVNULL, stderr=log, cwd=self.site.folder
        )
        log.close()
        began = time.monotonic()
        while self.process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5).close()
                break
            except OSError:
                time.sleep(0.02)
        self.note("ready", after_s=round(time.monotonic() - began, 2))

    def end(self, how):
        began = time.monotonic()
        self.note("end", signal=how.name)
        self.process.send_signal(how)
        code = self.process.wait()
        if code != (-how if how == signal.SIGKILL else 0):
            self.fault(f"run ended with {code} after {how.name}")
        return round(time.monotonic() - began, 2)

    def disturb(self):
        draw = random.Random(SEED)
        turn = 0
        while not self.over.is_set():
            until = time.monotonic() + self.options.kill_s * draw.uniform(0.8, 1.2)
            left_alone = until - self.began >= self.undisturbed_at
            while not self.over.wait(0.2) and (left_alone or time.monotonic() < until):
                if self.process.poll() is not None:
                    self.fault(f"run ended by itself with {self.process.returncode}")
                    self.start()
            if self.over.is_set():
                break
            self.end([signal.SIGKILL, signal.SIGTERM][turn % 2])
            turn += 1
            self.start()

    # What it takes

    def sample(self):
        while not self.over.wait(SAMPLE_S):
            row = {"closed": self.closed, **self.of_process(), **self.on_disk()}
            for key, value in self.figures().items():
                if key[0] == "sealpost_store_entries":
                    row[f"entries_{key[1]}"] = int(value)
            self.note("sample", **row)

    def of_process(self):
        """Memory, threads and handles of the process that runs; nothing where it has just ended."""
        there = pathlib.Path(f"/proc/{self.process.pid}")
        try:
            status = dict(re.findall(r"^(\w+):\s+(\d+)", (there / "status").read_text(), re.M))
            handles = [os.readlink(entry.path) for entry in os.scandir(there / "fd")]
            return {
                "pid": self.process.pid,
                "rss": int(status["VmRSS"]) << 10,
                "rss_of_files": int(status["RssFile"]) << 10,
                "threads": int(status["Threads"]),
                "handles": len(handles),
                "handles_of_log": sum(str(self.site.data / "log") in handle for handle in handles),
            }
        except (OSError, KeyError):
            return {}

    def on_disk(self):
        """Bytes and files of the data directory: the log's journals, its tables and its blobs (the
        batches), and the provider's ledger, which is not the deployment's."""
        bytes_of, files_of, allocated = collections.Counter(), collections.Counter(), 0
        folders = [self.site.data]
        while folders:
            try:
                entries = list(os.scandir(folders.pop()))
            except FileNotFoundError:
                continue
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                        continue
                    there = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                part = part_of(entry.path[len(str(self.site.data)) + 1 :])
                bytes_of[part] += there.st_size
                files_of[part] += 1
                if part != "ledger":
                    allocated += there.st_blocks * 512
        row = {f"{part}_bytes": bytes_of[part] for part in ("journal", "tables", "blobs", "ledger")}
        log = ("journal", "tables", "blobs", "other")
        row["log_files"] = sum(files_of[part] for part in log)
        return {**row, "log_bytes": sum(bytes_of[part] for part in log), "allocated_bytes": allocated}

    # The whole

    def go(self):
        self.site.ask("keys", "generate")
        people = self.folder / "subscribers.ndjson"
        people.write_text("\n".join(subscribers(self.options)) + "\n")
        self.site.ask("ingest", str(people))
        self.began = time.monotonic()
        self.start()
        watching = [threading.Thread(target=self.whole(work), daemon=True) for work in (self.disturb, self.sample)]
        working = [threading.Thread(target=self.whole(work), daemon=True) for work in (self.ingest, self.bill)]
        for thread in watching + working:
            thread.start()
        for thread in working:
            thread.join()
        self.over.set()
        for thread in watching:
            thread.join()
        self.note("stopped", after_s=self.end(signal.SIGTERM))
        self.site.ask("run", "--drain")
        result = self.result()
        self.note("result", **result)
        out = pathlib.Path(self.options.out)
        out.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / "soak.ndjson", out)
        print(json.dumps(result))
        plotted = subprocess.run(
            [sys.executable, str(ROOT / "benchmarks/plot.py"), str(out), "soak"],
            capture_output=True,
            text=True,
            check=False,
        )
        if plotted.returncode:
            print(f"not drawn: {plotted.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return 0 if result["passed"] else 1

    def whole(self, work):
        def guarded():
            try:
                work()
            except BaseException:
                # the others would wait for it for ever
                traceback.print_exc()
                self.process.kill()
                os._exit(1)

        return guarded

    def ledger(self):
        """How often the provider took a message of each (user, period)."""
        taken, calls = collections.Counter(), 0
        for file in sorted((self.site.data / "provider-ledger").iterdir()):
            for line in file.read_text().split("\n")[:-1]:
                if not line:
                    continue
                event = json.loads(line)
                calls += event["event"] == "call"
                if event["event"] == "accepted":
                    taken[(event["user_id"], event["period"], event["kind"])] += 1
        return taken, calls

    def undisturbed(self):
        """Totals by period of a deployment with the same inputs that only settles, once."""
        site = Deployment(self.folder / "undisturbed", self.sealpost, configuration(self.options, None))
        shutil.copy(self.site.folder / "keys.json", site.folder)
        site.ask("ingest", str(self.folder / "subscribers.ndjson"))
        for cycle in range(self.cycles):
            site.ask("ingest", str(self.usage(cycle)))
            site.ask("close", period(cycle))
        site.ask("run", "--drain", "--stages", "settle")
        return {books["period"]: (books["statements"], books["total_won"]) for books in site.ask("status")}

    def contents(self):
        """What the log holds, by topic, where the program that looks is there."""
        program = pathlib.Path(os.environ.get("LOG_CONTENTS", ROOT / "target/release/examples/log_contents"))
        if not program.exists():
            return None
        done = subprocess.run(
            [program, self.site.data / "log", str(PARTITIONS)], capture_output=True, text=True, check=True
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    def result(self):
        books = {one["period"]: one for one in self.site.ask("status")}
        taken, calls = self.ledger()
        users_taken = collections.Counter(of for _, of, _ in taken)
        users = self.options.users
        expected = self.undisturbed()
        missing = unequal = 0
        for of in map(period, range(self.cycles)):
            one = books.get(of, collections.Counter())
            missing += users - one["statements"] + abs(one["sent"] - users_taken[of])
            missing += users - sum(one[state] for state in ("sent", "failed", "unknown"))
            unequal += (one["statements"], one["total_won"]) != expected.get(of)
        ends = collections.Counter(row["signal"] for row in self.rows if row["kind"] == "end")
        numbers = {
            "log": "embedded",
            "users": users,
            "events_per_second": self.options.rate,
            "period_s": self.options.period_s,
            "minutes": round((time.monotonic() - self.began) / 60, 1),
            "periods": self.cycles,
            "kills": ends["SIGKILL"],
            "stops": ends["SIGTERM"] - 1,
            "restart_s_max": max(row["after_s"] for row in self.rows if row["kind"] == "ready"),
            "calls": calls,
            "sent": sum(one["sent"] for one in books.values()),
            "failed": sum(one["failed"] for one in books.values()),
            "unknown": sum(one["unknown"] for one in books.values()),
            "unbalanced_periods": sum(not one["balanced"] for one in books.values()),
            "missing": missing,
            "accepted_twice": sum(count > 1 for count in taken.values()),
            "dead_letters": max(one["dead_letters"] for one in books.values()),
            "periods_unlike_undisturbed": unequal,
            "commands_given_again": sum(self.again.values()),
            "why_given_again": dict(self.again),
            "faults": self.wrong,
        }
        wrong = (
            "unbalanced_periods",
            "missing",
            "accepted_twice",
            "dead_letters",
            "unknown",
            "periods_unlike_undisturbed",
            "faults",
        )
        return {
            "passed": not any(numbers[key] for key in wrong),
            **numbers,
            "growth": growth(self.rows),
            "contents": self.contents(),
        }


# What grew


def slope(points):
    """By least squares; none of fewer than three points."""
    if len(points) < 3:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def growth(rows):
    """By how much each figure's maximum of a period grows from one period to the next, the first
    two aside: while the process is killed again and again, and while it is left alone."""
    last_start = max(row["at_s"] for row in rows if row["kind"] == "ready")
    samples = [row for row in rows if row["kind"] == "sample" and "rss" in row]
    by_cycle = collections.defaultdict(list)
    for row in samples:
        by_cycle[row["closed"]].append(row)
    cycles = sorted(by_cycle)[2:-1]
    alone = [cycle for cycle in cycles if by_cycle[cycle][0]["at_s"] > last_start]
    disturbed = [cycle for cycle in cycles if cycle not in alone]
    keys = ["rss", "rss_of_files", "threads", "handles", "log_bytes", "journal_bytes", "tables_bytes"]
    keys += ["blobs_bytes", "allocated_bytes", "ledger_bytes", "log_files"]
    keys += ["entries_settle", "entries_render", "entries_send"]
    found = {"disturbed_periods": len(disturbed), "alone_periods": len(alone)}
    for key in keys:
        peak = {cycle: max(row.get(key, 0) for row in by_cycle[cycle]) for cycle in cycles}
        found[key] = {
            "most": max((row.get(key, 0) for row in samples), default=None),
            "last": samples[-1].get(key) if samples else None,
            "per_period_disturbed": rounded(slope([(cycle, peak[cycle]) for cycle in disturbed])),
            "per_period_alone": rounded(slope([(cycle, peak[cycle]) for cycle in alone])),
        }
    return found


def rounded(number):
    return None if number is None else round(number, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", nargs="?", type=float, default=60)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--rate", type=int, default=2_000, help="usage events a second [default: %(default)s]")
    parser.add_argument(
        "--period-s", type=float, default=150, help="seconds until a period closes [default: %(default)s]"
    )
    parser.add_argument(
        "--kill-s", type=float, default=90, help="about how long a process lives [default: %(default)s]"
    )
    parser.add_argument("--keep-handled", default="10m", help="log.keep_handled [default: %(default)s]")
    parser.add_argument("--out", default=str(ROOT / "benchmarks/results"))
    parser.add_argument("--keep", action="store_true", help="leave the deployment where it is, and say where")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sealpost-soak."))
    soak = Soak(options, folder)
    try:
        return soak.go()
    finally:
        if soak.process:
            soak.process.kill()
        if options.keep:
            print(f"left in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
