"""A small HTTP load generator: keep-alive connections, one request after the other on each."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Result:
    """What a run measured; latencies in seconds."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    sample: str = ""

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


# One request, or the requests of a conversation, each made when the one before it was answered.
MakeRequest = Callable[[int], bytes | Iterable[bytes]]


def request_bytes(
    method: str, path: str, headers: dict[str, str], body: bytes = b"", **more: str
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers | more).items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def connection(
    port: int, make: MakeRequest, counter: list[int], deadline: float, result: Result
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while time.perf_counter() < deadline:
            counter[0] += 1
            started = time.perf_counter()
            made = make(counter[0])
            for request in [made] if isinstance(made, bytes) else made:
                writer.write(request)
                head, body = await answer(reader)
                if head[9:12] not in (b"200", b"201"):
                    result.errors += 1
                    result.sample = result.sample or (head[:12] + b" " + body[:300]).decode()
                    break
            else:
                result.latencies.append(time.perf_counter() - started)
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    place = head.lower().find(b"content-length:")
    length = int(head[place + 15 : head.index(b"\r\n", place)]) if place > 0 else 0
    return head, await reader.readexactly(length)


def run(port: int, make: MakeRequest, connections: int, seconds: float) -> Result:
    async def main() -> Result:
        result = Result(seconds)
        counter = [0]
        deadline = time.perf_counter() + seconds
        await asyncio.gather(
            *(connection(port, make, counter, deadline, result) for _ in range(connections))
        )
        return result

    return asyncio.run(main())
