# shellcheck shell=sh disable=SC2015
# Installs on a GX: everything goes to /data, which firmware updates leave alone; daemontools runs it.

home=/data/mqtt-http-bridge
config_file=$home/config.yaml
command=$home/mqtt-http-bridge
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

# Notes what has been done so far, for gx_undo.
previous='' made_service='' made_lines='' switched='' retired='' usb_before=''

must_be_root() {
    [ "$(id -u)" -eq 0 ] || die "expected to be root, found user $(id -u): log in as root"
}

gx_install() {
    is_archive || die "expected the unpacked archive, found a checkout: on another machine, run" \
        "./install.sh root@<this GX>, or ./install.sh --bundle to make the archive"
    sh "$root/service/gx/preflight" >/dev/null || exit 1
    must_agree "$config_file" "$root"
    decide_about_old_bridge
    undo=gx_undo
    gx_put_in_place
    run_check "$command" "$config_file"
    gx_start
    undo=
    remove_old_releases
    say "installed: $(cat "$home/current/BUILD") in $home"
    watch_service
}

# Does everything that can fail because of a full disk or a wrong config before it switches versions.
gx_put_in_place() {
    previous=$(previous_release)
    add_release
    if [ -e "$config_file" ]; then
        say "kept $config_file"
        "$release/service/mqtt-http-bridge" config test -c "$config_file" ||
            die "$config_file: expected a config that $build accepts, see above: fix it, then install again"
    else
        make_first_config "$config_file" "$release/service/mqtt-http-bridge"
    fi
    gx_make_service_directory
    if ! has_boot_line "$rc_local" && ! has_boot_line "$rc_disabled"; then made_lines=yes; fi
    add_boot_line
    note_log
    note_service
    switched=yes
    point "$home/current" "$release_name"
}

gx_make_service_directory() {
    [ -d "$service" ] || made_service=yes
    mkdir -p "$service/log" &&
        point "$service/run" ../current/service/gx/run &&
        point "$service/log/run" ../../current/service/gx/log/run &&
        point "$home/mqtt-http-bridge" current/service/mqtt-http-bridge
}

# Undoes an installation that did not finish, and says what it undid.
gx_undo() {
    if [ -n "$switched" ] && [ -n "$previous" ] && [ -d "$home/$previous" ]; then
        if [ "$(previous_release)" != "$previous" ]; then
            point "$home/current" "$previous"
            svc -u -t "$service" 2>/dev/null
        fi
        say "  $previous runs again"
    elif [ -n "$switched" ]; then
        gx_end_service && rm -f "$home/current" && say "  the service was stopped"
        gx_forget_empty_outbox
    fi
    if [ -n "$made_lines" ]; then remove_boot_lines && say "  its line in rc.local was removed"; fi
    if [ -n "$made_service" ]; then rm -rf "$service" "$command" "$log_directory"; fi
    undo_files
    if [ -n "$usb_before" ]; then mv "$usb_before" "$config_file" && say "  the previous config is back"; fi
    if [ -n "$retired" ]; then restore_old_bridge | sed 's/^/  /'; fi
    rmdir "$home" 2>/dev/null
    if [ -n "$made_service" ] && [ -d "$home/outbox" ]; then say "  kept: $home/outbox, which has measurements in it"; fi
}

# Removes the outbox of a first installation, unless it holds anything.
gx_forget_empty_outbox() {
    [ -n "$made_config" ] && [ -d "$home/outbox" ] || return 0
    held=$(find "$home/outbox" -type f ! -name client-id ! -name running)
    if [ -z "$held" ] || gx_outbox_is_empty; then rm -rf "$home/outbox"; fi
}

# Checks that the outbox of the config is the one in $home, that no process uses it, and that
# nothing at all is left in it. If anything about it is not known, it counts as not empty.
gx_outbox_is_empty() {
    look_into_outbox "$release/service/mqtt-http-bridge" "$config_file"
    [ "$(value directory)" = "$home/outbox" ] && [ "$(value in_use)" = no ] || return 1
    for count in waiting in_memory parked damaged unreadable; do
        [ "$(value "$count")" = 0 ] || return 1
    done
}

# Notes where the log ends now; the lines after that are new.
note_log() { last_stamp=$(tail -n 1 "$log_directory/current" 2>/dev/null | cut -d ' ' -f 1); }

# Prints the new lines, without their time stamps.
new_lines() {
    [ -f "$log_directory/current" ] || return 0
    # If multilog has started a new file since, all of it is new.
    if [ -n "$last_stamp" ] && grep -q "^$last_stamp" "$log_directory/current"; then
        sed "1,/^$last_stamp/d" "$log_directory/current"
    else
        cat "$log_directory/current"
    fi | sed 's/^@[0-9a-f]* / /'
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
    seconds=0 pids=
    while [ $seconds -lt $START_S ]; do
        look
        if is_new; then return 0; fi
        # If no state file can be written, a process that holds the outbox for long enough has started.
        if [ $seconds -ge 8 ] && [ "$(value locked)" = yes ] && gx_is_steady; then return 0; fi
        if gx_dies_again; then return 1; fi
        sleep 1
        seconds=$((seconds + 1))
    done
    return 1
}

