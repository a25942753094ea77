"""Logs changes of a GX itself: each once, and later its end."""

from mqtt_http_bridge.core.log import Log


class SiteLog:
    """Remembers what was logged about one GX."""

    def __init__(self, portal_id: str, name: str, topic_prefix: str = "") -> None:
        self._portal_id = portal_id
        self.name = name
        self._prefix = topic_prefix
        self._is_silence_told = False
        self._is_age_told = False

    def tell_of_silence(self) -> list[Log]:
        """Logs that it has been silent for a long time."""
        if self._is_silence_told:
            return []
        self._is_silence_told = True
        question = f"Is it on, and is {self._portal_id} its portal id?"
        if self._prefix:
            question += f" Does the bridge pass {self._prefix}/R/ on to it?"
        text = f"{self.name}: the GX is not heard: not measuring. {question}"
        crowd = "GX devices are not heard: not measuring"
        return [Log.warning(text, about=f"GX {self._portal_id}", crowd=crowd)]

    def tell_of_measuring(self) -> list[Log]:
        """Logs that it is measured: news after a long silence."""
        if not self._is_silence_told:
            return []
        self._is_silence_told = False
        text = f"{self.name}: the GX is heard again: measuring"
        crowd = "GX devices are heard again: measuring"
        return [Log.info(text, about=f"GX {self._portal_id}", is_end=True, crowd=crowd)]

    def tell_of_age(self) -> list[Log]:
        """Logs that it speaks but answers only empty keepalives."""
        if self._is_age_told:
            return []
        self._is_age_told = True
        text = "it answers as Venus OS before 3.20 does: waking it with empty keepalives"
        crowd = "GX devices answer as Venus OS before 3.20 does"
        return [Log.info(f"{self.name}: {text}", crowd=crowd)]
