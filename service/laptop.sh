# shellcheck shell=sh
# Runs on a laptop: makes the archive, installs it on a GX over ssh, or packs it for a USB stick.

# --- the archive ------------------------------------------------------------------------------

# Makes the archive from a checkout, or packs an unpacked one again. Sets $archive.
make_archive() { # directory
    if is_archive; then
        archive=$1/mqtt-http-bridge-$(cat "$root/BUILD").tar.gz
        COPYFILE_DISABLE=1 tar -cf - -C "$root/.." "${root##*/}" | gzip -n >"$archive"
        return
    fi
    need_scratch
    python=$(find_python)
    fetch_wheels "$scratch/wheels"
    build_wheel "$scratch/wheels"
    archive=$1/mqtt-http-bridge.tar.gz
    "$python" "$root/service/bundle.py" "$root" "$scratch/wheels" "$archive" >"$scratch/said" ||
        die "no archive was made, see above"
    is_small "$archive"
}

# Downloads the wheels for the GX, whatever kind of machine this is.
fetch_wheels() { # directory
    "$python" -m pip --version >/dev/null 2>&1 || make_pip
    pip download --no-deps --require-hashes \
        --only-binary :all: --platform manylinux2014_x86_64 --implementation cp \
        --python-version 3.12 --abi cp312 -d "$1" -r "$root/service/requirements.txt" ||
        die "could not download the packages for the archive: is this machine online? $(pip_said)"
}

pip() { # arguments
    PIP_RETRIES=1 PIP_DEFAULT_TIMEOUT=15 \
        "$python" -m pip -q --disable-pip-version-check "$@" >"$scratch/pip" 2>&1
}
pip_said() { echo "pip said: $(grep -v '^ *$' "$scratch/pip" | tail -n 1)"; }

# Builds the wheel of this checkout, from a copy: a build leaves files in a checkout that the next
# build would pack.
build_wheel() { # directory
    pip install --no-deps --require-hashes \
        --only-binary :all: --target "$scratch/build" -r "$root/service/build-requirements.txt" ||
        die "could not download the build tools: is this machine online? $(pip_said)"
    mkdir "$scratch/source"
    for member in mqtt_http_bridge config.yaml.example pyproject.toml README.md LICENSE; do
        cp -R "$root/$member" "$scratch/source/$member" || die "$root/$member: cannot copy it"
    done
    PYTHONPATH=$scratch/build pip wheel --no-deps --no-build-isolation -w "$1" "$scratch/source" ||
        die "could not build the package: $(pip_said)"
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

# Makes an archive and unpacks it into $scratch/archive, for an installation from a checkout.
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
    run_from "$incoming" config test -c "$incoming/config.yaml" ||
        die "venus-data.tar.gz was not made${config:+ with $config}: fix the error above"
    { cat "$incoming/BUILD" && cksum <"$incoming/config.yaml"; } >"$incoming/ID"
    # Nobody can be asked at boot, and with both bridges everything would be posted twice.
    echo "${old:-take-over}" >"$incoming/OLD"
    cp "$incoming/service/post-hook.sh" "$scratch/usb/rc/post-hook.sh"
    chmod 755 "$scratch/usb/rc/post-hook.sh"
    (umask 077 && COPYFILE_DISABLE=1 tar -cf - -C "$scratch/usb" mqtt-http-bridge-usb rc | gzip -n \
        >venus-data.tar.gz)
    say "made venus-data.tar.gz. Copy it to a USB stick or SD card, not into a folder."
    say "Put it into the GX and restart the GX. Your backend should have the first value a few"
    say "minutes later. Then take the stick out: your API key is on it."
    say "If nothing arrives: docs/troubleshooting.md, \"Installed by stick\"."
}

run_from() { # directory of an archive, arguments of the command
    directory=$1
    shift
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$directory/lib "$python" -sP -m mqtt_http_bridge "$@"
}

# --- over ssh ---------------------------------------------------------------------------------

upload=/data/mqtt-http-bridge/.upload

# Runs a command over ssh. All share one connection, so that the password is asked for only once.
# $SSH may contain options.
remote() { # ssh options, command
    # shellcheck disable=SC2086 # a command and its options
    ${SSH:-ssh} -o ControlMaster=auto -o ControlPath="$scratch/s" -o ControlPersist=60 \
        -o ConnectTimeout=15 "$@"
}

quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

over_ssh() {
    # shellcheck disable=SC2086 # a command and its options
    command -v ${SSH:-ssh} >/dev/null 2>&1 ||
        die "expected ssh, found none: install OpenSSH's client, or use ./install.sh --usb"
    need_scratch
    trap 'remote -O exit "$target" 2>/dev/null || :; on_exit' EXIT
    terminal=
    if has_terminal; then terminal=-t; fi
    case $action in install) ssh_install ;; *) ssh_remove ;; esac
}

ssh_install() {
    reach
    make_archive "$scratch"
    say "copying $(($(wc -c <"$archive") / 1000)) kB to $target"
    remote "$target" "rm -rf $upload && mkdir -p $upload && cd $upload && gzip -dc | tar -xf -" \
        <"$archive" || die "$target: could not copy the archive, see above; nothing was changed"
    send "$api_key_file" api_key && send "$config" config.yaml
    # shellcheck disable=SC2086 # no option, or one
    remote $terminal "$target" "cd $upload/*/ && trap 'rm -rf $upload; rmdir ${upload%/*} 2>/dev/null' EXIT &&
        sh ./install.sh $(remote_options)"
}

# Copies this installer over and runs it: the one on the GX may be gone or damaged. It is a few
# kilobytes, and goes to /tmp, which is in memory, because /data may be full.
ssh_remove() {
    reach --remove
    # shellcheck disable=SC2016 # it is for the shell over there
    there=$(tar -cf - -C "$root" install.sh service | gzip | remote "$target" \
        'd=$(mktemp -d /tmp/mqtt-http-bridge.XXXXXX) && gzip -dc | tar -xf - -C "$d" && echo "$d"') ||
        die "$target: could not copy the installer, see above; nothing was changed"
    options=
    for option in $given; do options="$options $option"; done
    [ "$action" = restore-old ] || options="--uninstall$options"
    # shellcheck disable=SC2086 # no option, or one
    remote $terminal "$target" "trap 'rm -rf $there' EXIT && sh $there/install.sh $options"
}

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

# Checks that the target is a GX, and that it can run the service.
reach() { # option of preflight
    status=0
    # shellcheck disable=SC2086 # no option, or one
    remote "$target" sh -s -- "$@" <"$root/service/gx/preflight" >"$scratch/said" 2>"$scratch/wrong" ||
        status=$?
    cat "$scratch/wrong" >&2
    grep -q '^preflight: passed' "$scratch/said" && return
    [ "$status" -eq 255 ] || die "$target: not ${action}ed, see above; nothing was changed"
    case $(cat "$scratch/wrong") in
    *resolve*) die "$target: expected a name that resolves, found none: use the IP address" \
        "that the GX shows under its network settings" ;;
    *"ermission denied"*) die "$target: expected to log in, was refused: set a root password in" \
        "the GX's settings, or add your ssh key" ;;
    *) die "$target: expected an ssh server, could not reach one: switch on SSH in the GX's" \
        "settings, or use ./install.sh --usb" ;;
    esac
}
