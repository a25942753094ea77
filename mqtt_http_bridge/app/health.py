"""The verb `health`: an exit status for supervisors, from the state that the service has saved.

There are two questions, and only the second may lead to a restart: an unreachable backend must not.

    health            is all well?                    readiness, alerts, people
    health --alive    do the threads make progress?   liveness
"""

from mqtt_http_bridge.adapters.standard_streams import say
from mqtt_http_bridge.app.service_state import shown_state
from mqtt_http_bridge.core.settings import OutboxSettings
from mqtt_http_bridge.core.status.findings import end_words


def is_alive(outbox: OutboxSettings) -> bool:
    """Tells whether the service makes progress; prints it if it does not.

    The service writes its state at every interval, and ends itself if a thread hangs.
    """
    found = shown_state(outbox)
    if not found.is_running:
        say(end_words(found.state))
    return found.is_running


def is_well(outbox: OutboxSettings) -> bool:
    """Tells whether all is well; prints what is not, and how to fix it."""
    found = shown_state(outbox)
    if not found.is_running or found.state is None:
        say(end_words(found.state))
        return False
    for problem in () if found.state.is_well else found.state.problems:
        say(f"{problem.text}: {problem.fix}")
    return found.state.is_well
