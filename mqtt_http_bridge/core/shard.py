"""Divides GX devices among several relays: rendezvous hashing, with no coordinator.

For each GX, every relay computes a number for each shard, from the shard's ordinal and the portal
id; the shard with the highest number gets the GX. So all relays agree without talking to each
other, each shard gets about the same number, and a shard that is added takes its share from all the
others: a GX only ever moves to the new one. With `count` shards before, about one GX in `count + 1`
moves.
"""

from typing import Final, NamedTuple

MOST_SHARDS: Final = 1024
_DIGEST_BYTES: Final = 8


class Shard(NamedTuple):
    """The share of one relay: number `ordinal`, counted from 0, of `total`."""

    ordinal: int
    total: int

    def __str__(self) -> str:
        return f"{self.ordinal}/{self.total}"

    def serves(self, portal_id: str) -> bool:
        """Tells whether a GX is one of this shard's."""
        return owner(portal_id, self.total) == self.ordinal


class AutoShard(NamedTuple):
    """A shard whose ordinal is the number at the end of the host's name."""

    total: int

    def of_host(self, name: str) -> Shard | None:
        """The shard of the host with this name; None if the name contains no number."""
        first = name.partition(".")[0]
        digits = first[len(first.rstrip("0123456789")) :]
        if not digits or len(digits) > len(str(MOST_SHARDS)) or int(digits) >= self.total:
            return None
        return Shard(int(digits), self.total)


def owner(portal_id: str, count: int) -> int:
    """The ordinal of the shard, of `total`, that a GX belongs to."""
    from hashlib import blake2b  # Only where there are shards.

    def score(ordinal: int) -> bytes:
        return blake2b(f"{ordinal}/{portal_id}".encode(), digest_size=_DIGEST_BYTES).digest()

    return max(range(count), key=score)
