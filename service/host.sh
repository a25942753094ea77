# shellcheck shell=sh disable=SC2015
# Installs on a Linux host with systemd: into /opt, /etc and /var/lib, with a unit. --instance NAME
# is for one of several services.

home=/opt/mqtt-http-bridge
etc=/etc/mqtt-http-bridge
state=/var/lib/mqtt-http-bridge
units=/etc/systemd/system
wants=$units/multi-user.target.wants
command=/usr/local/bin/mqtt-http-bridge
user=mqtt-http-bridge

# shellcheck source=service/watch.sh
. "$root/service/watch.sh"

made_user='' made_units='' switched='' previous='' enabled='' made_command='' is_checked='' made_beside=''

host_install() {
    host_check
    python=$(find_python)
    host_names
    is_archive || { unpack_archive && root=$unpacked; }
    must_agree "$config_file" "$root"
    undo=host_undo
    add_user
    add_release
    host_config
    previous=$(previous_release)
    switched=yes
    point "$home/current" "$release_name"
    [ -e "$command" ] || made_command=yes
    ln -sfn "$home/current/service/mqtt-http-bridge" "$command"
    install_units
    [ -n "$is_checked" ] || run_check "$command" "$config_file"
    host_start
    remove_old_releases
    say "installed: $build in $home, config in $config_file, unit $unit"
}

host_check() {
    [ "$(id -u)" -eq 0 ] || die "expected to be root, found user $(id -u): run sudo ./install.sh"
    command -v systemctl >/dev/null ||
        die "expected systemd, found no systemctl: use ./install.sh --local, or pipx install ."
}

# Undoes an installation that did not finish, and says what it undid.
host_undo() {
    if [ -n "$enabled" ]; then systemctl disable -q "$unit" && say "  $unit was disabled"; fi
    if [ -n "$made_units" ]; then
        rm -f "$units"/mqtt-http-bridge.service* "$units"/mqtt-http-bridge@.service* && say "  the units were removed"
    fi
    if [ -n "$switched" ] && [ -n "$previous" ]; then
        point "$home/current" "$previous" && say "  $previous is in use again"
    elif [ -n "$switched" ]; then
        rm -f "$home/current"
    fi
    if [ -n "$made_command" ]; then rm -f "$command"; fi
    undo_files
    [ -z "$made_beside" ] || for_each_beside rm -f
    if [ -n "$made_user" ]; then userdel "$user" && say "  the user $user was removed"; fi
    rmdir "$etc" "$home" 2>/dev/null
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
    if id "$user" >/dev/null 2>&1; then return; fi
    useradd --system --user-group --no-create-home --home-dir "$state" \
        --shell /usr/sbin/nologin "$user" || die "could not add the user $user, see above"
    made_user=yes
}

# Makes an environment of this interpreter and the packages of the archive. It compiles them, because
# the service may not write there and would have to compile them at each start.
add_environment() { # directory
    "$python" -m venv --without-pip "$1/venv" || return 1
    for packages in "$1"/venv/lib/python3*/site-packages; do
        echo "$release/lib" >"$packages/mqtt-http-bridge.pth" || return 1
    done
    about_release compile "$1"
}

host_config() {
    mkdir -p "$etc"
    if [ -e "$config_file" ]; then
        say "kept $config_file"
        "$release/service/mqtt-http-bridge" config test -c "$config_file" ||
            die "$config_file: expected a config that $build accepts, see above: fix it, then install again"
    elif [ -z "$config" ] && { has_terminal || [ -n "$fingerprint" ]; }; then
        host_setup
    else
        [ -n "$gx_host$config" ] ||
            die "$config_file: expected the address of the GX, found none: add --gx ADDRESS"
        make_first_config "$config_file" "$release/service/mqtt-http-bridge"
    fi
    # The service may read them; only root may change them.
    may_read "$config_file"
    for_each_beside may_read
}

# Runs `setup`, which finds the GX, asks for what it cannot find out, and checks the config it wrote.
host_setup() {
    made_config=$config_file made_beside=yes
    "$release/service/mqtt-http-bridge" setup -c "$config_file" --outbox "$outbox" --no-start \
        ${gx_host:+--host "$gx_host"} ${url:+--url "$url"} \
        ${api_key_file:+--api-key-file "$api_key_file"} ${fingerprint:+--fingerprint "$fingerprint"} \
        ${web_fingerprint:+--web-fingerprint "$web_fingerprint"} \
        ${password_file:+--password-file "$password_file"} || {
        [ -f "$config_file" ] || die "no config was made: see above"
        say "the check found the problems above; the service keeps trying until they are fixed"
    }
    is_checked=yes
}

may_read() { # file
    chgrp "$user" "$1" && chmod 640 "$1"
}

# Runs a command on each file that `setup` writes beside the config, if it is there.
for_each_beside() { # command
    for name in gx.pem gx_web.pem gx_token.txt gx_password.txt api_key.txt; do
        [ ! -f "$etc/${instance:+$instance.}$name" ] || "$@" "$etc/${instance:+$instance.}$name"
    done
}

