#!/usr/bin/env bash
# sealpost and its peer on Kafka Streams, in turns, on one Kafka broker of this machine and on the same input records.
#
#   benchmarks/peers/kafka-streams/run.sh [USERS]      default 100000; ten events each
#
# Prints one line of JSON for each contestant (sealpost, Kafka Streams with RocksDB, with stores in memory):
#   wall_s, cpu_s, peak_rss_mib   of the process that settles, renders and sends everything, from its start to its end
#   restart_clean_s               from a start after an orderly end to the first outcome of a new user, committed
#   restart_killed_s              the same after kill -9
#   statements, total_won         as status says, or as the statements topic of the peer holds them
#   same_statements, same_dispatches   records of the peer that are byte for byte sealpost's
#   load                          load average of the machine when the run began
# Exit code 1 if the peer's totals are not sealpost's.
#
# PEER_HEAP sets the heap of both peers, PEER_SETTINGS any settings of Kafka Streams as name=value.
# Needs Java 17 and Maven (see testkit/kafka.sh), GNU time and a release build (SEALPOST=…).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd -P)
cd "$here/../../.."

users=${1:-100000}
sealpost=$(realpath "${SEALPOST:-target/release/sealpost}")
version=${SEALPOST_KAFKA_VERSION:-$(sed -n 's/^KAFKA_VERSION=.*:-\(.*\)}$/\1/p' testkit/kafka.sh)}
mvn -q -B -f "$here/pom.xml" -Dkafka.version="$version" package </dev/null >&2

directory=$(mktemp -d "${TMPDIR:-/tmp}/sealpost-peer.XXXXXX")
started=()
clean_up() {
    for pid in "${started[@]}"; do kill -s KILL "$pid" 2>/dev/null || true; done
    testkit/kafka.sh stop "$directory/kafka" >/dev/null 2>&1 || true
    rm -rf "$directory"
}
trap clean_up EXIT
bootstrap=$(testkit/kafka.sh start 1 "$directory/kafka" --owner $$)

configure() { # PREFIX
    cat <<TOML
[log]
backend = "kafka"
partitions = 8
topic_prefix = "$1"
[log.kafka]
bootstrap_servers = "$bootstrap"
instance_id = "sealpost"
group_protocol = "classic"
[keys]
file = "keys.json"
[windows]
ignore = true
[channels.email]
failure_rate = 0.01
max_in_flight = 4000
TOML
}
configure sealpost. >"$directory/sealpost.toml"
configure warm. >"$directory/warm.toml"
ours() { # CONFIGURATION ARG…
    local name=$1
    shift
    "$sealpost" --config "$directory/$name.toml" --data-dir "$directory/data-$name" "$@"
}

