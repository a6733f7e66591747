#!/usr/bin/env bash
# Makes the base of the image without any image registry: Debian's own packages, checked by apt
# against Debian's signing keys, as a file system that is handed to `docker import`.
#
#   docker/base.sh [--mirror URL] [--security URL] [--suite NAME] [--tag NAME:TAG] [--tar FILE]
#
# For a base that anybody can make again bit for bit, name a dated snapshot:
#
#   docker/base.sh --mirror http://snapshot.debian.org/archive/debian/20261101T000000Z \
#                  --security http://snapshot.debian.org/archive/debian-security/20261101T000000Z
#
# A site without the internet names its own mirror. Needs root, debootstrap and docker. With --tar the
# file system is written to FILE and not imported, to be carried to a machine that has the engine
# (`docker import FILE TAG` there).
set -euo pipefail

mirror=http://deb.debian.org/debian
security=http://deb.debian.org/debian-security
suite=bookworm
tag=
tar=

while [ $# -gt 0 ]; do
    case "$1" in
        --mirror) mirror=$2 ;;
        --security) security=$2 ;;
        --suite) suite=$2 ;;
        --tag) tag=$2 ;;
        --tar) tar=$2 ;;
        *) echo "error: $1 is not an option of docker/base.sh" >&2; exit 2 ;;
    esac
    shift 2
done
tag=${tag:-mpcseg-base:$suite}

for tool in debootstrap chroot; do
    command -v "$tool" >/dev/null || { echo "error: $tool is not installed (apt-get install debootstrap)" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "error: debootstrap needs root" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root

# Python to run and to build with; binutils to take the symbols out of libraries. None of dpkg, apt,
# perl or the shell reaches the image: docker/assemble.py picks the files that Python needs.
echo "base: Debian $suite from $mirror"
debootstrap --variant=minbase --include=python3,binutils,ca-certificates,tzdata \
    "$suite" "$root" "$mirror" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }

cat >"$root/etc/apt/sources.list" <<END
deb $mirror $suite main
deb $mirror $suite-updates main
deb $security $suite-security main
END
# Snapshots carry the dates of their day; the signatures are checked all the same.
apt=(chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Check-Valid-Until=false)
cp /etc/resolv.conf "$root/etc/resolv.conf"
{ "${apt[@]}" update && "${apt[@]}" upgrade; } >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }

# The moment of the newest package index: the same for everybody who uses the same snapshot.
epoch=${SOURCE_DATE_EPOCH:-$(sed -n 's/^Date: //p' "$root"/var/lib/apt/lists/*Release |
    while read -r date; do date -u -d "$date" +%s; done | sort -n | tail -n 1)}

# What differs from one run to the next, and what nobody reads in an image. Licences stay.
find "$root/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$root"/var/cache/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/tmp/* "$root"/run/* \
    "$root"/usr/share/{man,info,locale,lintian} "$root"/var/lib/dpkg/*-old "$root"/etc/{passwd,group,shadow,gshadow}- \
    "$root"/etc/{machine-id,hostname,resolv.conf} "$root"/dev/* "$root"/var/lib/systemd
find "$root" -name __pycache__ -type d -prune -exec rm -rf {} +

if [ -z "$tar" ]; then
    file=$work/base.tar
else
    file=$tar
fi
tar --create --file "$file" --directory "$root" --sort=name --numeric-owner --mtime="@$epoch" \
    --format=gnu --one-file-system .
echo "base: layer sha256:$(sha256sum "$file" | cut -d ' ' -f 1), of $(date -u -d "@$epoch" +%FT%TZ)"
[ -z "$tar" ] || { echo "base: written to $tar"; exit 0; }

command -v docker >/dev/null || { echo "error: docker is not installed; use --tar FILE" >&2; exit 1; }
docker import --change 'CMD ["/bin/sh"]' "$file" "$tag" >/dev/null
echo "base: $tag is $(docker image inspect --format '{{.Id}}' "$tag")"
