#!/bin/sh
# Installs mqtt-http-bridge. See README.md.
set -eu

cd "$(dirname "$0")"
root=$PWD

usage() {
    cat <<'TEXT'
usage: ./install.sh --demo    make a private environment in this checkout and run the demo
       ./install.sh --local   make the environment only
TEXT
}

die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

# The newest Python from 3.11 on, by its command.
find_python() {
    for candidate in ${PYTHON-} python3.14 python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    found=$(python3 --version 2>/dev/null) || found="no python3"
    die "expected Python 3.11 or newer, found $found: install it, or name one with PYTHON=..."
}

make_environment() {
    python=$(find_python)
    "$python" -c 'import venv, ensurepip' 2>/dev/null || install_venv "$python"
    [ -x "$1/bin/python" ] || "$python" -m venv --clear "$1"
    "$1/bin/python" -m pip install -q --disable-pip-version-check "$root"
}

# Debian and its kin keep venv apart from Python.
install_venv() { # python
    package=$("$1" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q && apt-get install -y -q "$package" && return
    fi
    die "expected Python's venv, found none: as root, run: apt-get install -y $package"
}

case ${1-} in
--demo)
    make_environment "$root/.venv/local"
    exec "$root/.venv/local/bin/mqtt-http-bridge" demo
    ;;
--local)
    make_environment "$root/.venv/local"
    echo "installed: .venv/local/bin/mqtt-http-bridge"
    ;;
--help | -h)
    usage
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