# The JVM: the collector that takes the least CPU, and a heap in which it seldom has to run; for stores in memory
# 4 KiB a user more. The classes come from an archive, which shortens the start.
archive=$directory/classes.jsa
options=(-XX:+UseParallelGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$here/target/peer.jar:$here/target/lib/*")
heap() { # STORES
    if [[ -n ${PEER_HEAP-} ]]; then
        echo "-Xmx$PEER_HEAP"
    elif [[ $1 == memory ]]; then
        echo "-Xmx$((1024 + users * 4 / 1024))m"
    else
        echo -Xmx1024m
    fi
}
peer() { # rocksdb|memory ARG…: in the place of this shell
    local stores=$1
    shift
    # shellcheck disable=SC2086
    exec "${timed[@]}" java "$(heap "$stores")" -XX:SharedArchiveFile="$archive" -Xshare:auto -Xlog:cds=off "${options[@]}" sealpost.peer.Peer \
        "$bootstrap" sealpost. "peer-$stores." "$stores" "$directory/keys.json" "$directory/state-$stores" "$@" ${PEER_SETTINGS-}
}
contestant() { # sealpost|rocksdb|memory [--drain]: in the place of this shell
    if [[ $1 == sealpost ]]; then
        exec "${timed[@]}" "$sealpost" --config "$directory/sealpost.toml" --data-dir "$directory/data-sealpost" run "${@:2}"
    fi
    peer "$@"
}
timed=()
topic_of() { # CONTESTANT
    if [[ $1 == sealpost ]]; then echo sealpost.deliveries; else echo "peer-$1.deliveries"; fi
}

# A small period first, under another prefix: the broker's own topics are made and its code is compiled before the
# first contestant comes, and the peer's class archive is written.
ours warm keys generate >/dev/null
ours warm seed --users 200 --period 2026-01 --seed 7 --out "$directory/warm-in" >/dev/null
ours warm ingest "$directory/warm-in" >/dev/null
ours warm close 2026-01 >/dev/null
ours warm run --drain >/dev/null 2>&1
java -XX:ArchiveClassesAtExit="$archive" -Xlog:disable "${options[@]}" sealpost.peer.Peer "$bootstrap" warm. warm-peer. \
    rocksdb "$directory/keys.json" "$directory/state-warm" --drain >/dev/null

ours sealpost seed --users "$users" --period 2026-01 --out "$directory/in" >/dev/null
ours sealpost ingest "$directory/in" >/dev/null
ours sealpost close 2026-01 >/dev/null

contestants=(sealpost rocksdb memory)
for name in "${contestants[@]}"; do
    cut -d' ' -f1 /proc/loadavg >"$directory/$name.load"
    (
        timed=(/usr/bin/time -o "$directory/$name.time" -f '%e %U %S %M')
        contestant "$name" --drain >"$directory/$name.out" 2>"$directory/$name.err"
    ) || {
        grep -v '^[[:space:]]at ' "$directory/$name.err" | head -n 20 >&2
        exit 1
    }
done
ours sealpost status 2026-01 --json >"$directory/status.json"
equal=0
for name in rocksdb memory; do
    java "${options[@]}" sealpost.peer.Compare "$bootstrap" sealpost. "peer-$name." >"$directory/$name.compared" || equal=1
done

# One more user, whom the next close settles; then how long each takes to bring the outcome of that.
one_more() { # USER
    printf 'user_id,name,email,phone,plan\n%s,홍길동,gildong@example.com,010-0000-0000,PLN-001\n' "$1" >"$directory/$1.csv"
    ours sealpost ingest "$directory/$1.csv" >/dev/null
    ours sealpost close 2026-01 >/dev/null
}
restart() { # CONTESTANT: prints seconds, and leaves it killed
    local watcher app began
    rm -f "$directory/watch"
    java "${options[@]}" sealpost.peer.Watch "$bootstrap" "$(topic_of "$1")" >"$directory/watch" &
    watcher=$!
    started+=("$watcher")
    until grep -qs ready "$directory/watch"; do sleep 0.05; done
    began=$(date +%s%3N)
    (contestant "$1" >/dev/null 2>"$directory/$1.err") &
    app=$!
    started+=("$app")
    wait "$watcher"
    # what follows the first outcome is committed too when it is killed
    sleep 3
    kill -s KILL "$app"
    wait "$app" 2>/dev/null || true
    started=()
    awk -v began="$began" 'NR == 2 {printf "%.1f", ($1 - began) / 1000}' "$directory/watch"
}
for how in clean killed; do
    one_more "$([[ $how == clean ]] && echo 4611686018427387905 || echo 4611686018427387906)"
    for name in "${contestants[@]}"; do restart "$name" >"$directory/$name.$how"; done
done

field() { # FILE NAME [PLACE]: a number of a line of JSON, or one of a list
    sed -n "s/.*\"$2\": *\[*\([0-9, ]*\).*/\1/p" "$1" | tr -d ' ' | cut -d, -f"${3:-1}"
}
for name in "${contestants[@]}"; do
    read -r wall user system kib <"$directory/$name.time"
    if [[ $name == sealpost ]]; then
        statements=$(field "$directory/status.json" statements)
        total=$(field "$directory/status.json" total_won)
        same=""
    else
        compared=$directory/$name.compared
        statements=$(field "$compared" statements 2)
        total=$(field "$compared" total_won 2)
        same=", \"same_statements\": $(field "$compared" statements_same_bytes), \"same_dispatches\": $(field "$compared" dispatches_same_bytes)"
    fi
    awk -v name="$name" -v users="$users" -v wall="$wall" -v cpu="$(awk "BEGIN {print $user + $system}")" -v kib="$kib" \
        -v clean="$(<"$directory/$name.clean")" -v killed="$(<"$directory/$name.killed")" -v load="$(<"$directory/$name.load")" \
        -v statements="$statements" -v total="$total" -v same="$same" 'BEGIN {
            printf "{\"contestant\": \"%s\", \"users\": %d, \"wall_s\": %.1f, \"cpu_s\": %.1f, \"cpu_s_per_million\": %.0f, ", \
                name, users, wall, cpu, cpu * 1e6 / users;
            printf "\"peak_rss_mib\": %d, \"restart_clean_s\": %s, \"restart_killed_s\": %s, ", kib / 1024, clean, killed;
            printf "\"statements\": %s, \"total_won\": %s%s, \"load\": %s}\n", statements, total, same, load;
        }'
done
exit "$equal"
