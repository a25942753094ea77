# shellcheck shell=sh disable=SC2015,SC2094
# Adds and removes the one line in /data/rc.local that starts the service at each boot.

rc_local=/data/rc.local
rc_disabled=/data/rc.local.disabled
rc_mark='# mqtt-http-bridge'
rc_boot=$home/current/service/gx/boot
# Also works in a script with `set -e`, and after this program has been deleted.
rc_line="[ ! -x $rc_boot ] || $rc_boot $rc_mark"
rc_created=$home/service/created-rc.local
# For a file that is not executable. Its lines did not run before, and must not run now.
rc_end="exit 0 # what follows was switched off before mqtt-http-bridge came $rc_mark"

add_boot_line() {
    if [ -e "$rc_local" ]; then
        write_boot_line "$rc_local"
    elif [ -e "$rc_disabled" ]; then
        say "start-up scripts are disabled on this GX: $rc_local was renamed to $rc_disabled."
        say "  The service runs now, but will not start after the next restart of the GX, until you"
        say "  enable start-up scripts in the GX's settings."
        write_boot_line "$rc_disabled"
    else
        : >"$rc_created"
        printf '#!/bin/sh\n%s\n' "$rc_line" | replace_rc "$rc_local" 755
    fi
}

# Writes our line first, so that neither an `exit 0` nor a line that fails keeps it from running.
write_boot_line() { # file
    first=$(head -n 1 "$1" | tr -d '\r')
    case $first in
    '#!'*sh | '#!'*'sh '*) shebang=$first rest=2 ;;
    '#!'*) die "$1: expected a shell script, found '$first': add this line yourself: $rc_line" ;;
    *) shebang='#!/bin/sh' rest=1 ;;
    esac
    end=
    if is_switched_off "$1"; then end=$rc_end; fi
    {
        printf '%s\n%s\n' "$shebang" "$rc_line"
        [ -z "$end" ] || printf '%s\n' "$end"
        tail -n +$rest "$1" | without_boot_line
    } | replace_rc "$1" 755
}

# Checks whether the other lines in the file are switched off.
is_switched_off() { # file
    [ "$1" = "$rc_local" ] || return 1
    ! [ -x "$1" ] || grep -qxF "$rc_end" "$1"
}

without_boot_line() { grep -v "$rc_mark\$" || :; }

has_boot_line() { # file
    [ -e "$1" ] && grep -q "$rc_mark\$" "$1"
}

remove_boot_lines() {
    for file in "$rc_local" "$rc_disabled"; do
        has_boot_line "$file" || continue
        mode=
        if is_switched_off "$file"; then mode=644; fi
        if [ -e "$rc_created" ] && [ "$(without_boot_line <"$file")" = '#!/bin/sh' ]; then
            rm "$file"
        else
            without_boot_line <"$file" | replace_rc "$file" "$mode"
        fi
    done
}

# Replaces a file with the standard input in one step. Keeps its mode, unless another one is given.
replace_rc() { # file mode
    target_file=$(readlink -f "$1")
    if [ -e "$target_file" ]; then cp -p "$target_file" "$target_file.new"; else : >"$target_file.new"; fi &&
        cat >"$target_file.new" && { [ -z "$2" ] || chmod "$2" "$target_file.new"; } &&
        mv "$target_file.new" "$target_file" ||
        die "$1: cannot write it: is /data full or read-only?"
}
