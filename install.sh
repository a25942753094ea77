#!/bin/sh
# Installs mqtt-http-bridge. See docs/install.md.
set -eu

root=$(cd "$(dirname "$0")" && pwd)

# shellcheck source=service/common.sh
. "$root/service/common.sh"

# shellcheck source=service/arguments.sh
. "$root/service/arguments.sh"

usage() {
    cat <<'TEXT'
usage: ./install.sh root@GX      from a laptop, over ssh, onto a GX
       ./install.sh              on a GX, from the unpacked archive; or, as root, on a Linux host
       ./install.sh --usb        write venus-data.tar.gz, for a USB stick or SD card
       ./install.sh --bundle     write the archive for the GX to dist/
       ./install.sh --uninstall [--purge] [root@GX]
                                 remove it; --purge also removes config and unsent measurements
       ./install.sh --restore-old [root@GX]
                                 switch the D-Bus bridge on again; also with --uninstall
       ./install.sh --local      make a Python environment in this checkout
       ./install.sh --demo       the same, and run the demo

to install:
  --url URL, --api-key-file FILE  for the first config; if missing, you are asked
  --config FILE                   use this file as the first config
  --gx ADDRESS                    on a Linux host: the GX; if missing, it is searched for
  --fingerprint SHA256            on a Linux host: trust this certificate of the GX without asking
  --web-fingerprint SHA256        the same for the GX's web server, to pair with it
  --password-file FILE            on a Linux host: the GX's network password
  --instance NAME                 on a Linux host: the name of one of several services
  --take-over, --keep-old         on a GX: take over the D-Bus bridge's settings and retire it, or
                                  leave it running
  --wait SECONDS                  how long to watch the service at the end (90)
to uninstall:
  --instance NAME                 on a Linux host: remove only this service
  --yes                           do not ask; without a terminal it never asks
for the demo:
  --hold                          keep its status page up until Ctrl+C

An existing config is kept; options for the first config must then agree with it.
Options that cannot be combined are refused before anything is changed, with exit status 2.
SSH="ssh -p 2222" sets another ssh command, or options for it.
TEXT
}

# --- an environment in the checkout -------------------------------------------------------------

environment=$root/.venv/local

# Brings the environment up to date with this checkout. If it is already, nothing is downloaded; one
# that is incomplete after an interruption is made again.
need_environment() {
    if holds_checkout; then return; fi
    need_python
    say "making a Python environment in .venv/local"
    make_environment "$environment"
    state_of_checkout >"$environment/made-from"
}

holds_checkout() {
    [ -f "$environment/made-from" ] && [ "$(cat "$environment/made-from")" = "$(state_of_checkout)" ] &&
        "$environment/bin/mqtt-http-bridge" --version >/dev/null 2>&1
}

# Prints a checksum that changes when any file of the package does.
state_of_checkout() {
    (cd "$root" && find pyproject.toml service/*requirements.txt mqtt_http_bridge -type f \
        ! -path '*/__pycache__/*' -exec cksum {} + | LC_ALL=C sort | cksum)
}

# The same as on a host: the files of the archive, which include the packages of
# service/requirements.txt, and this machine's Python.
make_environment() { # directory
    use_laptop
    unpack_archive
    need_python
    rm -rf "$1" && mkdir -p "$1"
    cp -R "$unpacked/." "$1"
    "$python" -m venv --without-pip "$1/venv"
    mkdir "$1/bin"
    ln -s ../service/mqtt-http-bridge "$1/bin/mqtt-http-bridge"
}

# Sets $python to one that has venv. On Debian and Ubuntu venv is a separate package, and a minimal
# system has no Python either.
need_python() {
    if python=$(find_python 2>/dev/null) && has_venv; then return; fi
    packages="python3 python3-venv"
    [ -z "$python" ] || packages=$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')
    if ! command -v apt-get >/dev/null; then
        find_python >/dev/null
        die "expected Python's venv, found none: install it with this system's package manager"
    fi
    [ "$(id -u)" -eq 0 ] || die "expected Python and its venv: run: $(as_root "apt-get install -y $packages")"
    say "installing $packages"
    need_scratch
    # shellcheck disable=SC2086 # a list of words
    { apt update && apt install --no-install-recommends $packages; } || {
        tail -n 3 "$scratch/apt" >&2
        die "could not install $packages: is this machine online?"
    }
    python=$(find_python)
    has_venv || die "expected Python's venv after installing $packages, found none"
}

as_root() { # command
    if command -v sudo >/dev/null; then echo "sudo $1"; else echo "su -c '$1'"; fi
}

has_venv() { "$python" -c 'import venv, ensurepip' 2>/dev/null; }

apt() { # arguments of apt-get
    LC_ALL=C DEBIAN_FRONTEND=noninteractive \
        apt-get -y -q -o DPkg::Lock::Timeout=300 "$@" >"$scratch/apt" 2>&1
}

# --- what to do ---------------------------------------------------------------------------------

# Set by the files that are sourced below.
old_config='' outbox=''

use_gx() {
    # shellcheck source=service/gx.sh
    . "$root/service/gx.sh"
}

use_laptop() {
    # shellcheck source=service/laptop.sh
    . "$root/service/laptop.sh"
}

use_host() {
    use_laptop
    # shellcheck source=service/host.sh
    . "$root/service/host.sh"
}

# Prints the kind of machine that the action is for.
machine() {
    case $action in
    install | uninstall | restore-old)
        if [ -n "$target" ] || is_gx; then echo gx; else echo host; fi
        ;;
    from-usb) echo gx ;;
    *) echo none ;;
    esac
}

read_arguments "$@"
check_arguments "$(machine)"
case $action:$(machine):$target in
demo:*)
    hold=
    if is_given --hold; then hold=--hold; fi
    # The unpacked archive has everything it needs, except Python.
    if is_archive; then
        find_python >/dev/null
        exec "$root/service/mqtt-http-bridge" demo $hold
    fi
    need_environment
    on_exit # exec never returns, so the trap would not run.
    exec "$environment/bin/mqtt-http-bridge" demo $hold
    ;;
local:*)
    if is_archive; then
        refuse "--local: expected a checkout, found the archive: run it directly: service/mqtt-http-bridge"
    fi
    need_environment
    say "installed: .venv/local/bin/mqtt-http-bridge"
    ;;
bundle:* | usb:*)
    use_laptop
    "$action"
    ;;
from-usb:*)
    use_gx
    gx_install_from_usb
    ;;
*:gx:?*)
    use_laptop
    over_ssh
    ;;
*:gx:)
    use_gx
    case $action in
    install) gx_install ;;
    uninstall) gx_uninstall ;;
    restore-old) gx_restore_old ;;
    esac
    ;;
*:host:)
    use_host
    case $action in install) host_install ;; uninstall) host_uninstall ;; esac
    ;;
esac
