# shellcheck shell=sh
# What the service says of itself, read from multilog's file.

# Notes where the log ends now: what comes after is new.
note_log() { last_stamp=$(tail -n 1 "$log_directory/current" 2>/dev/null | cut -d ' ' -f 1); }

# The lines since then, without their time stamps.
new_lines() {
    [ -f "$log_directory/current" ] || return 0
    # multilog may have begun a new file meanwhile: then all of it is new.
    if [ -n "$last_stamp" ] && grep -q "^$last_stamp" "$log_directory/current"; then
        sed "1,/^$last_stamp/d" "$log_directory/current"
    else
        cat "$log_directory/current"
    fi | sed 's/^@[0-9a-f]* / /'
}

# Shows what the service says until a measurement has arrived, or $wait_s have passed.
watch_log() {
    say "watching the service for up to $wait_s s; Ctrl+C ends the watching, not the service:"
    shown=0 seconds=0
    while :; do
        lines=$(new_lines)
        printf '%s\n' "$lines" | tail -n +$((shown + 1))
        shown=$(printf '%s\n' "$lines" | wc -l)
        case $lines in *"the backend takes measurements"*) break ;; esac
        [ $seconds -lt "$wait_s" ] || break
        sleep 1
        seconds=$((seconds + 1))
    done
    sum_up "$lines"
}

sum_up() { # lines
    say
    say "portal id:  $(found 'found the GX with portal id' || echo "not yet: is it a GX that runs, and reachable?")"
    say "chargers:   $(printf '%s\n' "$lines" | grep -c ' is measured') measured"
    say "first POST: $(found 'the backend takes measurements' || echo "not yet: see the lines above; they go on in $log_place")"
}

found() { # text
    printf '%s\n' "$lines" | grep "$1" | head -n 1 | sed "s/^ *INFO //; s/.*found the GX with portal id //" | grep .
}
