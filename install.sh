#!/bin/sh
# Installs mqtt-http-bridge. See README.md.
set -eu

root=$(cd "$(dirname "$0")" && pwd)

# shellcheck source=service/common.sh
. "$root/service/common.sh"

usage() {
    cat <<'TEXT'
usage: ./install.sh root@GX      from a laptop, over ssh, onto a GX
       ./install.sh              on a GX, from the unpacked archive; or, as root, on a Linux host
       ./install.sh --usb        write venus-data.tar.gz, for a USB stick or SD card
       ./install.sh --bundle     write the archive for the GX to dist/
       ./install.sh --uninstall [--purge] [root@GX]
                                 remove it; with --purge config and unsent measurements, too
       ./install.sh --local      make an environment in this checkout
       ./install.sh --demo       the same, and run the demo

options: --url URL, --api-key-file FILE    for the first config, which else asks for them
         --config FILE                     use this as the first config
         --gx ADDRESS                      on a Linux host: where the GX is
         --instance NAME                   on a Linux host: one of several services
         --take-over, --keep-old           settings of the D-Bus bridge: use them and retire it, or not
         --wait SECONDS                    how long to watch the service at the end (90)

SSH="ssh -p 2222" names another ssh, or gives it options.
TEXT
}

# --- an environment in the checkout -------------------------------------------------------------

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

# --- arguments ----------------------------------------------------------------------------------

action=install target='' uninstall='' purge=''
url='' api_key_file='' config='' gx_host='' instance='' old='' wait_s=90
# What the parts fill in.
old_config='' outbox=''

is_file() { # option file
    if ! [ -f "$2" ] || ! [ -r "$2" ]; then die "$1: expected a file to read, found none at '$2'"; fi
}

read_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
        --bundle | --usb | --from-usb | --local | --demo) action=${1#--} ;;
        --uninstall) uninstall=yes ;;
        --purge) purge=yes ;;
        --take-over | --keep-old) old=${1#--} ;;
        --url | --api-key-file | --config | --gx | --instance | --wait)
            [ $# -ge 2 ] || die "$1: expected a value after it, found none"
            read_option "$1" "$2"
            shift
            ;;
        --help | -h)
            usage
            exit
            ;;
        -* | '')
            usage >&2
            exit 2
            ;;
        *) target=$1 ;;
        esac
        shift
    done
}

read_option() { # option value
    case $1 in
    --url) url=$2 ;;
    --api-key-file) is_file "$1" "$2" && api_key_file=$2 ;;
    --config) is_file "$1" "$2" && config=$2 ;;
    --gx) gx_host=$2 ;;
    --instance) instance=$2 ;;
    --wait)
        case $2 in '' | *[!0-9]*) die "--wait: expected seconds, found '$2'" ;; esac
        wait_s=$2
        ;;
    esac
}

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

install_here() {
    if is_gx; then
        use_gx
        if [ -n "$uninstall" ]; then gx_uninstall; else gx_install; fi
    else
        use_host
        if [ -n "$uninstall" ]; then host_uninstall; else host_install; fi
    fi
}

read_arguments "$@"
case $action in
demo)
    make_environment "$root/.venv/local"
    exec "$root/.venv/local/bin/mqtt-http-bridge" demo
    ;;
local)
    make_environment "$root/.venv/local"
    echo "installed: .venv/local/bin/mqtt-http-bridge"
    ;;
bundle)
    use_laptop
    bundle
    ;;
usb)
    use_laptop
    usb
    ;;
from-usb)
    use_gx
    gx_install_from_usb
    ;;
install)
    if [ -n "$target" ]; then
        use_laptop
        over_ssh "$target"
    else
        install_here
    fi
    ;;
esac
