"""Packs a tar.gz again, without what differs from one build to the next."""

import gzip
import io
import tarfile

from tests.release.sources import is_script


def packed_again(content: bytes, modified_s: int) -> bytes:
    """The same files in the order of their names, all of one time and of nobody's."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(content)) as found,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as made,
    ):
        for member in sorted(found, key=lambda member: member.name):
            file = found.extractfile(member)
            content = file.read() if file else b""
            made.addfile(_plain(member, content, modified_s), io.BytesIO(content))
    return compressed(packed.getvalue())


def compressed(content: bytes) -> bytes:
    """Compresses it. Not by gzip.compress, which writes another header from Python 3.13 on."""
    made = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=made, mtime=0) as file:
        file.write(content)
    return made.getvalue()


def _plain(member: tarfile.TarInfo, content: bytes, modified_s: int) -> tarfile.TarInfo:
    plain = tarfile.TarInfo(member.name)
    plain.type, plain.size, plain.mtime = member.type, member.size, modified_s
    plain.mode = 0o755 if member.isdir() or is_script(content) else 0o644
    return plain
