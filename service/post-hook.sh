#!/bin/sh
# Venus OS runs this as root after it has unpacked venus-data.tar.gz to /data, at every boot while
# the USB stick or SD card is in the GX.
incoming=/data/mqtt-http-bridge-usb
log=/data/mqtt-http-bridge/usb.log
[ -f "$incoming/install.sh" ] || exit 0
mkdir -p /data/mqtt-http-bridge
said=$(sh "$incoming/install.sh" --from-usb 2>&1)
# Keep what earlier boots logged, but only the last 300 lines.
if [ -n "$said" ]; then
    { tail -n 300 "$log" 2>/dev/null; date '+--- %Y-%m-%d %H:%M:%S UTC'; printf '%s\n' "$said"; } >"$log.new"
    mv "$log.new" "$log"
fi
