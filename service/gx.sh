# shellcheck shell=sh disable=SC2015
# On a GX: everything under /data, which firmware updates leave alone, run by daemontools.

home=/data/mqtt-http-bridge
config_file=$home/config.yaml
service=$home/service
link=/service/mqtt-http-bridge
log_directory=/var/log/mqtt-http-bridge
log_place=$log_directory/current
usb_incoming=/data/mqtt-http-bridge-usb
usb_stamp=$home/installed-from-usb
START_S=40 # a slow GX takes 10 s

# shellcheck source=service/rc_local.sh
. "$root/service/rc_local.sh"
# shellcheck source=service/old_bridge.sh
. "$root/service/old_bridge.sh"
# shellcheck source=service/watch.sh
. "$root/service/watch.sh"

gx_install() {
    is_archive || die "expected the unpacked archive, found a checkout: run ./install.sh --bundle" \
        "on another machine, or there ./install.sh root@<this GX>"
    sh "$root/service/gx/preflight" >/dev/null || exit 1
    decide_about_old_bridge
    gx_put_in_place
    run_check "$home/mqtt-http-bridge" "$config_file"
    gx_start
    remove_old_releases
    say "installed: $(cat "$home/current/BUILD") in $home"
    watch_log
}

# Everything that can fail for want of space or a right config comes before the switch.
gx_put_in_place() {
    add_release
    if [ -e "$config_file" ]; then
        say "kept $config_file"
    else
        make_config "$config_file" "$release/service/mqtt-http-bridge"
    fi
    "$release/service/mqtt-http-bridge" config test -c "$config_file" ||
        die "$config_file: expected a config that $build takes, see above: mend it, and install again"
    gx_make_service_directory
    previous=$(previous_release)
    add_boot_line
    note_log
    point "$home/current" "$build"
}

gx_make_service_directory() {
    mkdir -p "$service/log" &&
        point "$service/run" ../current/service/gx/run &&
        point "$service/log/run" ../../current/service/gx/log/run &&
        point "$home/mqtt-http-bridge" current/service/mqtt-http-bridge
}

gx_start() {
    retire_old_bridge
    if svok "$service" 2>/dev/null; then
        svc -u -t "$service"
    else
        sh "$home/current/service/gx/boot"
    fi
    gx_has_started || gx_go_back
}

gx_has_started() {
    seconds=0
    while [ $seconds -lt $START_S ]; do
        case $(new_lines) in
        *" INFO mqtt-http-bridge "*": from "*) return 0 ;;
        *"trying again in 60 s"* | *Traceback*) return 1 ;;
        esac
        # With a log level above INFO it starts without a word.
        if [ $seconds -ge 8 ] && gx_is_steady; then return 0; fi
        sleep 1
        seconds=$((seconds + 1))
    done
    return 1
}

# Whether it has been up for 8 s, so that a process that dies at once is not taken for a service.
gx_is_steady() {
    state=$(svstat "$service" 2>/dev/null)
    case $state in
    *": up (pid "*) ;;
    *) return 1 ;;
    esac
    seconds_up=${state##*) }
    [ "${seconds_up%% *}" -ge 8 ]
}

gx_go_back() {
    sleep 1 # A traceback is written line by line.
    new_lines >&2
    if [ -n "$previous" ] && [ -d "$home/$previous" ] && [ "$previous" != "$build" ]; then
        point "$home/current" "$previous"
        svc -u -t "$service"
        rm -rf "${home:?}/$build"
        die "$build did not start, see above: $previous runs again"
    fi
    gx_remove_service
    die "$build did not start, see above; it was removed again, $config_file was kept"
}

# --- the end ----------------------------------------------------------------------------------

gx_uninstall() {
    [ "$(id -u)" -eq 0 ] || die "expected to be root, found user $(id -u): log in as root"
    gx_remove_service
    rm -rf "$service" "$home/mqtt-http-bridge" "$usb_stamp" "$home/usb.log" "$log_directory" \
        "$usb_incoming" "$home/.upload"
    remove_releases
    if [ -n "$purge" ]; then rm -rf "$home"; fi
    rmdir "$home" 2>/dev/null || :
    if [ -d "$home" ]; then
        say "uninstalled; kept in $home: config and unsent measurements (--purge removes them)"
    else
        say "uninstalled: nothing is left"
    fi
}

gx_remove_service() {
    remove_boot_lines
    rm -f "$link"
    [ ! -d "$service" ] || end_supervise "$service" ||
        die "$service: expected its processes to end, found them running: restart the GX"
}

# Ends a service, its log and what supervises them; its entry in /service must be gone.
end_supervise() { # directory
    for directory in "$1" "$1/log"; do
        svok "$directory" 2>/dev/null || continue
        svc -d -x "$directory"
        seconds=0
        while svok "$directory" 2>/dev/null; do
            [ $seconds -lt 20 ] || return 1
            [ $seconds -ne 10 ] || svc -k "$directory"
            sleep 1
            seconds=$((seconds + 1))
        done
    done
}

# --- at boot, from a USB stick or SD card ------------------------------------------------------

# Venus OS unpacks the medium at every boot while it is in: only what is new is installed.
gx_install_from_usb() {
    if [ "$(cat "$usb_stamp" 2>/dev/null)" != "$(cat "$usb_incoming/ID")" ]; then
        sh "$root/service/gx/preflight" --usb >/dev/null || exit 1
        old=$(cat "$usb_incoming/OLD")
        decide_about_old_bridge
        gx_take_usb_config
        gx_put_in_place
        gx_start_at_boot
        remove_old_releases
        cat "$usb_incoming/ID" >"$usb_stamp"
        say "installed $build from the medium: it can be removed"
    fi
    rm -rf "$usb_incoming"
}

gx_take_usb_config() {
    mkdir -p "$home"
    [ -f "$usb_incoming/config.yaml" ] || return 0
    if [ -e "$config_file" ] && ! cmp -s "$config_file" "$usb_incoming/config.yaml"; then
        mv "$config_file" "$home/config.yaml.before-usb"
        say "the config before is kept as $home/config.yaml.before-usb"
    fi
    (umask 077 && cp "$usb_incoming/config.yaml" "$config_file")
}

# Nothing may hold up the boot: neither a question nor a wait.
gx_start_at_boot() {
    retire_old_bridge
    if svok "$service" 2>/dev/null; then svc -u -t "$service"; fi
    sh "$home/current/service/gx/boot"
}
