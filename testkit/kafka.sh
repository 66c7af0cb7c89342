#!/usr/bin/env bash
# A real Apache Kafka (KRaft) on this machine, for tests and benchmarks: no containers, no root.
#
#   kafka.sh start BROKERS DIR [--secured] [--proxied PORT,…] [--owner PID]
#       starts 1 or 3 brokers (node ids 1…) whose every file lives in DIR; prints the
#       bootstrap address, and nothing else, on stdout.
#       --secured   SASL_SSL with SCRAM-SHA-512 and ACLs. DIR/client.properties (user `admin`,
#                   who may do everything) and DIR/client-stranger.properties (user `stranger`,
#                   who may do nothing) are in librdkafka's terms; DIR/java-client.properties is
#                   the admin's in Java's.
#       --proxied   each broker gets a second listener that advertises 127.0.0.1:PORT, one port
#                   per broker, where the caller has a proxy. DIR/brokers says where each proxy
#                   is to connect to.
#       --owner     the cluster ends when this process does, whatever ended it; so every test run
#                   says. Without it a cluster stays until it is stopped.
#   kafka.sh stop DIR             ends all of it and removes DIR
#   kafka.sh run DIR CLASS ARG…   runs a class of the same jars, or a single .java file with them;
#                                 it ends with the cluster in DIR (`-`: with none)
#   kafka.sh kill DIR NODE        kill -9
#   kafka.sh down DIR NODE        SIGTERM, and waits
#   kafka.sh up DIR NODE          starts it again on the same ports, and waits until it serves
#   kafka.sh pause DIR NODE       SIGSTOP
#   kafka.sh resume DIR NODE      SIGCONT
#   kafka.sh check                whether Java and Maven (or the jars) are here: silent, or says why not
#
# DIR/brokers has a line for each broker: node, client port, port behind the proxy (or `-`).
# Exit codes: 0 done, 1 it failed, 2 wrong usage, 3 something is missing on this machine.
#
# The jars come through Maven's ordinary client and are kept in the user's cache, never in a
# source tree. Brokers listen on loopback only, on ports that were free at the start. Small on
# purpose: 320 MiB of heap each (SEALPOST_KAFKA_HEAP_MIB), and logs that are not synced to disk
# one by one (Kafka's own default: a record is durable once its in-sync replicas hold it).
set -euo pipefail
umask 077

KAFKA_VERSION=${SEALPOST_KAFKA_VERSION:-4.1.1}
SLF4J_VERSION=1.7.36
DEPENDENCY_PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/sealpost
JARS=$CACHE/kafka-$KAFKA_VERSION
HEAP_MIB=${SEALPOST_KAFKA_HEAP_MIB:-320}
READY_SECONDS_MAX=90
DOWN_SECONDS_MAX=60
START_ATTEMPTS_MAX=3
SELF=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)/$(basename "${BASH_SOURCE[0]}")

fail() {
    echo "kafka.sh: $*" >&2
    exit 1
}

usage() {
    echo "kafka.sh: $*; the head of this script says what it takes" >&2
    exit 2
}

missing() {
    echo "kafka.sh: $*" >&2
    exit 3
}