# Checks that the service has been up for 8 s, so that a process that dies at once does not count.
gx_is_steady() {
    said=$(svstat "$service" 2>/dev/null)
    case $said in
    *": up (pid "*) ;;
    *) return 1 ;;
    esac
    seconds_up=${said##*) }
    [ "${seconds_up%% *}" -ge 8 ]
}

# Checks whether the service has ended and pauses before its next start, or has started again and
# again: four processes were seen. The one before the switch may be among them.
gx_dies_again() {
    said=$(svstat "$service" 2>/dev/null)
    case $said in
    *": up (pid "*)
        pid=${said#*(pid }
        pid=${pid%%)*}
        # During a pause the process is a `sleep`: see `run --pause`, and give_up in gx/run.
        if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = sleep ]; then return 0; fi
        case " $pids " in *" $pid "*) ;; *) pids="$pids $pid" ;; esac
        ;;
    esac
    # shellcheck disable=SC2086 # to be counted
    set -- $pids
    [ $# -ge 4 ]
}

gx_go_back() {
    sleep 1 # Wait for the rest of a traceback: it is written line by line.
    new_lines >&2
    die "$build did not start, see above"
}

# --- the end ----------------------------------------------------------------------------------

gx_uninstall() {
    must_be_root
    if ! gx_has_something; then
        say "nothing to remove: mqtt-http-bridge is not installed on this GX"
        if is_given --restore-old; then gx_restore_old; else tell_retired; fi
        return
    fi
    gx_tell_removal
    confirm
    outside=$(gx_outbox_outside)
    gx_end_service || die "$service: expected its processes to end, found them running: restart the GX"
    # Remove the large things first: on a full disk, the rest may need the space.
    remove_releases
    rm -rf "$log_directory" "$usb_incoming" "$home/.upload" /run/mqtt-http-bridge
    remove_boot_lines
    rm -rf "$service" "$command" "$usb_stamp" "$home/usb.log"
    if is_given --purge; then rm -rf "$home"; fi
    rmdir "$home" 2>/dev/null || :
    if [ -d "$home" ]; then
        say "uninstalled; kept in $home: config and unsent measurements (--purge removes them)"
    else
        say "uninstalled: nothing is left"
    fi
    [ -z "$outside" ] || say "not removed: the outbox in $outside, which is outside $home"
    if is_given --restore-old; then gx_restore_old; else tell_retired; fi
}

# Checks whether there is anything to uninstall.
gx_has_something() {
    if is_given --purge && [ -d "$home" ]; then return 0; fi
    [ -e "$home/current" ] || [ -L "$home/current" ] || [ -d "$service" ] || [ -L "$link" ] ||
        [ -e "$usb_stamp" ] || has_boot_line "$rc_local" || has_boot_line "$rc_disabled"
}

gx_tell_removal() {
    say "this removes from this GX: the service, its log, and $home/$(previous_release)"
    if is_given --purge; then
        say "and for good: $config_file, and this outbox:"
    else
        say "it keeps: $config_file, and this outbox:"
    fi
    tell_unsent "$command" "$config_file"
}

# Prints the directory of the outbox, if the config puts it outside $home.
gx_outbox_outside() {
    is_given --purge || return 0
    look_into_outbox "$command" "$config_file"
    directory=$(value directory)
    case $directory in '' | "$home"/*) ;; /*) echo "$directory" ;; esac
}

gx_end_service() {
    rm -f "$link"
    [ ! -d "$service" ] || end_supervise "$service"
}

# Ends a service, its log and their supervise processes. Remove its entry in /service first.
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

# Venus OS unpacks the stick at every boot while it is in the GX. Only something new is installed.
gx_install_from_usb() {
    if [ "$(cat "$usb_stamp" 2>/dev/null)" != "$(cat "$usb_incoming/ID")" ]; then
        sh "$root/service/gx/preflight" --usb >/dev/null || exit 1
        old=$(cat "$usb_incoming/OLD")
        decide_about_old_bridge
        undo=gx_undo
        gx_take_usb_config
        gx_put_in_place
        gx_start_at_boot
        cat "$usb_incoming/ID" >"$usb_stamp"
        undo=
        remove_old_releases
        say "installed $build from the USB stick or SD card: it can be taken out"
    fi
    rm -rf "$usb_incoming"
}

gx_take_usb_config() {
    mkdir -p "$home"
    [ -f "$usb_incoming/config.yaml" ] || return 0
    if ! [ -e "$config_file" ]; then
        made_config=$config_file
    elif ! cmp -s "$config_file" "$usb_incoming/config.yaml"; then
        usb_before=$home/config.yaml.before-usb
        mv "$config_file" "$usb_before"
        say "the previous config is kept as $usb_before"
    fi
    (umask 077 && cp "$usb_incoming/config.yaml" "$config_file")
}

# Starts the service without a question or a wait, which would hold up the boot.
gx_start_at_boot() {
    retire_old_bridge
    if svok "$service" 2>/dev/null; then svc -u -t "$service"; fi
    sh "$home/current/service/gx/boot"
}
