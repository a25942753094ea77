"""Tests the page of a demo with --hold: the end of the recording is not a problem."""

import json
import sys
import urllib.request
from pathlib import Path

from tests.support.running import WITH_FAULT, Running

QUICK = "from mqtt_http_bridge.demo import run; run.SPEED = 200.0"


def test_the_page_stays_true_at_the_end(tmp_path: Path) -> None:
    """Recordings end with the end of the connection: the page stands at the moment before."""
    demo = Running([sys.executable, "-c", WITH_FAULT.format(QUICK), "demo", "--hold"], tmp_path)
    try:
        url = demo.wait_for("Status page: ").rpartition(" ")[2]
        demo.wait_for("The status page stays", 60.0)
        with urllib.request.urlopen(f"{url}status.json", timeout=20) as answer:
            told = json.load(answer)
        assert told["over"]
        assert told["well"]
        assert told["problems"] == []
        assert told["broker"] == {"connected": True, "trouble": ""}
        (gx,) = told["gx"]
        assert gx["live"]
        assert sum(charger["producing"] for charger in gx["chargers"]) == 3
        assert any("is lost" in change["text"] for change in told["changes"])
        with urllib.request.urlopen(f"{url}history.json", timeout=20) as answer:
            assert len(json.load(answer)["chargers"]) == 3
        assert demo.stop() == 0
    finally:
        demo.close()
