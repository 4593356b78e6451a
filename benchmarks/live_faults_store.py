"""Faults of the store, of archives and models, and of the disk."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.live_faults_client import Reply, Stream, p99_s, plain
from benchmarks.live_faults_servers import SETTLE_S, Row, warm
from benchmarks.live_faults_world import STREAM, WARM, World, archive, fails
from tests.bad_s3 import FINE, Plan
from tests.bad_s3 import Fault as Bad
from tests.hostile_archives import hostile

MODEL_ERROR = "424 ModelError"
FLIP = "\n\n_sleep = TritonPythonModel._run\n\n\ndef _execute(self, requests):\n    answers = []\n    for request in " \
    "requests:\n        one = pb_utils.get_input_tensor_by_name(request, 'INPUT').as_numpy()\n        answers.append(" \
    "pb_utils.InferenceResponse([pb_utils.Tensor('OUTPUT', -one)]))\n    return answers\n\n\n" \
    "TritonPythonModel.execute = _execute\n"
"""A model whose answers have the other sign: which version was it?"""


def of_archives(fault: Bad) -> Plan:
    """Listings are fine, archives are not."""
    return lambda number, line: fault if ".tar.gz" in line else FINE


async def until_right(w: World, row: Row, model: str, since_s: float, *allowed: str) -> None:
    """Asks again and again, as a client would, until there is an answer."""
    replies: list[Reply] = []
    while not replies or not replies[-1].right:
        assert time.monotonic() < since_s + 60, f"not right again within 60 s: {plain(replies[-1])}"
        replies.append(await w.client.ask(model))
        if not replies[-1].right:
            await asyncio.sleep(0.1)
    row.recovery_s.append(replies[-1].ended_s - since_s)
    row.count(replies, *allowed)


async def s3_down(w: World, row: Row) -> None:
    """S3 resets every connection; a model that is not on the disk is asked for, others are warm."""
    await warm(w)
    w.proxy.plan = lambda number, line: Bad(after_bytes=0, end="reset")
    async with Stream(w.client, WARM) as stream:
        cold = await asyncio.gather(*(w.client.ask("m4") for _ in range(5)))
        w.proxy.plan = lambda number, line: FINE
        await until_right(w, row, "m4", time.monotonic(), MODEL_ERROR)
    row.count(cold, MODEL_ERROR)
    row.count(stream.replies)
    row.expect(all("download" in reply.message for reply in cold), f"{plain(cold[0])}")
    row.notes.append(f"cold requests fail after {cold[0].took_s:.1f} s; p99 of the warm ones meanwhile "
                     f"{1e3 * p99_s(stream.replies):.0f} ms")


async def s3_slow(w: World, row: Row) -> None:
    """S3 sends an archive of 2 MB at 500 kB/s."""
    w.put(large=archive("large", weights_bytes=2 << 20))
    await w.known("large")
    await warm(w)
    w.proxy.plan = of_archives(Bad(rate_bps=500e3))
    async with Stream(w.client, WARM) as stream:
        cold = await asyncio.gather(*(w.client.ask("large") for _ in range(5)))
    w.proxy.plan = lambda number, line: FINE
    row.count([*cold, *stream.replies])
    row.expect(cold[0].took_s > 4, "it was not slow at all")
    row.notes.append(f"cold requests wait {cold[0].took_s:.1f} s; p99 of the warm ones meanwhile "
                     f"{1e3 * p99_s(stream.replies):.0f} ms")


async def s3_silent(w: World, row: Row) -> None:
    """S3 falls silent in the middle of an archive."""
    w.put(large=archive("large", weights_bytes=2 << 20))
    await w.known("large")
    await warm(w)
    w.proxy.plan = of_archives(Bad(after_bytes=100_000, end="silence"))
    async with Stream(w.client, WARM) as stream:
        cold = await asyncio.gather(*(w.client.ask("large") for _ in range(5)))
        w.proxy.plan = lambda number, line: FINE
        await until_right(w, row, "large", time.monotonic(), MODEL_ERROR, "429 ModelNotReadyException")
    row.count(cold, MODEL_ERROR, "429 ModelNotReadyException")
    row.count(stream.replies)
    row.notes.append(f"cold requests get {cold[0].kind} after {cold[0].took_s:.1f} s")


async def s3_truncating(w: World, row: Row) -> None:
    """S3 cuts every archive off behind its first 1000 bytes."""
    w.put(large=archive("large", weights_bytes=2 << 20))
    await w.known("large")
    await warm(w)
    w.proxy.plan = of_archives(Bad(after_bytes=1000))
    async with Stream(w.client, WARM) as stream:
        cold = await asyncio.gather(*(w.client.ask("large") for _ in range(5)))
        w.proxy.plan = lambda number, line: FINE
        await until_right(w, row, "large", time.monotonic(), MODEL_ERROR)
    row.count(cold, MODEL_ERROR)
    row.count(stream.replies)


async def s3_truncating_twice(w: World, row: Row) -> None:
    """S3 cuts an archive off twice, half-way, and then sends the rest."""
    w.put(large=archive("large", weights_bytes=2 << 20))
    await w.known("large")
    cuts = iter(range(2))
    w.proxy.plan = lambda number, line: Bad(after_bytes=500_000) if line.startswith("GET") and ".tar.gz" in line \
        and next(cuts, None) is not None else FINE
    row.count(await warm(w, "large"))
    row.expect(next(cuts, None) is None, "nothing was cut off")


async def corrupt_archive(w: World, row: Row) -> None:
    """An archive that is damaged in its middle; then a good one takes its place."""
    content = bytearray(archive("torn"))
    content[len(content) // 2] ^= 0xFF
    await _mended(w, row, "torn", bytes(content), "damaged archive")


async def failing_load(w: World, row: Row) -> None:
    """A model that raises in its initialize; then a good one takes its place."""
    await _mended(w, row, "broken", archive("broken", code=fails("ValueError('no such layer: 17')")),
                  "no such layer: 17")


async def out_of_memory(w: World, row: Row) -> None:
    """A model whose load runs out of memory whatever leaves; then a good one takes its place."""
    await _mended(w, row, "greedy", archive("greedy", code=fails("RuntimeError('CUDA out of memory. Tried to ...')")),
                  "out of memory")


async def _mended(w: World, row: Row, name: str, content: bytes, reason: str) -> None:
    """A bad archive under load, and then a good one in its place."""
    w.put(**{name: content})
    await w.known(name)
    version = (await w.model(name))["version"]
    await warm(w)
    async with Stream(w.client, WARM) as stream:
        bad = await asyncio.gather(*(w.client.ask(name) for _ in range(5)))
        w.put(**{name: archive(name)})
        await w.known(name, version)
        await until_right(w, row, name, time.monotonic(), MODEL_ERROR)
    row.count(bad, MODEL_ERROR)
    row.count(stream.replies)
    row.expect(all(reply.kind == MODEL_ERROR and reason in reply.message for reply in bad), f"{plain(bad[0])}")


async def hostile_archives(w: World, row: Row) -> None:
    """Every archive of the corpus: paths that lead out, links, devices, bombs, damage."""
    corpus = {f"hostile-{number:02}": one for number, one in enumerate(hostile())}
    w.put(**{name: one.content for name, one in corpus.items()})
    await w.known(max(corpus))
    await warm(w)
    async with Stream(w.client, WARM) as stream:
        for name, one in corpus.items():
            reply = await w.client.ask(name)
            row.count([reply], MODEL_ERROR)
            row.expect(reply.kind == MODEL_ERROR and any(word in reply.message for word in (one.reason, "quota")),
                       f"{one.name}: {plain(reply)}, not {one.reason!r}")
    row.count(stream.replies)
    outside = [path for path in w.folder.rglob("*") if "escaped" in path.name or path.is_symlink()]
    row.expect(not outside, f"escaped: {outside[:3]}")
    row.notes.append(f"{len(corpus)} archives, none got out of its folder")


async def larger_than_memory(w: World, row: Row) -> None:
    """A model that is declared to be larger than the memory of a server."""
    w.put(giant=archive("giant"))
    await w.known("giant")
    await warm(w)
    async with Stream(w.client, WARM) as stream:
        replies = await asyncio.gather(*(w.client.ask("giant") for _ in range(5)))
        await asyncio.sleep(SETTLE_S)
    row.count(replies, MODEL_ERROR)
    row.count(stream.replies)
    row.expect(not any(reply.right for reply in replies), "it was served")
    row.expect(all("a server has" in reply.message for reply in replies), f"{plain(replies[0])}")


async def quota_full(w: World, row: Row) -> None:
    """A quota for three models of five, and a model that is larger than it."""
    w.put(large=archive("large", weights_bytes=6 << 20))
    await w.known("large")
    async with Stream(w.client, dict.fromkeys(STREAM, 1.0), rate_rps=5) as stream:
        large = await w.client.ask("large")
        await asyncio.sleep(6)
    row.count([large], MODEL_ERROR)
    row.count(stream.replies)
    row.expect(large.kind == MODEL_ERROR, f"{plain(large)}")
    used = sum(path.stat().st_size for path in w.folder.glob("state/servers/server-0/models/**/*") if path.is_file())
    row.notes.append(f"models leave the disk for others; {used / 1e6:.1f} MB on it at the end")


async def disk_full(w: World, row: Row) -> None:
    """A file system (tmpfs, 32 MB) that somebody else fills to the last byte, and then empties."""
    await warm(w)
    w.put(large=archive("large", weights_bytes=4 << 20))
    await w.known("large")
    ballast, w.lossless = w.folder / "state" / "ballast", False
    async with Stream(w.client, WARM) as stream:
        await asyncio.to_thread(_fill, ballast)
        full = await asyncio.gather(*(w.client.ask("large") for _ in range(5)))
        await asyncio.sleep(SETTLE_S)
        ballast.unlink()
        await until_right(w, row, "large", time.monotonic(), MODEL_ERROR)
    row.count(full, MODEL_ERROR)
    row.count(stream.replies)
    row.expect(all("disk" in reply.message for reply in full), f"{plain(full[0])}")


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as ballast:
        try:
            while ballast.write(bytes(1 << 16)):
                pass
        except OSError:
            return


@contextmanager
def small_disk(w: World) -> Iterator[None]:
    """The state's folder on a small tmpfs. Raises OSError when it cannot be mounted."""
    state = w.folder / "state"
    state.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(state)], capture_output=True,
                          text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(state)], check=False)


