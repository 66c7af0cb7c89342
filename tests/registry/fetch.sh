#!/usr/bin/env bash
# A real schema registry for the tests: Apicurio Registry, which speaks the protocol of Confluent's
# on /apis/ccompat/v7. Comes once through Maven's ordinary client and is kept in the user's cache,
# never in a source tree. Prints the path of the program, and nothing else, on stdout.
set -euo pipefail

VERSION=2.6.13.Final # the last one that runs on Java 17
COPY=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy
HOME_OF=${XDG_CACHE_HOME:-$HOME/.cache}/sealpost/apicurio-registry-$VERSION

fail() {
    echo "fetch.sh: $*" >&2
    exit 1
}

if [[ ! -d $HOME_OF ]]; then
    command -v mvn >/dev/null || fail "mvn is missing: install Maven, it fetches the registry"
    mkdir -p "$(dirname "$HOME_OF")"
    # filled aside and moved into place: never half a cache
    aside=$(mktemp -d "$HOME_OF.XXXXXX")
    trap 'rm -rf "$aside"' EXIT
    cat >"$aside/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sealpost</groupId>
  <artifactId>schema-registry</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
</project>
POM
    mvn -q -B -f "$aside/pom.xml" "$COPY" -DoutputDirectory="$aside" \
        -Dartifact="io.apicurio:apicurio-registry-app:$VERSION:tar.gz:all" </dev/null >&2 ||
        fail "Maven could not fetch Apicurio Registry $VERSION"
    mkdir "$aside/app"
    tar -xzf "$aside/apicurio-registry-app-$VERSION-all.tar.gz" -C "$aside/app"
    mv -T "$aside/app" "$HOME_OF" 2>/dev/null || [[ -d $HOME_OF ]] || fail "cannot write $HOME_OF"
fi
echo "$HOME_OF/apicurio-registry-app-$VERSION-runner.jar"
