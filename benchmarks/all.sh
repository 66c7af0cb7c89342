#!/usr/bin/env bash
# The whole report anew: every figure of benchmarks/README.md but the soak and the crashes, which have commands of their own.
#
#   benchmarks/all.sh [USERS]      default 1000000; ten events each; with a million, half an hour on two cores
#
# Writes benchmarks/results (JSON lines, and SVG beside them). Leave the machine alone meanwhile. Needs Java 17 and
# Maven (testkit/kafka.sh), GNU time, perf, inferno and matplotlib; what one part misses is said there, and the others go on.
set -uo pipefail
cd "$(dirname "$0")/.."

users=${1:-1000000}
tenth=$((users / 10))
cargo build --release --locked || exit 1
results=benchmarks/results
failed=()
part() { # NAME COMMAND…: its lines go to results/NAME.ndjson once it is through
    echo "== $1" >&2
    if "${@:2}" >"$results/$1.new"; then
        mv "$results/$1.new" "$results/$1.ndjson"
    else
        failed+=("$1")
        rm -f "$results/$1.new"
    fi
}
floor() {
    local directory
    directory=$(mktemp -d "${TMPDIR:-/tmp}/sealpost-floor.XXXXXX")
    local command=(target/release/sealpost --data-dir "$directory/data")
    printf '[keys]\nfile = "%s/keys.json"\n' "$directory" >"$directory/sealpost.toml"
    command+=(--config "$directory/sealpost.toml")
    "${command[@]}" keys generate >/dev/null &&
        "${command[@]}" seed --users $((users / 5)) --period 2026-01 --out "$directory/in" >/dev/null &&
        cargo run --quiet --release --locked -p sealpost-benchmarks -- "$directory/in" "$directory/keys.json"
    local status=$?
    rm -rf "$directory"
    return $status
}
stream() { # how long events wait on Kafka at half of the peak
    local directory bootstrap status
    directory=$(mktemp -d "${TMPDIR:-/tmp}/sealpost-stream.XXXXXX")
    bootstrap=$(testkit/kafka.sh start 1 "$directory/kafka" --owner $$)
    printf '[log]\nbackend = "kafka"\npartitions = 8\n[log.kafka]\nbootstrap_servers = "%s"\n' "$bootstrap" >"$directory/sealpost.toml"
    target/release/sealpost --config "$directory/sealpost.toml" --data-dir "$directory/data" --json \
        bench --users "$tenth" --workload stream
    status=$?
    testkit/kafka.sh stop "$directory/kafka" >/dev/null 2>&1
    rm -rf "$directory"
    return $status
}

part floor floor
# no user of the smallest population gets more events than 1,200, as with a million: an id is looked for among all of them
rate=$((users / 100 * 40))
SEALPOST_SCALE_USERS="$((users / 100)) $tenth $users" SEALPOST_SCALE_RATE="$((rate < 400000 ? rate : 400000))" \
    benchmarks/scale.sh || failed+=(scale)
part stream-kafka stream
part kafka benchmarks/kafka.sh "$users"
part guarantee benchmarks/guarantee.sh $((users / 5)) 5
part peers-tenth benchmarks/peers/kafka-streams/run.sh "$tenth"
part peers benchmarks/peers/kafka-streams/run.sh "$users"
benchmarks/flame.sh "$tenth" || failed+=(flame)
benchmarks/plot.py || failed+=(plot)
if [ ${#failed[@]} -gt 0 ]; then
    echo "not measured anew: ${failed[*]}" >&2
    exit 1
fi
