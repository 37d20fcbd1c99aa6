#!/usr/bin/env bash
# Installs what a new machine lacks: C libraries and tools for librdkafka, Python's venv, the wasm32 target; with `tests` also what
# only the tests need.
# Touches nothing that is there already; uses apt-get (by sudo unless root) only when something is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
need() { # need PACKAGE TEST...: notes the Debian package when the test fails
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
has_venv() { python3 -c "import venv, ensurepip"; } # Debian packs ensurepip apart

# librdkafka is built from source by its own configure script: make, a C and a C++ compiler, and these libraries.
need build-essential sh -c 'command -v make && command -v gcc && command -v g++'
need pkg-config command -v pkg-config
if command -v pkg-config >/dev/null; then
    need libssl-dev pkg-config --exists libssl
    need libsasl2-dev pkg-config --exists libsasl2
    need libzstd-dev pkg-config --exists libzstd
    need zlib1g-dev pkg-config --exists zlib
else
    missing+=(libssl-dev libsasl2-dev libzstd-dev zlib1g-dev)
fi
need python3-venv has_venv
need openjdk-17-jdk-headless sh -c 'command -v java && command -v keytool'
need maven command -v mvn
if [[ ${1:-} == tests ]]; then
    # The console's pages are built by npm (without it the binary has no console) and tested in a browser.
    need npm command -v npm
    need chromium command -v chromium
    # For the C filter of guest-sdk/docs/other-languages.md.
    need clang command -v clang
    need lld command -v wasm-ld
    need wasi-libc test -e /usr/lib/wasm32-wasi/libc.a
    need libclang-rt-14-dev-wasm32 sh -c 'ls /usr/lib/llvm-*/lib/clang/*/lib/wasi/libclang_rt.builtins-wasm32.a'
    # For tests/secured: a KDC without root (the service that Debian's package brings is not used), and Kerberos for Kafka's client.
    need krb5-kdc env PATH="$PATH:/usr/sbin" sh -c 'command -v krb5kdc'
    need krb5-admin-server env PATH="$PATH:/usr/sbin" sh -c 'command -v kadmin.local'
    need krb5-user command -v kinit
    need libsasl2-modules-gssapi-mit sh -c 'ls /usr/lib/*/sasl2/libgssapiv2.so'
    # For tests/deploy: each file of host/deploy is read by the tool that it is made for.
    need prometheus sh -c 'command -v promtool && command -v prometheus'
    need docker-compose command -v docker-compose
    need kubernetes-client command -v kubectl
    need systemd command -v systemd-analyze
    need dpkg-dev command -v dpkg-shlibdeps
fi

if ((${#missing[@]})); then
    install="apt-get install -y --no-install-recommends ${missing[*]}"
    sudo=()
    if ((EUID != 0)); then
        sudo=(sudo)
    fi
    if ! command -v apt-get >/dev/null || ! command -v "${sudo[@]:-true}" >/dev/null; then
        echo "missing: ${missing[*]} (Debian's names). Install them as root, on Debian: $install" >&2
        exit 1
    fi
    echo "installing: ${missing[*]}" >&2
    if ! { "${sudo[@]}" apt-get update -q && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive $install; } >&2; then
        echo "could not install: ${missing[*]}. Run as root: $install" >&2
        exit 1
    fi
fi

if ! command -v cargo >/dev/null; then
    echo "cargo was not found: install Rust from https://rustup.rs (rust-toolchain.toml then picks the version)" >&2
    exit 1
fi
# `cargo` alone fetches the pinned toolchain where rustup may do so by itself; elsewhere it is asked to.
cargo --version >/dev/null 2>&1 || rustup toolchain install >&2
if ! [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib" ]; then
    if ! command -v rustup >/dev/null || ! rustup target add wasm32-unknown-unknown >&2; then
        echo "this Rust cannot build for wasm32-unknown-unknown: install it by rustup (rustup target add wasm32-unknown-unknown)" >&2
        exit 1
    fi
fi
