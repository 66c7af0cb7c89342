#!/usr/bin/env bash
# Gives each stage a key ring with the keys of its purposes alone.
#
#   split-keys.sh [--generate] RING DIR
#
# RING is the whole ring, as `sealpost keys generate` makes it; --generate makes it if it is not
# there. Writes DIR/settle/keys.json (no key at all), DIR/render/keys.json (profile) and
# DIR/send/keys.json (destination), each readable by its owner alone. Run it again after
# `sealpost keys rotate`, and restart the stages. Needs jq.
#
# No stage gets `dead-letter`: sealing with it is also opening with it. A stage without it leaves
# what it refuses in its topic, and the dead letter says where; `dead-letters requeue` finds it there.
set -euo pipefail

usage() {
    echo "usage: split-keys.sh [--generate] RING DIR" >&2
    exit 2
}

fail() {
    echo "split-keys.sh: $*" >&2
    exit 1
}

generate=false
if [[ ${1-} == --generate ]]; then
    generate=true
    shift
fi
[[ $# == 2 && $1 != -* ]] || usage
ring=$1
dir=$2
command -v jq >/dev/null || fail "jq is missing: install it"

umask 077
if [[ ! -e $ring && $generate == true ]]; then
    mkdir -p "$(dirname "$ring")"
    SEALPOST__KEYS__FILE=$(realpath -m "$ring") "${SEALPOST:-sealpost}" keys generate >&2
fi
[[ -r $ring ]] || fail "$ring cannot be read: name the ring that \`sealpost keys generate\` made"
for purpose in profile destination; do
    jq -e --arg purpose "$purpose" 'any(.keys[]; .purpose == $purpose and .primary)' "$ring" >/dev/null ||
        fail "$ring has no primary key for $purpose: add one with \`sealpost keys rotate --purpose $purpose\`"
done

# Written beside it and moved over it: a stage that starts meanwhile reads the old ring or the new.
write_ring() { # STAGE PURPOSE…
    local stage=$1
    shift
    mkdir -p "$dir/$stage"
    jq '{keys: [.keys[] | select(.purpose as $purpose | $ARGS.positional | index($purpose))]}' \
        "$ring" --args "$@" >"$dir/$stage/keys.json.new"
    mv "$dir/$stage/keys.json.new" "$dir/$stage/keys.json"
    echo "$dir/$stage/keys.json: ${*:-no keys}"
}

write_ring settle
write_ring render profile
write_ring send destination