install_units() {
    mkdir -p "$units"
    [ -e "$units/mqtt-http-bridge.service" ] || made_units=yes
    for file in mqtt-http-bridge.service mqtt-http-bridge@.service; do
        cp "$root/service/$file" "$units/$file.new" && mv "$units/$file.new" "$units/$file" ||
            die "$units/$file: cannot write it"
    done
}

is_systemd_running() { [ -d /run/systemd/system ]; }

enable_unit() {
    [ -L "$wants/$unit" ] || enabled=yes
    systemctl enable -q "$unit" || die "$unit: could not be enabled, see above"
    undo= # Everything is installed. If the service fails now, say so, but do not undo.
}

host_start() {
    if is_systemd_running; then
        systemctl daemon-reload
        enable_unit
        since=$(date '+%Y-%m-%d %H:%M:%S')
        log_place="journalctl -u $unit"
        note_service
        # Do not wait until it is ready: if it never is, its state says why.
        systemctl restart --no-block "$unit"
        # The other instances still run the version that is about to be removed.
        systemctl try-restart --no-block 'mqtt-http-bridge*.service'
        watch_service
    else
        enable_unit
        say "systemd is not running here: the service starts at the next boot"
    fi
}

# Prints the lines that the service has logged since its start, for watch_service.
new_lines() { journalctl -q -o cat -u "$unit" --since "$since" | sed 's/^/ /'; }

# --- the end ----------------------------------------------------------------------------------

host_uninstall() {
    host_check
    here=$(instances) asked=$instance
    if [ -n "$instance" ]; then
        case "$newline$here$newline" in
        *"$newline$instance$newline"*) ;;
        *) die "--instance $instance: expected an installed instance, found: $(listed "$here")" ;;
        esac
    fi
    if ! host_has_something "$here"; then
        say "nothing to remove: mqtt-http-bridge is not installed on this machine"
        return
    fi
    host_tell_removal
    confirm
    if [ -n "$instance" ] && [ "$here" != "$instance" ]; then
        remove_instance "$instance"
        say "uninstalled: $unit; still installed: $(listed "$(instances)")"
        return
    fi
    remove_everything
}

newline='
'

# Prints the names of the installed instances, one per line, found by their units and configs; - is
# the service without a name.
instances() {
    {
        for file in "$wants"/mqtt-http-bridge.service "$etc/config.yaml"; do
            if [ -L "$file" ] || [ -e "$file" ]; then echo -; fi
        done
        for file in "$wants"/mqtt-http-bridge@*.service "$etc"/*.yaml; do
            if [ -L "$file" ] || [ -e "$file" ]; then
                name=${file##*/}
                name=${name#mqtt-http-bridge@}
                name=${name%.service}
                name=${name%.yaml}
                [ "$name" = config ] || echo "$name"
            fi
        done
    } | sort -u
}

listed() { # names, one a line
    [ -n "$1" ] || echo none
    printf '%s' "$1" | sed 's/^-$/the one without a name/' | tr '\n' ',' | sed 's/,/, /g'
}

host_has_something() { # instances
    if is_given --purge && { [ -d "$state" ] || [ -d "$etc" ] || id "$user" >/dev/null 2>&1; }; then
        return 0
    fi
    [ -d "$home" ] || [ -e "$units/mqtt-http-bridge.service" ] || ls "$wants"/mqtt-http-bridge* >/dev/null 2>&1
}

# Says what will be removed and what is unsent, for one instance or for all.
host_tell_removal() {
    if is_given --purge; then fate="removed for good"; else fate="kept"; fi
    say "this removes:"
    for name in ${instance:-$here}; do
        instance_names "$name"
        say "  $unit; $fate: $config_file, and this outbox:"
        tell_unsent "$command" "$config_file"
    done
}

instance_names() { # name
    instance=$1
    if [ "$1" = - ]; then instance=; fi
    host_names
    instance=$asked
}

remove_instance() { # name
    host_names
    stop_unit
    if is_given --purge; then
        rm -rf "$config_file" "${outbox%/outbox}"
        for_each_beside rm -f
    fi
}

remove_everything() {
    for wanted in "$wants"/mqtt-http-bridge*.service; do
        [ -L "$wanted" ] || continue
        unit=${wanted##*/}
        stop_unit
    done
    rm -f "$units/mqtt-http-bridge.service" "$units/mqtt-http-bridge@.service" "$command"
    if is_systemd_running; then systemctl daemon-reload; fi
    rm -rf "$home" /run/mqtt-http-bridge
    if is_given --purge; then
        rm -rf "$etc" "$state"
        if id "$user" >/dev/null 2>&1; then userdel "$user"; fi
        say "uninstalled: nothing is left"
    else
        say "uninstalled; kept: $etc, $state and the user $user (--purge removes them)"
    fi
}

stop_unit() {
    if is_systemd_running; then systemctl stop "$unit"; fi
    if [ -L "$wants/$unit" ]; then systemctl disable -q "$unit"; fi
}
