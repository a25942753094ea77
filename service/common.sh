# shellcheck shell=sh
# Functions that all parts of install.sh use. $root is the folder that install.sh is in.

umask 022
scratch=
# The function that undoes an installation, while one is under way.
undo=
on_exit() {
    if [ -n "$undo" ]; then
        trap '' HUP INT TERM
        set +e
        undone=$($undo 2>&1)
        if [ -n "$undone" ]; then
            say "not installed; this was undone:" "
$undone" >&2
        else
            say "not installed; nothing was changed" >&2
        fi
    fi
    [ -z "$scratch" ] || rm -rf "$scratch"
}
trap on_exit EXIT
trap 'exit 1' HUP INT TERM

say() { printf '%s\n' "$*"; }

die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

# Makes a directory for temporary files, which only its owner can read.
need_scratch() {
    [ -n "$scratch" ] || scratch=$(mktemp -d "${TMPDIR:-/tmp}/mqtt-http-bridge.XXXXXX") ||
        die "cannot make a temporary directory: free some space in ${TMPDIR:-/tmp}"
}

is_archive() { [ -f "$root/BUILD" ]; }
is_gx() { [ -d /data ] && [ -d /service ] && command -v svc >/dev/null; }
has_terminal() { [ -t 0 ]; }

# Prints the command of a Python from 3.11 on: $PYTHON, python3, or the newest.
find_python() {
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    found=$(python3 --version 2>/dev/null) || found="no python3"
    die "expected Python 3.11 or newer, found $found: install one, or set PYTHON=... to its command"
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

# Refuses options for the first config if there is a config that says something else: that is kept.
must_agree() { # config, directory of an archive
    [ -e "$1" ] || return 0
    if [ -n "$config" ]; then
        cmp -s "$config" "$1" || refuse "--config: expected no config yet, or the same, found another" \
            "in $1: leave the option out to keep that one, or edit it"
    fi
    [ -n "$url$gx_host$api_key_file$fingerprint$web_fingerprint" ] || return 0
    wrong=$(PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$2/lib "${python:-python3}" "$2/service/agrees.py" "$1" \
        ${url:+--url "$url"} ${gx_host:+--gx "$gx_host"} ${fingerprint:+--fingerprint "$fingerprint"} \
        ${web_fingerprint:+--web-fingerprint "$web_fingerprint"} \
        ${api_key_file:+--api-key-file "$api_key_file"}) || die "$1: cannot compare it, see above"
    [ -z "$wrong" ] || refuse "$wrong: expected the same as in $1, found something else: leave" \
        "the option out to keep the config, or edit that file"
}

# Makes the first config, and checks it before it gets its name. Sets $made_config.
make_first_config() { # file, command
    draft=${1%/*}/.first-${1##*/}
    rm -f "$draft"
    made_draft=$draft
    make_config "$draft" "$2"
    "$2" config test -c "$draft" || die "no config was made${config:+ of $config}: fix the error above"
    mv "$draft" "$1" || die "$1: cannot write it: is the disk full or read-only?"
    made_draft='' made_config=$1
}

# Makes a config from --config, or --url and --api-key-file, or by asking.
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
        ${old_config:+--old-config "$old_config"} || die "no config was made: fix the error above"
}

# Runs `check`, if the installed version has it.
run_check() { # command file
    if "$1" check --help >/dev/null 2>&1; then
        say "checking:"
        "$1" check --no-post -c "$2" ||
            say "the check found the problems above; the service keeps trying until they are fixed"
    fi
}

# --- before anything is removed -----------------------------------------------------------------

# Says what is unsent in the outbox of a config, by `outbox status`.
tell_unsent() { # command, config
    [ -f "$2" ] || return 0
    if [ -x "$1" ]; then
        "$1" outbox status -c "$2" 2>&1 | sed 's/^mqtt-http-bridge: //; s/^/    /'
    else
        say "    how much is unsent is not known, as the program is gone"
    fi
}

# Asks, if there is a terminal. Without one there is nobody to ask: the command line is enough.
confirm() {
    if is_given --yes || ! has_terminal; then return 0; fi
    is_yes "go on?" || die "nothing was removed"
}

# --- releases ---------------------------------------------------------------------------------
# Each release is a directory below $home, which gets its name only when it is complete; `current` is
# a link to the one in use. If that one is damaged, its replacement gets the same name with a + at
# the end, so that there is a release at every moment.

made_release='' made_config='' made_draft=''

# Changes where a link points in one step, so that it exists at every moment.
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

about_release() { # arguments of release.py
    "${python:-python3}" "$root/service/release.py" "$@"
}

# Copies the archive to $home/$release_name and checks that it runs there. Does nothing if it is there.
add_release() {
    build=$(cat "$root/BUILD")
    rm -rf "$home"/.new.*
    for release_name in "$build" "$build+"; do
        release=$home/$release_name
        if [ -d "$release" ] && is_whole "$release"; then return; fi
    done
    release_name=$build
    if [ "$(previous_release)" = "$build" ]; then release_name=$build+; fi
    release=$home/$release_name new=$home/.new.$$
    rm -rf "$release"
    if mkdir -p "$home" && mkdir "$new" && copy_release "$new"; then
        sync
        if mv "$new" "$release"; then
            made_release=$release
            return
        fi
    fi
    rm -rf "$new"
    die "$release: cannot put the new version there, see above"
}

# Checks that a release is the same as in the archive, and runs; if not, says what is wrong with it.
is_whole() { # directory
    difference=$(about_release differs "$root" "$1") || difference="cannot be read"
    if [ -z "$difference" ]; then
        # A compiled file may be damaged although its source is not.
        about_release compile-again "$1"
        "$1/service/mqtt-http-bridge" --version >/dev/null 2>&1 || difference="does not run"
    fi
    [ -n "$difference" ] || return 0
    say "$1 is damaged (it $difference): replacing it"
    return 1
}

copy_release() { # directory
    for member in BUILD LICENSE README.md CHANGELOG.md config.yaml.example docs install.sh service \
        lib licenses; do
        cp -R "$root/$member" "$1/$member" || return 1
    done
    add_environment "$1" || return 1
    "$1/service/mqtt-http-bridge" --version >/dev/null || return 1
}

# Does nothing on a GX. On a host, host.sh defines another one, which adds the interpreter.
add_environment() { # directory
    :
}

# Removes every release but the one in use.
remove_old_releases() {
    for directory in "$home"/[0-9]*-*/; do
        directory=${directory%/}
        if [ -f "$directory/install.sh" ] && [ "${directory##*/}" != "$(previous_release)" ]; then
            rm -rf "$directory"
        fi
    done
}

remove_releases() {
    rm -rf "$home/current" "$home"/.new.*
    remove_old_releases
}

# Undoes what add_release and make_first_config did.
undo_files() {
    if [ -f "$made_config" ]; then rm -f "$made_config" && say "  $made_config was removed"; fi
    [ -z "$made_draft" ] || rm -f "$made_draft"
    if [ -n "$made_release" ]; then rm -rf "$made_release" && say "  $made_release was removed"; fi
}
