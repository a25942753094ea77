"""`python -m mqtt_http_bridge`."""

import sys

from mqtt_http_bridge.app.loading import loading

with loading():
    from mqtt_http_bridge.cli import main

if __name__ == "__main__":
    sys.exit(main())
