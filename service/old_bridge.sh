# shellcheck shell=sh disable=SC2015
# Takes over the settings of the D-Bus bridge, which this product replaces, and retires its service.

old_home=/data/dbus-victron-http-bridge
old_name=dbus-victron-http-bridge
retired_mark='retired by mqtt-http-bridge'

# Prints the entries of /service that run the old bridge.
old_services() {
    for entry in /service/*; do
        target=$(readlink -f "$entry") || continue
        case ${entry##*/}:$target/ in
        "$old_name":* | *:"$old_home"/*) echo "$entry" ;;
        esac
    done
}

old_lines() { grep "$old_name" "$rc_local" 2>/dev/null | grep -v '^[[:space:]]*#'; }

# Decides what to do about the old bridge, and sets $old: nothing, keep-old, or take-over.
decide_about_old_bridge() {
    [ -n "$(old_services)$(old_lines)" ] || { [ -f "$old_home/config.ini" ] && ! [ -e "$config_file" ]; } || {
        old=nothing
        return
    }
    if [ -z "$old" ] && has_terminal; then
        if is_yes "found the D-Bus bridge in $old_home: take over its settings and retire it?"; then
            old=take-over
        else
            old=keep-old
        fi
    fi
    if [ -z "$old" ] && [ -z "$(old_services)$(old_lines)" ]; then old=nothing; fi
    [ -n "$old" ] ||
        die "found the D-Bus bridge ($old_home): if both run, everything is posted twice:" \
            "add --take-over to use its settings and retire it, or --keep-old to keep it running"
    if [ "$old" = take-over ] && [ -f "$old_home/config.ini" ]; then
        if [ -e "$config_file" ]; then
            say "$old_home/config.ini: not used, because $config_file exists already"
        else
            old_config=$old_home/config.ini
        fi
    fi
}

retire_old_bridge() {
    [ "$old" = take-over ] || return 0
    retired=yes
    for entry in $(old_services); do
        retire_service "$entry"
    done
    retire_lines
    say "the D-Bus bridge is retired: it no longer runs; its files stay in $old_home"
}

retire_service() { # entry of /service
    directory=$(readlink -f "$1")
    # If something links it into /service again, supervise does not start it.
    echo "$retired_mark: $1" >"$directory/down"
    rm -rf "$1.retired"
    mv "$1" "/service/.${1##*/}" && end_supervise "$directory" && rm -rf "/service/.${1##*/}"
}

# Comments out the lines that start it. If that would break the script, because a line is part of an
# `if`, the lines stay, and the `down` file alone keeps it from running.
retire_lines() {
    [ -n "$(old_lines)" ] || return 0
    need_scratch
    sed "/^[[:space:]]*#/!s|^.*$old_name|# $retired_mark: &|" "$rc_local" >"$scratch/rc.local"
    if sh -n "$scratch/rc.local" 2>/dev/null; then
        replace_rc "$rc_local" '' <"$scratch/rc.local"
    else
        say "$rc_local: remove the lines that start $old_name; until then a down file keeps it stopped"
    fi
}

# --- and back -----------------------------------------------------------------------------------

# Prints the `down` files that keep a retired service from running.
retired_downs() {
    find /data -maxdepth 4 -name down -type f 2>/dev/null | while read -r file; do
        if grep -q "^$retired_mark: " "$file"; then echo "$file"; fi
    done
}

is_retired() {
    [ -n "$(retired_downs)" ] || grep -q "^# $retired_mark: " "$rc_local" "$rc_disabled" 2>/dev/null
}

# Says so if the D-Bus bridge is still retired.
tell_retired() {
    is_retired || return 0
    say "the D-Bus bridge in $old_home stays retired: it does not run. --restore-old brings it back"
}

restore_old_bridge() {
    for file in "$rc_local" "$rc_disabled"; do
        grep -q "^# $retired_mark: " "$file" 2>/dev/null || continue
        sed "s|^# $retired_mark: ||" "$file" | replace_rc "$file" ''
    done
    retired_downs | while read -r file; do
        entry=$(sed -n "s/^$retired_mark: //p" "$file")
        rm -f "$file"
        [ -e "$entry" ] || ln -s "${file%/down}" "$entry"
        svc -u "$entry" 2>/dev/null || : # If supervise is not running yet, it will start the bridge.
    done
    say "the D-Bus bridge runs again, and starts at each boot"
}

gx_restore_old() {
    must_be_root
    is_retired || die "expected a D-Bus bridge that was retired here, found none"
    if [ -e "$home/current" ]; then
        refuse "--restore-old: expected mqtt-http-bridge to be uninstalled, found it installed: if both" \
            "run, everything is posted twice: add --uninstall"
    fi
    restore_old_bridge
}
