# shellcheck shell=sh disable=SC2015,SC2094
# The one line in /data/rc.local that starts the service after each boot.

rc_local=/data/rc.local
rc_disabled=/data/rc.local.disabled
rc_mark='# mqtt-http-bridge'
rc_boot=$home/current/service/gx/boot
# Right in a script with `set -e`, and when this program is gone.
rc_line="[ ! -x $rc_boot ] || $rc_boot $rc_mark"
rc_created=$home/service/created-rc.local

add_boot_line() {
    if [ -e "$rc_local" ]; then
        write_boot_line "$rc_local"
    elif [ -e "$rc_disabled" ]; then
        say "start-up scripts are disabled on this GX: $rc_local has become $rc_disabled."
        say "  The service runs now, and ends with the next restart of the GX. Its line is in"
        say "  $rc_disabled: enable start-up scripts in the GX's settings to have it back."
        write_boot_line "$rc_disabled"
    else
        : >"$rc_created"
        printf '#!/bin/sh\n%s\n' "$rc_line" | replace_rc "$rc_local"
    fi
}

# Our line comes first, so that neither an `exit 0` nor a line that fails keeps it from running.
write_boot_line() { # file
    first=$(head -n 1 "$1" | tr -d '\r')
    case $first in
    '#!'*sh | '#!'*'sh '*) shebang=$first rest=2 ;;
    '#!'*) die "$1: expected a shell script, found '$first': add this line yourself: $rc_line" ;;
    *) shebang='#!/bin/sh' rest=1 ;;
    esac
    {
        printf '%s\n%s\n' "$shebang" "$rc_line"
        tail -n +$rest "$1" | without_boot_line
    } | replace_rc "$1"
}

without_boot_line() { grep -v "$rc_mark\$" || :; }

remove_boot_lines() {
    for file in "$rc_local" "$rc_disabled"; do
        [ -e "$file" ] && grep -q "$rc_mark\$" "$file" || continue
        if [ -e "$rc_created" ] && [ "$(without_boot_line <"$file")" = '#!/bin/sh' ]; then
            rm "$file"
        else
            without_boot_line <"$file" | replace_rc "$file"
        fi
    done
}

# Replaces the file with the standard input in one step, and makes it executable.
replace_rc() { # file
    target=$(readlink -f "$1")
    cat >"$target.new" && chmod 755 "$target.new" && mv "$target.new" "$target" ||
        die "$1: cannot write it: is /data full or read-only?"
}
