"""`python -m mqtt_http_bridge`."""

import sys
import traceback

from mqtt_http_bridge.pause import pause, pause_in

if __name__ == "__main__":
    try:
        from mqtt_http_bridge.cli import main
    except Exception:  # noqa: BLE001 - a damaged installation: it must not spin
        traceback.print_exc()
        pause(pause_in(sys.argv))
        sys.exit(1)
    sys.exit(main())