async def replaced(w: World, row: Row) -> None:
    """A model that is being served gets another archive."""
    await warm(w, *STREAM)
    w.client.answers["m0"] = {1.0, -1.0}
    version = (await w.model("m0"))["version"]
    async with Stream(w.client, WARM) as stream:
        await asyncio.sleep(SETTLE_S)
        w.put(m0=archive("m0", code=FLIP))
        await w.known("m0", version)
        replaced_s = time.monotonic()
        await asyncio.sleep(SETTLE_S)
        w.client.answers["m0"] = {-1.0}
        old = await w.client.ask("m0")
        w.client.answers["m0"] = {1.0, -1.0}
    w.client.replies.remove(old)
    w.client.asked -= 1
    row.count(stream.replies)
    row.notes.append("the loaded copy " + ("is of the new version" if old.right else "goes on with the old version "
                     "until it leaves the memory; the next load is of the new one") + f" ({replaced_s:.0f})"[:0])


async def deleted(w: World, row: Row) -> None:
    """Models are deleted from the store, one loaded and one that never was, and put back."""
    await warm(w)
    async with Stream(w.client, WARM) as stream:
        w.take("m0")
        w.take("m4")
        await until(w, "m4", lambda reply: reply.status == 400)
        w.put(m0=archive("m0"), m4=archive("m4"))
        await until_right(w, row, "m4", time.monotonic(), "400 ValidationError")
    row.count(stream.replies)
    row.notes.append("the loaded copy goes on, as on SageMaker; the other model is 400 until it is back")


async def removed(w: World, row: Row) -> None:
    """A loaded model is removed by the management API, and added again."""
    await warm(w)
    async with Stream(w.client, {"m1": 1, "m2": 1}) as stream:
        await w.manage("DELETE", "/models/m0")
        row.count([gone := await w.client.ask("m0")], "400 ValidationError")
        row.expect(gone.status == 400, f"{plain(gone)}")
        await w.manage("POST", "/models", {"name": "m0"})
        await until_right(w, row, "m0", time.monotonic())
    row.count(stream.replies)


async def until(w: World, model: str, condition: Callable[[Reply], bool]) -> None:
    """Asks until the reply is so, and lets the endpoint look at the store."""
    for _ in range(300):
        if condition(await w.client.ask(model)):
            return
        await w.manage("POST", "/models", {"name": "m1"})
        await asyncio.sleep(0.05)
    raise AssertionError(f"{model}: not within 300 requests")
