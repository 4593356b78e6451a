"""Archives that try to get out of their folder, to fill the disk or to break the reader: (name, bytes, what is said).

Every one is a complete gzip stream unless damage is its very point; most carry a good model besides, so that a refusal
is for the hostile part.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CONFIG = b'name: "example"\nbackend: "python"\n'
GOOD = {"config.pbtxt": CONFIG, "1/model.py": b"pass\n"}
BLOCK = 512
MIB = 1 << 20
Member = tuple[tarfile.TarInfo, bytes]


@dataclass(frozen=True)
class Hostile:
    """An archive, and a part of the reason it must be refused for."""

    name: str
    content: bytes
    reason: str


def file(name: str, content: bytes = b"x", *, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644,
         pax: Mapping[str, str] | None = None) -> Member:
    """One member of any kind."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.pax_headers = kind, link, mode, dict(pax or {})
    member.size = len(content) if kind == tarfile.REGTYPE else 0
    return member, content if kind == tarfile.REGTYPE else b""


def tar(members: Iterable[Member], kind: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of these members, with its end mark."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def packed(*members: Member, files: Mapping[str, bytes] = GOOD, kind: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar.gz of these files and then these members."""
    return gzip.compress(tar([*(file(*one) for one in files.items()), *members], kind), 1)


def damaged_header(tared: bytes, at: int, content: bytes, *, mend: bool = True) -> bytes:
    """The tar with these bytes at that place of its first header, whose checksum is put right or not."""
    header = bytearray(tared[:BLOCK])
    header[at:at + len(content)] = content
    if mend:
        header[148:156] = b" " * 8
        header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + tared[BLOCK:]


def hostile() -> list[Hostile]:
    """The corpus."""
    return [*_paths(), *_links(), *_kinds(), *_twins(), *_bombs(), *_damage(), *_no_models()]


def _paths() -> Iterable[Hostile]:
    names = {"absolute": "/escaped", "parent": "../escaped", "parent deep inside": "1/../../escaped",
             "parent at the end": "1/..", "two slashes": "//escaped"}
    for what, name in names.items():
        yield Hostile(f"path: {what}", packed(file(name)), "leaves the folder")
    yield Hostile("path: pax header leads out", packed(file("1/x", pax={"path": "../escaped"})), "leaves the folder")
    yield Hostile("path: backslashes", packed(file("..\\escaped")), "backslash")
    yield Hostile("path: control characters", packed(file("1/a\nb\x1b[31m")), "control character")
    yield Hostile("path: not UTF-8", packed(file("1/\udcff\udcfe"), kind=tarfile.GNU_FORMAT), "not UTF-8")
    yield Hostile("path: too long", packed(file("/".join(["d" * 100] * 8))), "too long")
    yield Hostile("path: one name too long", packed(file("d" * 300)), "too long")
    yield Hostile("path: too deep", packed(file("/".join("d" * 60))), "too deep")


def _links() -> Iterable[Hostile]:
    for what, target in {"absolute": "/etc/passwd", "parent": "../../escaped", "inside": "model.py"}.items():
        yield Hostile(f"symlink: {what}", packed(file("1/link", kind=tarfile.SYMTYPE, link=target)), "is a link")
    for what, target in {"absolute": "/etc/passwd", "parent": "../escaped", "inside": "1/model.py"}.items():
        yield Hostile(f"hard link: {what}", packed(file("1/link", kind=tarfile.LNKTYPE, link=target)), "is a link")
    through = [file("out", kind=tarfile.SYMTYPE, link=".."), file("out/escaped")]
    yield Hostile("symlink: written through", packed(*through), "is a link")
    over = [file("1/x", kind=tarfile.SYMTYPE, link="../../escaped"), file("1/x")]
    yield Hostile("symlink: overwritten", packed(*over), "is a link")
    chain = [file("a", kind=tarfile.SYMTYPE, link="."), file("a/b", kind=tarfile.SYMTYPE, link=".."),
             file("a/b/escaped")]
    yield Hostile("symlink: chain", packed(*chain), "is a link")


def _kinds() -> Iterable[Hostile]:
    kinds = {"fifo": tarfile.FIFOTYPE, "character device": tarfile.CHRTYPE, "block device": tarfile.BLKTYPE}
    for what, kind in kinds.items():
        yield Hostile(f"kind: {what}", packed(file("1/special", kind=kind)), "neither a plain file nor a folder")
    yield Hostile("kind: unknown", packed(file("1/special", kind=b"Z")), "1/special")
    sparse = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(1 << 40),
              "GNU.sparse.map": "0,0", "GNU.sparse.name": "1/huge"}
    yield Hostile("kind: sparse, pax", packed(file("1/x", pax=sparse)), "neither a plain file nor a folder")
    header = damaged_header(tar([file("1/huge")]), 156, tarfile.GNUTYPE_SPARSE)
    yield Hostile("kind: sparse, GNU", gzip.compress(header), "sparse")