# What a run that fails or is interrupted must not leave behind.
ASIDE=""
UNFINISHED=""
clean_up() {
    [[ -z $ASIDE ]] || rm -rf "$ASIDE"
    [[ -z $UNFINISHED ]] || stop "$UNFINISHED"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- what has to be on the machine --------------------------------------------------------

# Java's version, as `17.0.15`; fails when there is none that will do.
java_version() {
    command -v java >/dev/null || missing "java is missing: install Java 17 or newer"
    local version
    version=$(java -version 2>&1 </dev/null | sed -n 's/.* version "\([^"]*\)".*/\1/p' | head -n 1)
    # Java 8 calls itself 1.8 and is refused too.
    [[ ${version%%.*} =~ ^[0-9]+$ && ${version%%.*} -ge 17 ]] ||
        missing "Java 17 or newer is needed, found ${version:-none that says its version}"
    echo "$version"
}

require() {
    java_version >/dev/null
    [[ -d $JARS ]] || command -v mvn >/dev/null ||
        missing "mvn is missing: install Maven, it fetches Kafka $KAFKA_VERSION"
}

# Fills the cache once. Filled aside and moved into place, so that an interrupted or a
# concurrent run never leaves half a cache behind.
fetch_jars() {
    [[ ! -d $JARS ]] || return 0
    mkdir -p "$CACHE"
    ASIDE=$(mktemp -d "$JARS.XXXXXX")
    cat >"$ASIDE/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sealpost</groupId>
  <artifactId>kafka-jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$KAFKA_VERSION</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId>
      <version>$KAFKA_VERSION</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>$SLF4J_VERSION</version>
    </dependency>
  </dependencies>
</project>
POM
    if ! mvn -q -B -f "$ASIDE/pom.xml" "$DEPENDENCY_PLUGIN:copy-dependencies" \
        -DincludeScope=runtime -DoutputDirectory="$ASIDE/jars" </dev/null >"$ASIDE/log" 2>&1; then
        grep -m 3 ERROR "$ASIDE/log" >&2 || tail -n 3 "$ASIDE/log" >&2
        missing "Maven could not fetch Kafka $KAFKA_VERSION; is Maven Central within reach?"
    fi
    # Someone else may have been faster: then theirs is as good as ours.
    mv -T "$ASIDE/jars" "$JARS" 2>/dev/null || true
    rm -rf "$ASIDE"
    ASIDE=""
    [[ -d $JARS ]] || fail "cannot write $JARS"
}

# ---- processes ----------------------------------------------------------------------------

# The process a pid means, as `pid start-time`, since pids are given away again; fails when it
# is gone, or dead and not yet collected.
identity() { # PID
    local fields
    fields=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # the name in brackets may hold anything; after it come the state and the start time
    read -r -a fields <<<"${fields##*) }"
    [[ ${fields[0]} != Z && ${fields[0]} != X ]] || return 1
    echo "$1 ${fields[19]}"
}

# Whether a pid is a process of that directory's cluster.
is_ours() { # PID DIR
    tr '\0' '\n' 2>/dev/null <"/proc/$1/cmdline" | grep -q -x -F -e "-Dsealpost.kafka.dir=$2"
}

pid_of() { # DIR NODE
    local pid
    [[ -e $1/node-$2.pid ]] && pid=$(<"$1/node-$2.pid") && is_ours "$pid" "$1" && echo "$pid"
}

wait_until_gone() { # PID DIR SECONDS
    local deadline=$((SECONDS + $3))
    while is_ours "$1" "$2"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# Runs Java in the place of this shell; the tag tells our processes from others.
exec_java() { # DIR ARG…
    local dir=$1 archive
    shift
    archive=$(archive_path)
    [[ ! -e $archive ]] || set -- -XX:SharedArchiveFile="$archive" "$@"
    exec setsid java -Dsealpost.kafka.dir="$dir" -XX:+UseSerialGC -Xlog:disable \
        -Dorg.slf4j.simpleLogger.showDateTime=true \
        -Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS -cp "$JARS/*" "$@"
}

# Loaded classes, as the Java in use wants them: a broker starts in half the time. It is only a
# cache: where it does not fit, Java does without.
archive_path() {
    echo "$JARS.java-${JAVA_VERSION//[^0-9A-Za-z.]/_}.jsa"
}

make_archive() {
    local archive
    archive=$(archive_path)
    [[ ! -e $archive ]] || return 0
    ASIDE=$(mktemp -d "$CACHE/archive.XXXXXX")
    if SEALPOST_KAFKA_ARCHIVE_AT_EXIT=$ASIDE/classes "$SELF" start 1 "$ASIDE/kafka" --owner $$ >/dev/null 2>&1 &&
        "$SELF" down "$ASIDE/kafka" 1 2>/dev/null && [[ -e $ASIDE/classes ]]; then
        mv "$ASIDE/classes" "$archive"
    fi
    "$SELF" stop "$ASIDE/kafka" || true
    rm -rf "$ASIDE"
    ASIDE=""
}

# ---- a cluster ----------------------------------------------------------------------------

# Two calls may pick the same port before either binds it; the broker then dies at once and
# `start` tries again with others. Below 32768, so that no outgoing connection holds it.
free_port() { # PORT… that are taken already
    local port
    while :; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        [[ " $* " != *" $port "* ]] || continue
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

write_secrets() { # DIR: a certificate authority, a server certificate, passwords
    local dir=$1
    command -v openssl >/dev/null || missing "openssl is missing: a secured broker needs a certificate"
    local new=(openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
    # `&&` throughout: what stands before `||` does not stop at an error by itself
    (
        cd "$dir" &&
            "${new[@]}" -x509 -days 30 -subj "/CN=sealpost test authority" -keyout ca.key -out ca.pem \
                -addext keyUsage=critical,keyCertSign &&
            "${new[@]}" -subj "/CN=localhost" -keyout server.key -out server.csr &&
            openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 2 -days 30 -out server.crt \
                -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") &&
            cat server.key server.crt >server.pem &&
            openssl rand -hex 16 >admin.password &&
            openssl rand -hex 16 >stranger.password
    ) >"$dir/openssl.log" 2>&1 || fail "openssl failed: $(tail -n 1 "$dir/openssl.log")"
}

login() { # USER PASSWORD
    echo "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"$1\" password=\"$2\";"
}

write_client_properties() { # DIR BOOTSTRAP
    local dir=$1 user file
    for user in admin stranger; do
        file=$dir/client-$user.properties
        [[ $user != admin ]] || file=$dir/client.properties
        cat >"$file" <<PROPERTIES
bootstrap.servers=$2
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.username=$user
sasl.password=$(<"$dir/$user.password")
ssl.ca.location=$dir/ca.pem
PROPERTIES
    done
    cat >"$dir/java-client.properties" <<PROPERTIES
bootstrap.servers=$2
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=$(login admin "$(<"$dir/admin.password")")
ssl.truststore.type=PEM
ssl.truststore.location=$dir/ca.pem
PROPERTIES
}

write_properties() { # DIR NODE BROKERS VOTERS CLIENT_PORT CONTROLLER_PORT BEHIND_PORT|- PROXY_PORT|-
    local dir=$1 node=$2 brokers=$3 voters=$4
    local replicas=$((brokers < 3 ? 1 : 3)) in_sync_min=$((brokers < 3 ? 1 : 2))
    local protocol=PLAINTEXT listeners advertised
    [[ ! -e $dir/secured ]] || protocol=SASL_SSL
    listeners=CLIENT://127.0.0.1:$5
    advertised=$listeners
    if [[ $7 != - ]]; then
        listeners+=,PROXIED://127.0.0.1:$7
        advertised+=,PROXIED://127.0.0.1:$8
    fi
    cat >"$dir/node-$node.properties" <<PROPERTIES
process.roles=broker,controller
node.id=$node
listeners=$listeners,CONTROLLER://127.0.0.1:$6
advertised.listeners=$advertised
listener.security.protocol.map=CLIENT:$protocol,PROXIED:$protocol,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
controller.quorum.voters=$voters
log.dirs=$dir/node-$node
auto.create.topics.enable=false
num.partitions=8
default.replication.factor=$replicas
min.insync.replicas=$in_sync_min
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$replicas
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$in_sync_min
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=1
num.network.threads=2
num.io.threads=4
message.max.bytes=8388608
replica.fetch.max.bytes=8388608
# its default of 128 MiB does not fit the heap
log.cleaner.dedupe.buffer.size=16777216
# Waiting is most of what a test does: compaction, failover and rebalancing at a quick pace.
log.cleaner.backoff.ms=1000
log.initial.task.delay.ms=500
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=5000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
PROPERTIES
    if [[ $protocol == SASL_SSL ]]; then
        # Controllers speak among themselves without a login, on a port nobody is told of.
        cat >>"$dir/node-$node.properties" <<PROPERTIES
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.client.scram-sha-512.sasl.jaas.config=$(login admin "$(<"$dir/admin.password")")
listener.name.proxied.scram-sha-512.sasl.jaas.config=$(login admin "$(<"$dir/admin.password")")
ssl.keystore.type=PEM
ssl.keystore.location=$dir/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=$dir/ca.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
allow.everyone.if.no.acl.found=false
PROPERTIES
    fi
}

first_error() { # LOG
    grep -m 1 -i -E 'error|exception' "$1" || tail -n 1 "$1" | grep . || echo "its log is empty"
}

format() { # DIR BROKERS: the empty logs of all nodes, at the same time
    local dir=$1 node cluster users=() jobs=()
    cluster=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
    cluster=0${cluster:1} # an id must not begin with a dash
    if [[ -e $dir/secured ]]; then
        for user in admin stranger; do
            users+=(--add-scram "SCRAM-SHA-512=[name=$user,password=$(<"$dir/$user.password")]")
        done
    fi
    for ((node = 1; node <= $2; node++)); do
        exec_java "$dir" -Xmx96m -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
            kafka.tools.StorageTool format -t "$cluster" -c "$dir/node-$node.properties" "${users[@]}" \
            </dev/null >"$dir/format-$node.log" 2>&1 &
        jobs+=($!)
    done
    for ((node = 1; node <= $2; node++)); do
        wait "${jobs[node - 1]}" || fail "formatting failed: $(first_error "$dir/format-$node.log")"
    done
}

# Its own session, by `exec_java`: a Ctrl-C meant for the tests must not reach the broker first.
launch() { # DIR NODE
    local options=("-Xms${HEAP_MIB}m" "-Xmx${HEAP_MIB}m")
    [[ -z ${SEALPOST_KAFKA_ARCHIVE_AT_EXIT-} ]] || options+=(-XX:ArchiveClassesAtExit="$SEALPOST_KAFKA_ARCHIVE_AT_EXIT")
    exec_java "$1" "${options[@]}" kafka.Kafka "$1/node-$2.properties" \
        </dev/null >"$1/node-$2.log" 2>&1 &
    echo $! >"$1/node-$2.pid"
    disown $!
}

# 0 when the broker serves, 1 when one of its ports was taken meanwhile.
wait_ready() { # DIR NODE
    local log=$1/node-$2.log pid deadline=$((SECONDS + READY_SECONDS_MAX))
    pid=$(<"$1/node-$2.pid")
    # Said by a broker once it is registered, caught up and serves requests.
    until grep -q 'Kafka Server started' "$log"; do
        if ! identity "$pid" >/dev/null; then
            ! grep -q -i 'address already in use' "$log" || return 1
            fail "broker $2 died: $(first_error "$log")"
        fi
        ((SECONDS < deadline)) || fail "broker $2 does not serve after $READY_SECONDS_MAX s: $(tail -n 1 "$log")"
        sleep 0.05
    done
}

# One attempt: 0 when every broker serves, 1 when a port was taken meanwhile.
start_once() { # BROKERS DIR [PROXY_PORT…]
    local brokers=$1 dir=$2 node ports=() behind=- voters="" bootstrap=""
    shift 2
    for ((node = 0; node < 3 * brokers; node++)); do
        ports+=("$(free_port "${ports[@]}")")
    done
    for ((node = 1; node <= brokers; node++)); do
        bootstrap+=,127.0.0.1:${ports[3 * node - 3]}
        voters+=,$node@127.0.0.1:${ports[3 * node - 2]}
    done
    for ((node = 1; node <= brokers; node++)); do
        [[ $# == 0 ]] || behind=${ports[3 * node - 1]}
        write_properties "$dir" "$node" "$brokers" "${voters#,}" \
            "${ports[3 * node - 3]}" "${ports[3 * node - 2]}" "$behind" "${!node:--}"
        echo "$node ${ports[3 * node - 3]} $behind" >>"$dir/brokers"
    done
    [[ ! -e $dir/secured ]] || write_client_properties "$dir" "${bootstrap#,}"
    format "$dir" "$brokers"
    for ((node = 1; node <= brokers; node++)); do launch "$dir" "$node"; done
    for ((node = 1; node <= brokers; node++)); do wait_ready "$dir" "$node" || return 1; done
    echo "${bootstrap#,}" >"$dir/bootstrap"
}

prepare() { # DIR SECURED
    mkdir -p "$1"
    # not only a mark: the watchdog knows by it which cluster it was started for
    head -c 16 /dev/urandom | base64 >"$1/sealpost-kafka"
    if [[ -n $2 ]]; then
        touch "$1/secured"
        write_secrets "$1"
    fi
}

start() { # BROKERS DIR OPTION…
    [[ $# -ge 2 ]] || usage "start takes BROKERS and DIR"
    local brokers=$1 dir=$2 secured="" proxies=() owner="" attempt
    shift 2
    while [[ $# -gt 0 ]]; do
        case $1 in
            --secured) secured=yes ;;
            --proxied | --owner)
                [[ $# -ge 2 ]] || usage "$1 takes a value"
                if [[ $1 == --owner ]]; then owner=$2; else IFS=, read -r -a proxies <<<"$2"; fi
                shift
                ;;
            *) usage "start does not know $1" ;;
        esac
        shift
    done
    [[ $brokers == 1 || $brokers == 3 ]] || usage "1 or 3 brokers, not '$brokers'"
    [[ ${#proxies[@]} == 0 || ${#proxies[@]} == "$brokers" ]] || usage "--proxied takes one port per broker"
    [[ ! -e $dir || -z $(ls -A "$dir" 2>/dev/null || echo x) ]] || fail "$dir is not an empty directory"
    if [[ -n $owner ]]; then
        identity "$owner" >/dev/null || usage "no process is the owner, $owner"
        owner=$(identity "$owner")
    fi
    require
    JAVA_VERSION=$(java_version)
    fetch_jars
    [[ -n ${SEALPOST_KAFKA_ARCHIVE_AT_EXIT-} ]] || make_archive

    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd -P)
    UNFINISHED=$dir
    for ((attempt = 1; attempt <= START_ATTEMPTS_MAX; attempt++)); do
        prepare "$dir" "$secured"
        # Before the brokers, so that there is no moment without it.
        [[ -z $owner ]] || watchdog "$dir" "$owner"
        if start_once "$brokers" "$dir" "${proxies[@]}"; then
            UNFINISHED=""
            cat "$dir/bootstrap"
            return
        fi
        stop "$dir"
    done
    fail "no free ports in $START_ATTEMPTS_MAX attempts"
}

# A process of its own that ends the cluster as soon as the owner is gone, whatever ended it.
watchdog() { # DIR OWNER
    setsid "$SELF" watch "$1" "$2" "$(<"$1/sealpost-kafka")" </dev/null >/dev/null 2>&1 &
    disown $!
}

watch() { # DIR OWNER MARK
    cd /
    while [[ $(cat "$1/sealpost-kafka" 2>/dev/null) == "$3" ]]; do
        if [[ $(identity "${2% *}") != "$2" ]]; then
            stop "$1"
            return
        fi
        sleep 0.5
    done
}

# Nobody wants the data any more: no broker is asked to end in good order, which takes minutes
# for one whose quorum is gone.
stop() { # DIR
    [[ -e $1 ]] || return 0
    local dir file pid pids=()
    dir=$(cd "$1" && pwd -P)
    [[ -e $dir/sealpost-kafka ]] || fail "$dir was not made by this script: left alone"
    # those of a start that is given up
    for pid in $(jobs -p); do pids+=("$pid"); done
    for file in "$dir"/*.pid; do
        if [[ -e $file ]]; then pids+=("$(<"$file")"); fi
    done
    for pid in "${pids[@]}"; do
        if is_ours "$pid" "$dir"; then kill -s KILL "$pid" 2>/dev/null || true; fi
    done
    for pid in "${pids[@]}"; do
        wait_until_gone "$pid" "$dir" 30 || fail "process $pid does not end"
    done
    # a second one at the same time (a watchdog) may take files away under our hands
    rm -rf "$dir" 2>/dev/null || rm -rf "$dir"
}

one_broker() { # COMMAND DIR NODE
    [[ $# == 3 ]] || usage "$1 takes DIR and NODE"
    [[ -e $2/sealpost-kafka ]] || fail "no cluster in $2"
    local command=$1 dir node=$3 pid
    dir=$(cd "$2" && pwd -P)
    [[ -e $dir/node-$node.properties ]] || usage "no broker $node in $dir"
    pid=$(pid_of "$dir" "$node") || pid=""
    if [[ $command == up ]]; then
        [[ -z $pid ]] || fail "broker $node is up"
        JAVA_VERSION=$(java_version)
        mv -f "$dir/node-$node.log" "$dir/node-$node.before.log" 2>/dev/null || true
        launch "$dir" "$node"
        wait_ready "$dir" "$node" || fail "broker $node cannot have its port back: another process took it"
        return
    fi
    [[ -n $pid ]] || fail "broker $node is not up"
    case $command in
        kill) kill -s KILL "$pid" ;;
        down) kill -s TERM "$pid" && kill -s CONT "$pid" ;;
        pause) kill -s STOP "$pid" && return ;;
        resume) kill -s CONT "$pid" && return ;;
    esac
    wait_until_gone "$pid" "$dir" "$DOWN_SECONDS_MAX" ||
        fail "broker $node does not end in $DOWN_SECONDS_MAX s (without its quorum it cannot): kill it"
}

run() { # DIR CLASS ARG…
    [[ $# -ge 2 ]] || usage "run takes DIR and CLASS"
    require
    JAVA_VERSION=$(java_version)
    fetch_jars
    local dir="" archive options=()
    if [[ $1 != - ]]; then
        [[ -e $1/sealpost-kafka ]] || fail "no cluster in $1"
        dir=$(cd "$1" && pwd -P)
        options+=(-Dsealpost.kafka.dir="$dir")
        echo $$ >"$dir/tool-$$.pid"
    fi
    archive=$(archive_path)
    [[ ! -e $archive ]] || options+=(-XX:SharedArchiveFile="$archive")
    # in the place of this shell, so it keeps the terminal and the pid
    exec java "${options[@]}" -XX:+UseSerialGC -Xlog:disable -Xmx512m \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$JARS/*" "${@:2}"
}

case ${1-} in
    start | stop | run | watch) "$@" ;;
    kill | down | up | pause | resume) one_broker "$@" ;;
    check) require ;;
    *) usage "no such command: '${1-}'" ;;
esac
