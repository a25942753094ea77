"""Keeps measurements on the disk until the backend has stored them.

*Is*: at-least-once delivery of entries, across crashes and power cuts, to several senders.
*Is not*: exactly-once, which the backend cannot offer, or a general queue. It knows nothing about
the contents of its entries except their time, which `EntryFormat` reads.

    outbox = Outbox(settings.outbox, entry_format, Boot(boot_id, distance_s))   # OutboxBusy
    outbox.close()                                  # logs what was in memory only

The thread that measures calls only these: they queue, and never wait.

    outbox.store(body, portal_id=..., is_clock_trusted=...)
    outbox.note_clock_step(step_s)                  # corrects what was stored before the clock was
    outbox.trust_clock()                            # trusted; call this once, before the first POST

A thread that has the time may wait until the queue has been handled.

    outbox.flush(timeout_s)

Senders, any number of them, with one POST in flight per GX:

    seen = outbox.wait(seen, timeout_s)             # begin with seen = -1
    outbox.portal_ids()
    outbox.newest(portal_id), outbox.oldest_after(portal_id, number)
    entry = outbox.take(portal_id, number)          # None: gone, or cannot be read now
    outbox.settle(entry, owed_body)                 # None: nothing is owed any more
    outbox.park(entry, owed_body, serials, reason)  # the rest waits for these devices
    outbox.unpark(portal_id, serial)                # everything parked of it is owed again
    outbox.parked_after(portal_id, serial, number)  # to try one: take it, settle or park again
    outbox.retry_requests                           # grows when somebody asks for a retry

An entry is owed or parked as a whole. If device A is stored and B is refused, the entry is parked
with a body that contains only B. If A is still owed, the entry stays owed, and its sender leaves B
out of its POSTs while B has something parked. For a look at the state, call `view`, `room`,
`count_damaged` and `timestamp`, or from another process the functions of `inspection`. A watchdog
looks at `progress`.

From the bottom up: `records`, `index`, `clock`, `losses`, `room`, `requests` and `contents` are
pure; `files` has all system calls, and `disk_waits` notes how long they take; `reading` and
`segments` are the log on the disk; `log` reads its entries and makes its changes; `cleaning` makes
room; `writer` is the thread, and `incoming` is the queue to it; `fault_log` logs what goes wrong.
Begin with the tops of `records` and `log`. Who calls whom:

    the thread that measures     outbox -> incoming
    the thread that writes       writer -> incoming, cleaning -> log -> segments -> files
    senders, and who looks       outbox -> log -> segments -> files
    another process              inspection -> reading -> files; to drop something, cleaning
"""

from mqtt_http_bridge.adapters.outbox.clock import Boot
from mqtt_http_bridge.adapters.outbox.contents import OutboxContents, PortalContents
from mqtt_http_bridge.adapters.outbox.outbox import Outbox
from mqtt_http_bridge.adapters.outbox.records import Entry, EntryFormat

__all__ = ["Boot", "Entry", "EntryFormat", "Outbox", "OutboxContents", "PortalContents"]
