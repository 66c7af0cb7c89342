#!/usr/bin/env bash
# What exactly-once costs on Kafka: the same job with a transaction for each step and without, in
# turns, on one broker.
#
#   benchmarks/guarantee.sh [USERS] [TURNS]      default 100000 users, 3 turns; ten events each
#
# Prints a line of JSON for each turn, and the ratio of the medians. Needs Java 17 and Maven (see
# testkit/kafka.sh), a release build, and makes another one, whose steps are no transactions.
set -euo pipefail
cd "$(dirname "$0")/.."

users=${1:-100000} turns=${2:-3}
exactly_once=${SEALPOST:-target/release/sealpost}
at_least_once=${SEALPOST_AT_LEAST_ONCE:-target/at-least-once/release/sealpost}
if [ -z "${SEALPOST_AT_LEAST_ONCE:-}" ]; then
    cargo build --release --locked --features at-least-once --target-dir target/at-least-once --bin sealpost
fi
directory=$(mktemp -d "${TMPDIR:-/tmp}/sealpost-guarantee.XXXXXX")
trap 'testkit/kafka.sh stop "$directory/kafka" >/dev/null 2>&1 || true; rm -rf "$directory"' EXIT
bootstrap=$(testkit/kafka.sh start 1 "$directory/kafka" --owner $$)

seconds() { # of the wall and of this process's CPU
    local TIMEFORMAT='%R %U %S'
    { time "$@" >/dev/null 2>&1; } 2>&1 | tail -n 1
}

# One run, on topics of its own. Everybody must have been sent to or have failed.
run() {
    local guarantee=$1 sealpost=$2 turn=$3 config="$directory/$1-$3.toml" data="$directory/$1-$3"
    cat >"$config" <<TOML
[log]
backend = "kafka"
partitions = 8
topic_prefix = "$guarantee-$turn."
[log.kafka]
bootstrap_servers = "$bootstrap"
[keys]
file = "$directory/keys.json"
[windows]
ignore = true
[channels.email]
failure_rate = 0.01
max_in_flight = 4000
TOML
    local command=("$sealpost" --config "$config" --data-dir "$data")
    if [ ! -e "$directory/in" ]; then
        "${command[@]}" keys generate >/dev/null
        "${command[@]}" seed --users "$users" --period 2026-01 --out "$directory/in" >/dev/null
    fi
    "${command[@]}" ingest "$directory/in" >/dev/null
    "${command[@]}" close 2026-01 >/dev/null
    local whole idle sent
    whole=$(seconds "${command[@]}" run --drain)
    # to join, to read the stores back and to leave: that is no throughput
    idle=$(seconds "${command[@]}" run --drain)
    sent=$("${command[@]}" status 2026-01 --json | sed -n 's/.*"sent":\([0-9]*\).*/\1/p')
    awk -v guarantee="$guarantee" -v users="$users" -v whole="$whole" -v idle="$idle" -v sent="$sent" 'BEGIN {
        split(whole, w, " "); split(idle, i, " ");
        printf "{\"guarantee\": \"%s\", \"users\": %d, \"sent\": %d, \"run_s\": %.2f, \"cpu_s\": %.2f, \"idle_run_s\": %.2f}\n",
            guarantee, users, sent, w[1], w[2] + w[3], i[1];
    }'
    rm -rf "$data"
}

for turn in $(seq "$turns"); do
    run exactly-once "$exactly_once" "$turn"
    run at-least-once "$at_least_once" "$turn"
done | tee "$directory/turns"

awk -F'[:,}]' '
    { gsub(/[" ]/, "", $2); run[$2] = run[$2] " " $8 + 0; cpu[$2] = cpu[$2] " " $10 + 0 }
    function median(text, all, n, i, j, t) {
        n = split(text, all, " ");
        for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (all[j] < all[i]) { t = all[i]; all[i] = all[j]; all[j] = t }
        return all[int((n + 1) / 2)]
    }
    END {
        printf "{\"run_ratio\": %.3f, \"cpu_ratio\": %.3f}\n",
            median(run["exactly-once"]) / median(run["at-least-once"]),
            median(cpu["exactly-once"]) / median(cpu["at-least-once"])
    }' "$directory/turns"
