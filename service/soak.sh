#!/bin/sh
# Records for two weeks how the service is doing on this machine. It records only figures: no address,
# key, serial, name or portal id. If you send us the file, you show what no test can: how the relay
# does on a real GX. See docs/field-test.md.
#
# usage: sh soak.sh [--days 14] [--every SECONDS] [--output FILE] [-c CONFIG]
#        sh soak.sh --report [--output FILE]
#
# It changes nothing else. Started again, it continues in the same file.
set -u

days=14 every_s=600 output='' config='' report=''
while [ $# -gt 0 ]; do
    case $1 in
    --days) days=$2 && shift ;;
    --every) every_s=$2 && shift ;;
    --output) output=$2 && shift ;;
    -c) config=$2 && shift ;;
    --report) report=yes ;;
    *) sed -n 's/^# //; /^usage/,/--report/p' "$0" >&2 && exit 2 ;;
    esac
    shift
done
here=$(dirname "$(readlink -f "$0")")
home=/data/mqtt-http-bridge
if [ ! -d "$home" ]; then home=.; fi
output=${output:-$home/soak.tsv}
tab=$(printf '\t')
columns="time uptime_s running process gx chargers stored owed problems cpu_s rss_kb peak_kb threads \
files switches written_kb load memory_kb disk_kb"

status_lines() { "$here/mqtt-http-bridge" status --lines ${config:+-c "$config"} 2>/dev/null; }
value() { printf '%s\n' "$said" | sed -n "s/^$1=//p"; }

# Counts the items of a list; their names are not recorded.
count() { printf '%s' "$1" | awk -F, 'END { print NF }'; }

# Reads what the kernel knows about the process: CPU seconds, kB, counts. Empty if it is gone.
of_process() { # pid
    ticks=$(getconf CLK_TCK 2>/dev/null || echo 100)
    cpu_s=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk -v ticks="$ticks" '{ print ($12 + $13) / ticks }')
    rss_kb=$(of_status "$1" VmRSS) peak_kb=$(of_status "$1" VmHWM) threads=$(of_status "$1" Threads)
    switches=$(awk '/ctxt_switches/ { sum += $2 } END { print sum }' "/proc/$1"/task/*/status 2>/dev/null)
    files=$(find "/proc/$1/fd" -type l 2>/dev/null | wc -l)
    written_kb=$(awk '/^write_bytes/ { print int($2 / 1024) }' "/proc/$1/io" 2>/dev/null)
}
of_status() { awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status" 2>/dev/null; }

sample() {
    said=$(status_lines)
    process=$(value process)
    cpu_s='' rss_kb='' peak_kb='' threads='' files='' switches='' written_kb=''
    if [ -n "$process" ]; then of_process "${process%%.*}"; fi
    row=
    for figure in "$(date +%s)" "$(cut -d. -f1 /proc/uptime)" "$(value running)" "$process" \
        "$(count "$(value gx)")" "$(value chargers)" "$(value stored)" "$(value owed)" \
        "$(value problems)" "$cpu_s" "$rss_kb" "$peak_kb" "$threads" "$files" "$switches" \
        "$written_kb" "$(cut -d' ' -f1 /proc/loadavg)" \
        "$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)" \
        "$(df -Pk "$(dirname "$output")" | awk 'END { print $4 }')"; do
        row=$row${row:+$tab}${figure:--}
    done
    printf '%s\n' "$row" >>"$output"
}

first() { head -n 1 "$1" 2>/dev/null || echo none; }

head_lines() {
    echo "# mqtt-http-bridge $("$here/mqtt-http-bridge" --version 2>/dev/null | cut -d' ' -f2)"
    echo "# machine: $(first /etc/venus/machine), firmware: $(first /opt/victronenergy/version)"
    echo "# kernel: $(uname -rm), $(python3 --version 2>&1)"
    awk '/^MemTotal/ { print "# memory: " $2 " kB" }' /proc/meminfo
    printf '%s\n' "$columns" | sed 's/  */ /g' | tr ' ' '\t'
}

watch() {
    [ -s "$output" ] || head_lines >"$output" || exit 1
    end=$(($(sed -n '/^[0-9]/{s/\t.*//p;q;}' "$output" | grep . || date +%s) + days * 86400))
    sample
    while [ "$(date +%s)" -lt "$end" ]; do
        sleep "$every_s"
        sample
    done
}

# Prints a summary.
summary() {
    grep '^#' "$output"
    awk -F '\t' '
        /^#/ || /^time/ { next }
        {
            if (!samples++) first = $1
            else if ($1 - last > gap) gap = $1 - last
            if (samples > 1 && $2 < uptime) boots++
            if ($3 == "yes") running++
            if ($4 != "-" && $4 == process) {
                cpu += $10 - cpu_before; seconds += $1 - last
                switches += $15 - switches_before; written += $16 - written_before
            } else if ($4 != "-") starts++
            if ($11 != "-") { if (!rss_first) rss_first = $11; rss_last = $11 }
            if ($12 + 0 > peak) peak = $12; if ($13 + 0 > threads) threads = $13
            if ($14 + 0 > files) files = $14; if ($8 + 0 > owed) owed = $8
            if ($9 + 0 > 0) troubled++
            if (!free || $19 < free) free = $19
            last = $1; uptime = $2; process = $4; cpu_before = $10
            switches_before = $15; written_before = $16
        }
        END {
            if (!samples) { print "nothing recorded yet"; exit 1 }
            printf "recorded  %d times in %.1f days; longest gap %d s\n", samples, (last - first) / 86400, gap
            printf "running   at %d of them; %d processes, %d restarts of the machine\n", running, starts, boots
            if (seconds) printf "processor %.2f %% of one core, %.1f switches a second\n", 100 * cpu / seconds, switches / seconds
            printf "memory    %d kB at first, %d kB at last, %d kB at most\n", rss_first, rss_last, peak
            printf "threads   %d at most, %d open files at most\n", threads, files
            if (seconds) printf "written   %.1f MB a day\n", written / 1024 / seconds * 86400
            printf "unsent    %d at most; something was wrong %d times\n", owed, troubled
            printf "disk      at least %d kB free\n", free
        }' "$output"
}

if [ -n "$report" ]; then
    [ -s "$output" ] || { echo "$output: expected a file written by soak.sh, found none" >&2 && exit 1; }
    summary
else
    watch
fi
