"""Says how to fix a disk, depending on the error from the operating system."""

import errno
from typing import Final

_FULL: Final = "make room on the disk"
_OWNER: Final = "give its files back to the user that the service runs as (chown -R)"
_BROKEN: Final = "look at the disk and its plug, or set outbox.directory to a place on another one"
SHORT: Final = "see what uses up the memory or the open files of this machine"
_IN_THE_WAY: Final = "move away the file that is in the place of outbox.directory"
_REMEDIES: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "mount it writable; one that has become read-only by itself is broken or worn out",
    errno.EACCES: _OWNER,
    errno.EPERM: _OWNER,
    errno.EMFILE: SHORT,
    errno.ENFILE: SHORT,
    errno.ENOMEM: SHORT,
    errno.ENOENT: "put outbox.directory back where it was",
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: "move away the directory that is in the place of one of its files",
}


def disk_remedy(code: int | None) -> str:
    """Says what to do about an error number, as an instruction without a full stop; never empty."""
    return _REMEDIES.get(code or 0, _BROKEN)
