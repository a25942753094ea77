# shellcheck shell=sh
# On a laptop: make the archive, bring it to a GX over ssh, or put it on a USB stick.

# --- the archive ------------------------------------------------------------------------------

# Sets $archive: made from a checkout, or packed again where this is an unpacked one.
make_archive() { # directory
    if is_archive; then
        archive=$1/mqtt-http-bridge-$(cat "$root/BUILD").tar.gz
        COPYFILE_DISABLE=1 tar -cf - -C "$root/.." "${root##*/}" | gzip -n >"$archive"
        return
    fi
    need_scratch
    python=$(find_python)
    fetch_wheels "$scratch/wheels"
    archive=$1/mqtt-http-bridge.tar.gz
    "$python" "$root/service/bundle.py" "$root" "$scratch/wheels" "$archive" >"$scratch/said" ||
        die "no archive was made, see above"
    is_small "$archive"
}

# The wheels for the GX, whatever this machine is.
fetch_wheels() { # directory
    "$python" -m pip --version >/dev/null 2>&1 || make_pip
    "$python" -m pip -q --disable-pip-version-check download --no-deps --require-hashes \
        --only-binary :all: --platform manylinux2014_x86_64 --implementation cp \
        --python-version 3.12 --abi cp312 -d "$1" -r "$root/service/requirements.txt" ||
        die "could not fetch what the archive carries, see above: is this machine online?"
}

make_pip() {
    "$python" -m venv "$scratch/venv" ||
        die "expected pip or Python's venv, found neither: as root: apt-get install python3-venv"
    python=$scratch/venv/bin/python
}

is_small() { # file
    [ "$(wc -c <"$1")" -lt 3000000 ] || die "$1: expected less than 3 MB, found $(wc -c <"$1") bytes"
}

bundle() {
    mkdir -p "$root/dist"
    make_archive "$root/dist"
    say "made dist/${archive##*/}: $(($(wc -c <"$archive") / 1000)) kB"
}

# Unpacks a fresh archive into $scratch/archive: for what needs one and was started in a checkout.
unpack_archive() {
    need_scratch
    make_archive "$scratch"
    mkdir "$scratch/archive"
    gzip -dc "$archive" | tar -xf - -C "$scratch/archive"
    for unpacked in "$scratch/archive"/*; do :; done
}

# --- a USB stick or SD card -------------------------------------------------------------------

usb() {
    unpack_archive
    mkdir -p "$scratch/usb/rc"
    incoming=$scratch/usb/mqtt-http-bridge-usb
    mv "$unpacked" "$incoming"
    python=$(find_python)
    make_config "$incoming/config.yaml" run_from "$incoming"
    run_from "$incoming" config test -c "$incoming/config.yaml" || exit 1
    { cat "$incoming/BUILD" && cksum <"$incoming/config.yaml"; } >"$incoming/ID"
    # Nobody can be asked at boot, and with both bridges everything is posted twice.
    echo "${old:-take-over}" >"$incoming/OLD"
    cp "$incoming/service/post-hook.sh" "$scratch/usb/rc/post-hook.sh"
    chmod 755 "$scratch/usb/rc/post-hook.sh"
    (umask 077 && COPYFILE_DISABLE=1 tar -cf - -C "$scratch/usb" mqtt-http-bridge-usb rc | gzip -n \
        >venus-data.tar.gz)
    say "made venus-data.tar.gz; your API key is in it. Copy it to the root of a USB stick or SD"
    say "card, put that into the GX and restart it. Then take it out: the GX unpacks it at every"
    say "boot. What was done stands in /data/mqtt-http-bridge/usb.log on the GX."
}

run_from() { # directory of an archive, arguments of the command
    directory=$1
    shift
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$directory/lib "$python" -sP -m mqtt_http_bridge "$@"
}

# --- over ssh ---------------------------------------------------------------------------------

upload=/data/mqtt-http-bridge/.upload

# One connection for all of it, so that a password is asked for once. $SSH may bear options.
remote() { # ssh options, command
    # shellcheck disable=SC2086 # a command and its options
    ${SSH:-ssh} -o ControlMaster=auto -o ControlPath="$scratch/s" -o ControlPersist=60 \
        -o ConnectTimeout=15 "$@"
}

quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

over_ssh() { # target
    target=$1
    # shellcheck disable=SC2086 # a command and its options
    command -v ${SSH:-ssh} >/dev/null 2>&1 ||
        die "expected ssh, found none: install OpenSSH's client, or use ./install.sh --usb"
    need_scratch
    trap 'remote -O exit "$target" 2>/dev/null || :; on_exit' EXIT
    reach
    if [ -n "$uninstall" ]; then
        remote "$target" "sh $(remote_home)/install.sh --uninstall${purge:+ --purge}"
        return
    fi
    make_archive "$scratch"
    say "copying $(($(wc -c <"$archive") / 1000)) kB to $target"
    remote "$target" "rm -rf $upload && mkdir -p $upload && cd $upload && gzip -dc | tar -xf -" \
        <"$archive" || die "$target: could not copy the archive, see above; nothing was changed"
    send "$api_key_file" api_key && send "$config" config.yaml
    terminal=
    if has_terminal; then terminal=-t; fi
    # shellcheck disable=SC2086 # no option, or one
    remote $terminal "$target" "cd $upload/*/ && trap 'rm -rf $upload' EXIT &&
        sh ./install.sh $(remote_options)"
}

remote_home() { echo /data/mqtt-http-bridge/current; }

remote_options() {
    [ -z "$url" ] || printf ' --url %s' "$(quoted "$url")"
    [ -z "$api_key_file" ] || printf ' --api-key-file %s' "$upload/api_key"
    [ -z "$config" ] || printf ' --config %s' "$upload/config.yaml"
    [ -z "$old" ] || printf ' --%s' "$old"
    printf ' --wait %s' "$wait_s"
}

send() { # file or nothing, name there
    [ -n "$1" ] || return 0
    remote "$target" "umask 077 && cat >$upload/$2" <"$1" ||
        die "$1: could not copy it to $target, see above"
}

# Sees whether there is a GX, and whether it can run the service.
reach() {
    status=0
    remote "$target" sh -s <"$root/service/gx/preflight" >"$scratch/said" 2>"$scratch/wrong" ||
        status=$?
    cat "$scratch/wrong" >&2
    grep -q '^preflight: passed' "$scratch/said" && return
    [ "$status" -eq 255 ] || die "$target: not installed, see above; nothing was changed"
    case $(cat "$scratch/wrong") in
    *resolve*) die "$target: expected a name that resolves, found none: use the IP address" \
        "that the GX shows under its network settings" ;;
    *"ermission denied"*) die "$target: expected to log in, was refused: set a root password in" \
        "the GX's settings, or add your key" ;;
    *) die "$target: expected an ssh server, could not reach one: switch on SSH in the GX's" \
        "settings, or use ./install.sh --usb" ;;
    esac
}
