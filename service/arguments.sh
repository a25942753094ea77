# shellcheck shell=sh disable=SC2034
# Reads the arguments of ./install.sh. Each combination is either carried out, or refused with exit
# status 2 before anything is changed.

action=install target='' given=''
url='' api_key_file='' config='' gx_host='' instance='' old='' wait_s=90
fingerprint='' web_fingerprint='' password_file=''

refuse() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 2
}

# Prints the options that an action takes on a kind of machine; `gx` is also a GX reached over ssh.
taken_by() { # action:machine
    case $1 in
    install:gx) echo --url --api-key-file --config --take-over --keep-old --wait ;;
    install:host) echo --url --api-key-file --config --gx --instance --wait "$trust_options" ;;
    uninstall:gx) echo --purge --yes --restore-old ;;
    uninstall:host) echo --purge --yes --instance ;;
    restore-old:gx) echo --restore-old ;;
    usb:*) echo --url --api-key-file --config --take-over --keep-old ;;
    demo:*) echo --hold ;;
    esac
}

# With these, `setup` can get into a GX without asking anybody.
trust_options='--fingerprint --web-fingerprint --password-file'

# Pairs of options that contradict each other.
contradictions='--config:--url --config:--api-key-file --config:--gx --take-over:--keep-old
    --config:--fingerprint --config:--web-fingerprint --config:--password-file'

read_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h)
            usage
            exit
            ;;
        --bundle | --usb | --from-usb | --local | --demo | --uninstall) note_action "${1#--}" ;;
        --purge | --yes | --hold | --restore-old) note_option "$1" ;;
        --take-over | --keep-old) note_option "$1" && old=${1#--} ;;
        --url | --api-key-file | --config | --gx | --instance | --wait | \
            --fingerprint | --web-fingerprint | --password-file)
            note_option "$1"
            [ $# -ge 2 ] || refuse "$1: expected a value after it, found none"
            read_value "$1" "$2"
            shift
            ;;
        -*) refuse "$1: no such option: see ./install.sh --help" ;;
        *) note_target "$1" ;;
        esac
        shift
    done
    if [ "$action" = install ] && is_given --restore-old; then action=restore-old; fi
}

is_given() { # option
    case " $given " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

note_action() { # action
    [ "$action" = install ] || refuse "--$1: expected one action, found --$action as well"
    action=$1
}

note_option() { # option
    if is_given "$1"; then refuse "$1: expected it once, found it twice"; fi
    given="$given $1"
}

note_target() { # word
    [ -z "$target" ] || refuse "$1: expected one GX, found $target as well: install one after the other"
    case $1 in
    *[!A-Za-z0-9@._:%-]* | *@*@* | @* | *@ | *@-*) ;;
    *@*)
        target=$1
        return
        ;;
    esac
    refuse "$1: expected user@host, such as root@192.168.1.20, found '$1'"
}

is_file() { # option file
    if ! [ -f "$2" ] || ! [ -r "$2" ]; then refuse "$1: expected a readable file, found none at '$2'"; fi
}

read_value() { # option value
    [ -n "$2" ] || refuse "$1: expected a value after it, found an empty one"
    case $1 in
    --url) url=$2 ;;
    --api-key-file) is_file "$1" "$2" && api_key_file=$2 ;;
    --config) is_file "$1" "$2" && config=$2 ;;
    --gx) gx_host=$2 ;;
    --fingerprint) fingerprint=$2 ;;
    --web-fingerprint) web_fingerprint=$2 ;;
    --password-file) is_file "$1" "$2" && password_file=$2 ;;
    --instance) read_instance "$2" ;;
    --wait)
        case $2 in *[!0-9]* | ??????*) refuse "--wait: expected seconds, found '$2'" ;; esac
        wait_s=$2
        ;;
    esac
}

# Reads the name of an instance. Its files are named after it, beside those of the service without a
# name, hence the two reserved names.
read_instance() { # name
    case $1 in
    [!A-Za-z0-9]* | *[!A-Za-z0-9_-]* | ?????????????????????????????????*)
        refuse "--instance: expected up to 32 letters, digits, - and _, found '$1'"
        ;;
    config | outbox) refuse "--instance: expected a name that is not reserved, found '$1': use another" ;;
    esac
    instance=$1
}

# Refuses options that the action does not take on this kind of machine.
check_arguments() { # gx, host or none
    case $action in
    install | uninstall | restore-old) ;;
    *) [ -z "$target" ] || refuse "$target: expected no GX with --$action, found one" ;;
    esac
    taken=$(taken_by "$action:$1")
    for option in $given; do
        case " $taken " in *" $option "*) ;; *) refuse "$option: $(unfit_words "$option" "$1")" ;; esac
    done
    for pair in $contradictions; do
        if is_given "${pair%%:*}" && is_given "${pair##*:}"; then
            refuse "${pair##*:}: cannot be combined with ${pair%%:*}: leave one of them out"
        fi
    done
}

unfit_words() { # option machine
    case $1:$action in
    --purge:install | --yes:install) echo "expected --uninstall as well, found none" ;;
    *)
        case $action in install) what="installing" ;; *) what="--$action" ;; esac
        case $2 in gx) where=" on a GX" ;; host) where=" on a Linux host" ;; *) where= ;; esac
        echo "not an option for $what$where: see ./install.sh --help"
        ;;
    esac
}
