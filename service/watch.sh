# shellcheck shell=sh
# Reads what the service says for scripts, and watches it after its start. Its log is only shown,
# not parsed: the file that sources this defines new_lines, which prints the lines since the start.

# Sets $state to what the service reports about itself now.
look() {
    state=$("$command" status --lines -c "$config_file" 2>/dev/null) || :
}

# Sets $state to what the outbox of a config holds now; to nothing if that cannot be read.
look_into_outbox() { # command, config
    state=$("$1" outbox status --lines -c "$2" 2>/dev/null) || state=
}

value() { # name
    printf '%s\n' "$state" | sed -n "s/^$1=//p"
}

# Notes which process runs now, to recognize a new one.
note_service() {
    state=
    [ ! -x "$command" ] || look
    process_before=$(value process)
}

# Checks whether a new process is running.
is_new() {
    [ "$(value running)" = yes ] && [ "$(value process)" != "$process_before" ]
}

# Shows what the service says until a measurement is stored, or $wait_s have passed.
watch_service() {
    say "watching the service for up to $wait_s s; Ctrl+C stops watching, not the service:"
    shown=0 seconds=0
    while :; do
        lines=$(new_lines)
        printf '%s\n' "$lines" | tail -n +$((shown + 1))
        shown=$(printf '%s\n' "$lines" | wc -l)
        look
        if is_new && [ -n "$(value stored)" ]; then break; fi
        [ $seconds -lt "$wait_s" ] || break
        sleep 1
        seconds=$((seconds + 1))
    done
    sum_up
}

sum_up() {
    is_new || state=
    gx=$(value gx) chargers=$(value chargers) stored=$(value stored)
    say
    say "portal id:  ${gx:-not yet: is this a GX, is it running, and can it be reached?}"
    say "chargers:   ${chargers:-0} measured"
    if [ -n "$stored" ]; then
        say "first POST: stored at the backend"
    else
        say "first POST: not yet: see the lines above; more will be in $log_place"
    fi
}
