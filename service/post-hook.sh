#!/bin/sh
# Venus OS runs this as root after it has unpacked venus-data.tar.gz to /data, at every boot while
# the medium is in.
incoming=/data/mqtt-http-bridge-usb
[ -f "$incoming/install.sh" ] || exit 0
mkdir -p /data/mqtt-http-bridge
sh "$incoming/install.sh" --from-usb >/data/mqtt-http-bridge/usb.log 2>&1
