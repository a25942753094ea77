# shellcheck shell=sh disable=SC2015
# The D-Bus bridge that this product replaces: its settings are taken over, its service retired.

old_home=/data/dbus-victron-http-bridge
old_name=dbus-victron-http-bridge

# The directories in which supervise runs the old service.
old_services() {
    for entry in /service/*; do
        target=$(readlink -f "$entry") || continue
        case ${entry##*/}:$target/ in
        "$old_name":* | *:"$old_home"/*) echo "$entry" ;;
        esac
    done
}

old_lines() { grep "$old_name" "$rc_local" 2>/dev/null | grep -v '^[[:space:]]*#'; }

# Sets $old to what is done about the old bridge: nothing, keep-old, or take-over.
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
        die "found the D-Bus bridge at work ($old_home): with both everything is posted twice:" \
            "add --take-over (its settings are used, it is retired), or --keep-old"
    if [ "$old" = take-over ] && [ -f "$old_home/config.ini" ]; then
        old_config=$old_home/config.ini
    fi
}

retire_old_bridge() {
    [ "$old" = take-over ] || return 0
    for entry in $(old_services); do
        retire_service "$entry"
    done
    retire_lines
    say "the D-Bus bridge is retired: $old_home is left as it is, but does not run"
}

retire_service() { # entry of /service
    directory=$(readlink -f "$1")
    # Should something link it again, supervise leaves it down.
    : >"$directory/down"
    rm -rf "$1.retired"
    mv "$1" "/service/.${1##*/}" && end_supervise "$directory" && rm -rf "/service/.${1##*/}"
}

# A line may be a part of an `if`: what would break the script is left to the `down` file.
retire_lines() {
    [ -n "$(old_lines)" ] || return 0
    need_scratch
    sed "/^[[:space:]]*#/!s|^.*$old_name|# retired by mqtt-http-bridge: &|" "$rc_local" \
        >"$scratch/rc.local"
    if sh -n "$scratch/rc.local" 2>/dev/null; then
        replace_rc "$rc_local" <"$scratch/rc.local"
    else
        say "$rc_local: remove what starts $old_name there; it is marked as down meanwhile"
    fi
}
