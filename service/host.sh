# shellcheck shell=sh disable=SC2015
# On a Linux host with systemd: /opt, /etc, /var/lib and a unit; --instance NAME for one of several.

home=/opt/mqtt-http-bridge
etc=/etc/mqtt-http-bridge
state=/var/lib/mqtt-http-bridge
units=/etc/systemd/system
command=/usr/local/bin/mqtt-http-bridge
user=mqtt-http-bridge

# shellcheck source=service/watch.sh
. "$root/service/watch.sh"

host_install() {
    host_check
    python=$(find_python)
    is_archive || { unpack_archive && root=$unpacked; }
    host_names
    add_user
    add_release
    host_config
    point "$home/current" "$build"
    ln -sfn "$home/current/service/mqtt-http-bridge" "$command"
    install_units
    run_check "$command" "$config_file"
    host_start
    remove_old_releases
    say "installed: $build in $home, config in $config_file, unit $unit"
}

host_check() {
    [ "$(id -u)" -eq 0 ] || die "expected to be root, found user $(id -u): run sudo ./install.sh"
    command -v systemctl >/dev/null ||
        die "expected systemd, found no systemctl: use ./install.sh --local, or pipx install ."
    case $instance in *[!A-Za-z0-9_-]*) die "--instance: expected letters and digits, found $instance" ;; esac
}

host_names() {
    if [ -n "$instance" ]; then
        config_file=$etc/$instance.yaml outbox=$state/$instance/outbox
        unit=mqtt-http-bridge@$instance.service
    else
        config_file=$etc/config.yaml outbox=$state/outbox unit=mqtt-http-bridge.service
    fi
}

add_user() {
    id "$user" >/dev/null 2>&1 ||
        useradd --system --user-group --no-create-home --home-dir "$state" \
            --shell /usr/sbin/nologin "$user" || die "could not add the user $user, see above"
}

# A private environment: this interpreter, and the packages of the archive.
add_environment() { # directory
    "$python" -m venv --without-pip "$1/venv" || return 1
    for packages in "$1"/venv/lib/python3*/site-packages; do
        echo "$home/$build/lib" >"$packages/mqtt-http-bridge.pth" || return 1
    done
}

host_config() {
    mkdir -p "$etc"
    if [ -e "$config_file" ]; then
        say "kept $config_file"
    else
        if [ -z "$gx_host$config" ]; then
            has_terminal || die "$config_file: expected to be told the GX: add --gx ADDRESS"
            ask gx_host "address of the GX"
        fi
        make_config "$config_file" "$release/service/mqtt-http-bridge"
    fi
    # The service reads it, and only root changes it.
    chgrp "$user" "$config_file" && chmod 640 "$config_file"
    "$release/service/mqtt-http-bridge" config test -c "$config_file" ||
        die "$config_file: expected a config that $build takes, see above: mend it, and install again"
}

install_units() {
    mkdir -p "$units"
    for file in mqtt-http-bridge.service mqtt-http-bridge@.service; do
        cp "$root/service/$file" "$units/$file.new" && mv "$units/$file.new" "$units/$file" ||
            die "$units/$file: cannot write it"
    done
}

is_systemd_running() { [ -d /run/systemd/system ]; }

host_start() {
    if is_systemd_running; then
        systemctl daemon-reload
        systemctl enable -q "$unit"
        since=$(date '+%Y-%m-%d %H:%M:%S')
        log_place="journalctl -u $unit"
        systemctl restart "$unit"
        # The other instances run the version that is about to be removed.
        systemctl try-restart 'mqtt-http-bridge*.service'
        watch_log
    else
        systemctl enable -q "$unit" || die "$unit: could not be enabled, see above"
        say "systemd does not run here: the service starts with the next boot"
    fi
}

# The service's lines since its start, for watch_log.
new_lines() { journalctl -q -o cat -u "$unit" --since "$since" | sed 's/^/ /'; }

host_uninstall() {
    host_check
    stop_units
    rm -f "$units/mqtt-http-bridge.service" "$units/mqtt-http-bridge@.service" "$command"
    if is_systemd_running; then systemctl daemon-reload; fi
    rm -rf "$home"
    if [ -n "$purge" ]; then
        rm -rf "$etc" "$state"
        if id "$user" >/dev/null 2>&1; then userdel "$user"; fi
        say "uninstalled: nothing is left"
    else
        say "uninstalled; kept: $etc, $state and the user $user (--purge removes them)"
    fi
}

stop_units() {
    for wanted in "$units"/multi-user.target.wants/mqtt-http-bridge*.service; do
        [ -L "$wanted" ] || continue
        unit=${wanted##*/}
        if is_systemd_running; then systemctl stop "$unit"; fi
        systemctl disable -q "$unit"
    done
}
