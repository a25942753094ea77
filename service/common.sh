# shellcheck shell=sh
# What all parts of install.sh use. They find in $root where install.sh stands.

umask 022
scratch=
on_exit() {
    [ -z "$scratch" ] || rm -rf "$scratch"
}
trap on_exit EXIT
trap 'exit 1' HUP INT TERM

say() { printf '%s\n' "$*"; }

die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

# A directory for passing things, which only its owner can read.
need_scratch() {
    [ -n "$scratch" ] || scratch=$(mktemp -d "${TMPDIR:-/tmp}/mqtt-http-bridge.XXXXXX") ||
        die "cannot make a temporary directory: free some space in ${TMPDIR:-/tmp}"
}

is_archive() { [ -f "$root/BUILD" ]; }
is_gx() { [ -d /data ] && [ -d /service ] && command -v svc >/dev/null; }
has_terminal() { [ -t 0 ]; }

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

# --- questions --------------------------------------------------------------------------------

ask() { # variable question
    printf '%s: ' "$2" >&2
    read -r "${1?}" || die "expected an answer, found the end of the input"
}

ask_secret() { # variable question
    stty -echo 2>/dev/null || :
    ask "$1" "$2 (not shown)"
    stty echo 2>/dev/null || :
    printf '\n' >&2
}

is_yes() { # question
    ask reply "$1 [y/n]"
    # shellcheck disable=SC2154 # set by ask
    case $reply in [yY]*) return 0 ;; *) return 1 ;; esac
}

# --- config -----------------------------------------------------------------------------------

# Makes the first config from --config, or --url and --api-key-file, or by asking.
make_config() { # file, command and further arguments of `config make`
    file=$1
    shift
    if [ -n "$config" ]; then
        (umask 077 && cp "$config" "$file") || die "$config: cannot copy it to $file"
        return
    fi
    if [ -z "$url$old_config" ]; then
        has_terminal ||
            die "$file: expected a config, found none: add --url and --api-key-file"
        ask url "URL of the backend (such as https://solar.example.org)"
    fi
    if [ -z "$api_key_file$old_config" ]; then
        has_terminal || die "$file: expected an API key, found none: add --api-key-file"
        need_scratch
        ask_secret key "API key of the backend"
        api_key_file=$scratch/api_key
        # shellcheck disable=SC2154 # set by ask_secret
        (umask 077 && printf '%s\n' "$key" >"$api_key_file")
    fi
    "$@" config make -o "$file" ${url:+--url "$url"} ${gx_host:+--gx "$gx_host"} \
        ${api_key_file:+--api-key-file "$api_key_file"} ${outbox:+--outbox "$outbox"} \
        ${old_config:+--old-config "$old_config"} || die "no config was made: mend what is said above"
}

# Runs the check of the chain, where the installed version has one.
run_check() { # command file
    if "$1" check --help >/dev/null 2>&1; then
        say "checking:"
        "$1" check -c "$2" ||
            say "the check found the above; the service keeps trying until it is mended"
    fi
}

# --- releases ---------------------------------------------------------------------------------
# A release is a directory of its own below $home, complete from the moment it has its name;
# `current` is a link to the one in use.

# Points a link elsewhere in one step: there is no moment without it.
point() { # link target
    "${python:-python3}" -c '
import os, sys
link, target = sys.argv[1:]
new = link + ".new"
if os.path.lexists(new):
    os.unlink(new)
os.symlink(target, new)
os.replace(new, link)' "$1" "$2" || die "$1: cannot point it to $2: is the disk full or read-only?"
}

previous_release() { readlink "$home/current" 2>/dev/null || :; }

# Copies the archive to $home/<its build>, and sees that it can run there.
add_release() {
    build=$(cat "$root/BUILD")
    release=$home/$build
    rm -rf "$home"/.new.*
    if [ -d "$release" ]; then return; fi
    new=$home/.new.$$
    if mkdir -p "$home" && mkdir "$new" && copy_release "$new"; then
        sync
        if mv "$new" "$release"; then return; fi
    fi
    rm -rf "$new"
    die "$release: cannot put the new version there, see above; nothing else was changed"
}

copy_release() { # directory
    for member in BUILD LICENSE README.md CHANGELOG.md config.yaml.example install.sh service lib \
        licenses; do
        cp -R "$root/$member" "$1/$member" || return 1
    done
    add_environment "$1" || return 1
    "$1/service/mqtt-http-bridge" --version >/dev/null || return 1
}

# Nothing on a GX; a host adds its interpreter.
add_environment() { # directory
    :
}

# Removes every release but the one in use.
remove_old_releases() {
    for directory in "$home"/*/; do
        directory=${directory%/}
        name=${directory##*/}
        if [ "$name" = "$(cat "$directory/BUILD" 2>/dev/null)" ] && [ "$name" != "$(previous_release)" ]; then
            rm -rf "$directory"
        fi
    done
}

remove_releases() {
    rm -rf "$home/current" "$home"/.new.*
    remove_old_releases
}
