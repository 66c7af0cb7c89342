#!/usr/bin/env bash
# Where the CPU time of `run` goes, as flame graphs: on the embedded log, and on a Kafka broker.
#
#   benchmarks/flame.sh [USERS]      default 100000, ten events each; writes benchmarks/results/flame-*.svg
#
# Prints what each kind of thread took. Needs perf, `cargo install inferno`, a release build, and for
# Kafka Java 17 and Maven (see testkit/kafka.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

users=${1:-100000}
sealpost=$(realpath "${SEALPOST:-target/release/sealpost}")
directory=$(mktemp -d "${TMPDIR:-/tmp}/sealpost-flame.XXXXXX")
trap 'testkit/kafka.sh stop "$directory/kafka" >/dev/null 2>&1 || true; rm -rf "$directory"' EXIT

# Threads of one kind are one tower; what lies below a stage's own work is left out.
tidy() {
    sed -E 's/^(settle|render|send)-[0-9]+;/\1;/; s/^(fjall)[^;]*;/\1;/; s/^rdk:[^;]*;/librdkafka;/; s/^(tokio)[^;]*;/\1;/' |
        sed -E 's/;(clone3|start_thread|__GI___clone3|__libc_start[^;]*|[^;]*thread_start|[^;]*call_once[^;]*|[^;]*__rust_begin_short_backtrace)//g'
}

profile() {
    local backend=$1 config="$directory/$1.toml" data="$directory/$1"
    { cat; printf '[keys]\nfile = "%s/keys.json"\n[windows]\nignore = true\n[channels.email]\nfailure_rate = 0.01\nmax_in_flight = 4000\n' "$directory"; } >"$config"
    local command=("$sealpost" --config "$config" --data-dir "$data")
    if [ ! -e "$directory/in" ]; then
        "${command[@]}" keys generate >/dev/null
        "${command[@]}" seed --users "$users" --period 2026-01 --out "$directory/in" >/dev/null
    fi
    "${command[@]}" ingest "$directory/in" >/dev/null
    "${command[@]}" close 2026-01 >/dev/null
    perf record --quiet --freq 499 --call-graph dwarf,16384 --output "$directory/$backend.perf" \
        "${command[@]}" run --drain >/dev/null
    perf script --no-inline --input "$directory/$backend.perf" 2>/dev/null |
        inferno-collapse-perf --quiet | tidy >"$directory/$backend.folded"
    awk -v backend="$backend" '{ count = $NF; sub(/;.*/, ""); sum[$1] += count; all += count }
        END { for (thread in sum) printf "%s %5.1f %% %s\n", backend, 100 * sum[thread] / all, thread }' \
        "$directory/$backend.folded" | sort -k2 -rn
    inferno-flamegraph --quiet --minwidth 0.4 --hash --colors rust \
        --title "run --drain on the $backend log, $users users" \
        "$directory/$backend.folded" >"benchmarks/results/flame-$backend.svg"
}

profile embedded <<'TOML'
[log]
backend = "embedded"
partitions = 8
TOML
bootstrap=$(testkit/kafka.sh start 1 "$directory/kafka" --owner $$)
profile kafka <<TOML
[log]
backend = "kafka"
partitions = 8
[log.kafka]
bootstrap_servers = "$bootstrap"
TOML
