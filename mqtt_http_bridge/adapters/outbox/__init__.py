"""The outbox: measurements on the disk until the backend has taken them.

*Is*: at-least-once delivery of entries, across crashes and power cuts, to several senders.
*Is not*: exactly-once, which the backend cannot give; a general queue. It knows nothing of what
its entries say but for their time, which `EntryFormat` reads.

    outbox = Outbox(settings.outbox, entry_format, Boot(boot_id, distance_s))   # OutboxBusy
    outbox.close()                                  # tells what only memory had

The thread that measures calls these alone: they queue, and never wait.

    outbox.store(body, portal_id=..., is_clock_trusted=...)
    outbox.note_clock_step(step_s)                  # puts right what was stored untrusted
    outbox.trust_clock()                            # call once, before the first POST

A thread that has the time may wait until all of that is taken in.

    outbox.flush(timeout_s)

Senders, as many as wanted, one POST in flight per GX:

    seen = outbox.wait(seen, timeout_s)             # begin with seen = -1
    outbox.portal_ids()
    outbox.newest(portal_id), outbox.oldest_after(portal_id, number)
    entry = outbox.take(portal_id, number)          # None: gone, or not to be read just now
    outbox.settle(entry, owed_body)                 # None: nothing is owed any more
    outbox.park(entry, owed_body, serials, reason)  # all that is left waits for these devices
    outbox.give_back(entry)                         # as it was
    outbox.unpark(portal_id, serial)                # all that is parked of it is owed again
    outbox.parked_after(portal_id, serial, number)  # to try one: take it, settle or park again
    outbox.retry_requests                           # grows when somebody asks for a retry

An entry is owed or parked, as a whole. One of which A is stored and B is refused is parked with the
body that has B alone; one of which A is still owed stays owed, and its sender cuts B out of what it
posts while B has something parked. Who looks calls `view`, `room` and `timestamp`, or
from another process the functions of `inspection`. A watchdog looks at `progress`.

From the bottom up: `records`, `index`, `clock`, `losses`, `room` are pure; `files` has all system
calls; `reading` and `segments` are the log as it lies there; `log` has its changes, `entries` and
`cleaning` make room; `writer` is the thread, and `incoming` leads to it.
"""

from mqtt_http_bridge.adapters.outbox.clock import Boot
from mqtt_http_bridge.adapters.outbox.entry import EntryFormat, OutboxContents, PortalContents
from mqtt_http_bridge.adapters.outbox.outbox import Outbox
from mqtt_http_bridge.adapters.outbox.records import Entry

__all__ = ["Boot", "Entry", "EntryFormat", "Outbox", "OutboxContents", "PortalContents"]
