#!/usr/bin/env bash
# Builds the image from a checkout and build/wheelhouse (`make wheelhouse`), without any network.
#
#   docker/build.sh BASE IMAGE            build IMAGE on BASE
#   docker/build.sh --sbom IMAGE FILE     copy the image's list of parts to FILE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "$1" = --sbom ]; then
    container=$(docker create "$2")
    trap 'docker rm "$container" >/dev/null' EXIT
    docker cp "$container:/usr/share/doc/mpcseg/sbom.json" "$3"
    echo "$3"
    exit 0
fi

base=$1 image=$2
# The time of the last commit stands in for the time of the build, so that two builds are the same.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
# Files that were changed or added since are said in the label.
revision=$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || echo unknown)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# The builder that every engine has; BuildKit is an extra on Debian.
DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0} docker build --network none --force-rm \
    --file docker/Dockerfile --tag "$image" \
    --build-arg BASE="$base" \
    --build-arg BASE_DIGEST="$(docker image inspect --format '{{.Id}}' "$base")" \
    --build-arg SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \
    --build-arg REVISION="$revision" \
    --build-arg VERSION="$version" \
    .
