#!/usr/bin/env bash
# The packages of a built checkout: package.sh BINARY TRANSFORMS OUT writes a tarball and a Debian package into OUT. Both hold one
# tree: the tarball to be unpacked anywhere, the package below /usr. The same input gives the same bytes.
# Wants binutils and dpkg-dev, which are there where C is compiled on Debian.
set -euo pipefail
(($# == 3)) || { echo "usage: $0 BINARY TRANSFORMS OUT" >&2; exit 2; }
deploy=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$deploy/../.." && pwd)
binary=$(realpath "$1") transforms=$(realpath "$2")
mkdir -p "$3"
out=$(realpath "$3")

version=$("$binary" --version)
version=${version#wasmill }
architecture=$(dpkg --print-architecture)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$binary")}
export SOURCE_DATE_EPOCH
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tree=$work/package/usr
share=$tree/share
copy() { # copy DIRECTORY FILE...
    mkdir -p "$1"
    install -m 644 "${@:2}" "$1"
}
mkdir -p "$tree/bin"
# The names of functions stay, for what a crash prints.
strip --strip-debug -o "$tree/bin/wasmill" "$binary"
chmod 755 "$tree/bin/wasmill"
copy "$share/wasmill/transforms" "$transforms"/*.wasm
mkdir -p "$share/wasmill/pipelines"
for pipeline in "$root"/host/pipelines/*.toml; do
    sed 's|"../../target/transforms/|"../transforms/|' "$pipeline" >"$share/wasmill/pipelines/${pipeline##*/}"
done
copy "$share/wasmill/monitoring" "$deploy"/monitoring/rules.yml "$deploy"/monitoring/grafana/dashboards/wasmill.json
copy "$share/doc/wasmill" "$root"/host/docs/*.md
# Debian's name for licences.
install -m 644 "$root/LICENSE" "$share/doc/wasmill/copyright"
copy "$tree/lib/systemd/system" "$deploy/systemd/wasmill@.service"
mkdir -p "$tree/lib/sysusers.d"
install -m 644 "$deploy/systemd/sysusers.conf" "$tree/lib/sysusers.d/wasmill.conf"
complete() { # complete SHELL FILE
    mkdir -p "$share/${2%/*}"
    "$binary" completions "$1" >"$share/$2"
}
complete bash bash-completion/completions/wasmill
complete zsh zsh/vendor-completions/_wasmill
complete fish fish/vendor_completions.d/wasmill.fish

name=wasmill-$version-linux-$architecture
tar --create --gzip --file "$out/$name.tar.gz" --directory "$tree" --transform "s|^\.|$name|" \
    --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner .

# Which packages have the shared libraries of the binary, in which versions at least.
mkdir -p "$work/debian" "$work/package/DEBIAN" "$work/package/etc/wasmill"
echo 'Source: wasmill' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O -e"$tree/bin/wasmill")
cat >"$work/package/DEBIAN/control" <<CONTROL
Package: wasmill
Version: $version
Architecture: $architecture
Maintainer: wasmill <wasmill@localhost>
Section: net
Priority: optional
Installed-Size: $(du -sk --apparent-size "$work/package/usr" | cut -f1)
Depends: ${depends#shlibs:Depends=}, ca-certificates
Recommends: libsasl2-modules-gssapi-mit, systemd
Description: stream processor whose transforms are WebAssembly
 Reads events from Kafka, passes them through sandboxed transforms, and writes Hive-partitioned Parquet to HDFS or a local
 disk, exactly once.
CONTROL
cat >"$work/package/DEBIAN/postinst" <<'POSTINST'
#!/bin/sh
set -e
if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers wasmill.conf
    # Tokens and passwords lie there.
    chgrp wasmill /etc/wasmill
    chmod 0750 /etc/wasmill
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
POSTINST
cat >"$work/package/DEBIAN/prerm" <<'PRERM'
#!/bin/sh
set -e
# An upgrade leaves hosts running: they are restarted one after another, by hand.
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl stop 'wasmill@*.service'
fi
PRERM
chmod 755 "$work/package/DEBIAN"/{postinst,prerm}
dpkg-deb --root-owner-group -Zxz -z1 --build "$work/package" "$out/wasmill_${version}_$architecture.deb" >&2
ls "$out/$name.tar.gz" "$out/wasmill_${version}_$architecture.deb"