def _twins() -> Iterable[Hostile]:
    yield Hostile("twice: a file", packed(file("1/model.py")), "collides")
    yield Hostile("twice: by another way", packed(file("./1/./model.py")), "collides")
    yield Hostile("twice: in capitals", packed(file("1/MODEL.PY")), "collides")
    yield Hostile("twice: a folder in capitals", packed(file("A/x"), file("a/y")), "collides")
    yield Hostile("twice: composed otherwise", packed(file("1/\u00e9"), file("1/e\u0301")), "collides")
    yield Hostile("twice: a file as a folder", packed(file("1/model.py/x")), "collides")
    yield Hostile("twice: a folder as a file", packed(file("1", b"x")), "collides")
    yield Hostile("twice: the root as a file", packed(file(".", b"x")), "collides")


def _bombs() -> Iterable[Hostile]:
    yield Hostile("bomb: zeros", packed(file("1/zeros", bytes(64 * MIB))), "more than its limit")
    yield Hostile("bomb: many files", packed(*(file(f"1/{index}", b"") for index in range(300))), "members")
    end = tar([file(*one) for one in GOOD.items()])
    yield Hostile("bomb: behind the end", gzip.compress(end + bytes(128 * MIB), 1), "more than its limit")
    claims = damaged_header(tar([file("1/x")]), 124, f"{0o77777777777:011o}\0".encode())
    yield Hostile("bomb: claims 8 GiB", gzip.compress(claims), "more than its limit")
    long_name = [file("1/x", pax={"comment": "c" * MIB})]
    yield Hostile("bomb: a header of a MiB", packed(*long_name), "extended header")
    one = tar([file("x", pax={"comment": "c"})])[:2 * BLOCK]
    yield Hostile("bomb: headers of headers", gzip.compress(one * 5000 + end), "damaged archive")


def _damage() -> Iterable[Hostile]:
    good = packed()
    content = tar([file(*one) for one in GOOD.items()])
    yield Hostile("damage: empty", b"", "damaged archive")
    yield Hostile("damage: not gzip", b"PK\3\4" + bytes(600), "damaged archive")
    yield Hostile("damage: a plain tar", content, "damaged archive")
    yield Hostile("damage: gzip cut off", good[:-12], "damaged archive")
    yield Hostile("damage: trailer cut off", good[:-4], "damaged archive")
    yield Hostile("damage: wrong checksum", good[:-8] + struct.pack("<I", 0) + good[-4:], "damaged archive")
    yield Hostile("damage: wrong length", good[:-4] + struct.pack("<I", 7), "damaged archive")
    yield Hostile("damage: trailing rubbish", good + b"rubbish", "damaged archive")
    yield Hostile("damage: nothing in the gzip", gzip.compress(b""), "damaged archive")
    yield Hostile("damage: no tar in the gzip", gzip.compress(b"x" * 2000), "damaged archive")
    yield Hostile("damage: tar cut off in a file", gzip.compress(content[:3 * BLOCK + 2]), "damaged archive")
    yield Hostile("damage: tar cut off between files", gzip.compress(content[:4 * BLOCK]), "damaged archive")
    second = content[:2 * BLOCK] + damaged_header(content[2 * BLOCK:], 0, b"other", mend=False)
    yield Hostile("damage: a header's checksum", gzip.compress(second), "damaged archive")
    negative = damaged_header(tar([file("1/x")]), 124, b"\xff" * 12)
    yield Hostile("damage: a negative size", gzip.compress(negative), "damaged archive")
    yield Hostile("damage: a negative size, pax", packed(file("1/x", pax={"size": "-5120"})), "negative size")


def _no_models() -> Iterable[Hostile]:
    yield Hostile("no model: empty tar", gzip.compress(tar([])), "holds no Triton model")
    yield Hostile("no model: two of them", packed(files={"a/config.pbtxt": CONFIG, "b/config.pbtxt": CONFIG}),
                  "holds no Triton model")
    yield Hostile("no model: two folders down", packed(files={"a/b/config.pbtxt": CONFIG}), "holds no Triton model")
