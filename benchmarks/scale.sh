#!/usr/bin/env bash
# How the embedded log scales on this machine: population, partitions, workers.
#
#   benchmarks/scale.sh [OUT]      default benchmarks/results/scale.ndjson; one report of `sealpost bench` a line
#
# Takes some fifteen minutes. SEALPOST names the program, SEALPOST_SCALE_USERS the populations (default "10000 100000
# 1000000"), SEALPOST_SCALE_PARTITIONS and SEALPOST_SCALE_WORKERS what is tried with the second of them,
# SEALPOST_SCALE_RATE the events a second of the stream.
# `benchmarks/plot.py` draws it.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-benchmarks/results/scale.ndjson}
sealpost=${SEALPOST:-target/release/sealpost}
read -ra users <<<"${SEALPOST_SCALE_USERS:-10000 100000 1000000}"
read -ra partitions <<<"${SEALPOST_SCALE_PARTITIONS:-1 2 4 8 16 32 64}"
read -ra workers <<<"${SEALPOST_SCALE_WORKERS:-1 2}"
directory=$(mktemp -d "${TMPDIR:-/tmp}/sealpost-scale.XXXXXX")
trap 'rm -rf "$directory"' EXIT
mkdir -p "$(dirname "$out")"
: >"$out"

bench() { # USERS PARTITIONS WORKERS WORKLOADS [OPTION…]
    echo "users $1, partitions $2, workers of each stage $3: $4" >&2
    SEALPOST__LOG__PARTITIONS=$2 SEALPOST__RUN__WORKERS=$3 \
        "$sealpost" --data-dir "$directory" --json bench --users "$1" --workload "$4" "${@:5}" >>"$out"
}
# one rate for all: what a few users take at full speed says little of when each has thousands of events
for count in "${users[@]}"; do bench "$count" 8 2 burst,stream --rate "${SEALPOST_SCALE_RATE:-400000}"; done
middle=${users[1]:-${users[0]}}
for count in "${partitions[@]}"; do bench "$middle" "$count" 2 burst; done
for count in "${workers[@]}"; do bench "$middle" 8 "$count" burst; done
