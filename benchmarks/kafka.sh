#!/usr/bin/env bash
# The pipeline on one Kafka broker of this machine, beside the broker's own rate for as many bytes.
#
#   benchmarks/kafka.sh [USERS]      default 100000; ten events each
#
# Prints one line of JSON. Needs Java 17 and Maven (see testkit/kafka.sh) and a release build.
set -euo pipefail
cd "$(dirname "$0")/.."

users=${1:-100000}
sealpost=${SEALPOST:-target/release/sealpost}
directory=$(mktemp -d "${TMPDIR:-/tmp}/sealpost-bench.XXXXXX")
trap 'testkit/kafka.sh stop "$directory/kafka" >/dev/null 2>&1 || true; rm -rf "$directory"' EXIT
bootstrap=$(testkit/kafka.sh start 1 "$directory/kafka" --owner $$)

cat >"$directory/sealpost.toml" <<TOML
[log]
backend = "kafka"
partitions = 8
[log.kafka]
bootstrap_servers = "$bootstrap"
[windows]
ignore = true
[channels.email]
failure_rate = 0.01
max_in_flight = 4000
TOML
run() { "$sealpost" --config "$directory/sealpost.toml" --data-dir "$directory/data" "$@" >/dev/null; }
seconds() { # of the wall and of this process's CPU
    local TIMEFORMAT='%R %U %S'
    { time "$@" 2>/dev/null; } 2>&1 | tail -n 1
}
tool() { testkit/kafka.sh run - "$@"; }

run keys generate
run seed --users "$users" --period 2026-01 --out "$directory/in"
ingest=$(seconds run ingest "$directory/in")
run close 2026-01
whole=$(seconds run run --drain)
# everything is done: what is left is to join, and to read the stores back
restore_with_copies=$(seconds run run --drain)
rm -rf "$directory/data/copies"
restore_without=$(seconds run run --drain)

# What the topics hold, as the brokers have it on disk, and how many records that is.
bytes=$(find "$directory/kafka" -path '*sealpost.*' -name '*.log' -printf '%s\n' | awk '{sum += $1} END {print sum}')
records=$(tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$bootstrap" --topic 'sealpost\..*' 2>/dev/null |
    awk -F: '{sum += $3} END {print sum}')
# As many records of the same mean size on disk, sent as fast as the broker takes them.
size=$((bytes / records))
tool kafka.admin.ConfigCommand --version >/dev/null 2>&1 || true
tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$bootstrap" --create --topic raw --partitions 8 >/dev/null 2>&1
raw=$(tool org.apache.kafka.tools.ProducerPerformance --topic raw --num-records "$records" --record-size "$size" \
    --throughput -1 --producer-props bootstrap.servers="$bootstrap" acks=all linger.ms=5 batch.size=262144 2>/dev/null | tail -n 1)
raw_seconds=$(awk -v records="$records" '{for (i = 1; i <= NF; i++) if ($i == "records/sec") print records / $(i - 1)}' <<<"$raw")

awk -v users="$users" -v ingest="$ingest" -v whole="$whole" -v with="$restore_with_copies" -v without="$restore_without" \
    -v bytes="$bytes" -v records="$records" -v raw="$raw_seconds" 'BEGIN {
        split(ingest, i, " "); split(whole, w, " "); split(with, a, " "); split(without, b, " ");
        printf "{\"users\": %d, \"ingest_s\": %.1f, \"run_s\": %.1f, \"run_cpu_s\": %.1f, ", users, i[1], w[1], w[2] + w[3];
        printf "\"restart_with_copies_s\": %.1f, \"restart_without_s\": %.1f, ", a[1], b[1];
        printf "\"records\": %d, \"bytes_on_disk\": %d, \"raw_s\": %.1f, \"ratio\": %.2f}\n", records, bytes, raw, raw / (i[1] + w[1]);
    }'
