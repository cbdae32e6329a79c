"""A server that answers any POST with a precomputed ranking, as fast as asyncio can.

`/n/100/anything` gets the answer for 100 documents. The program prints its port and serves until standard input closes, so that
it ends with the benchmark that started it.
"""

import asyncio
import json
import random
import socket
import sys

MODEL = "cohere/rerank-v3.5"
QUESTION = "How do coastal towns keep their drinking water safe after a storm?"

SUBJECTS = (
    "The harbour authority of Ærøskøbing",
    "A retired hydrologist from São Tomé",
    "The municipal laboratory in Łódź",
    "A schoolteacher who kept rain records",
    "The night shift at the pumping station",
    "A crew of volunteers from Kraków and Malmö",
    "The engineer responsible for the old reservoir",
    "A farmers' cooperative near the Côte d'Azur",
    "The regional office for public health",
    "A fisher's daughter from Şile turned chemist",
)
ACTIONS = (
    "measured the chlorine in the mains of every street twice a day",
    "closed the intake before the brackish water reached the filters",
    "found that the boreholes on higher ground stayed clean",
    "handed out bottled water and boiling notices in five languages",
    "replaced a cracked valve that nobody had looked at for decades",
    "compared turbidity with the tide table and the wind at 10 m",
    "wrote down what failed, what held, and what it cost (≈ 4 000 €)",
    "argued for a second pipeline instead of a taller sea wall",
    "traced the smell of diesel to a flooded garage near the quay",
    "lowered the pressure so that the leaks would not draw in mud",
)
ENDINGS = (
    "The report, published the following spring, is still read by planners along the coast.",
    "Nobody fell ill that week, although the river stayed above its banks until Sunday evening.",
    "Salt remained in the shallow wells for months, and 東京 sent a team to study how it faded.",
    "Their method was copied by the neighbouring district, with small changes for its older pipes.",
    "Most of the money went into sensors that send a reading every quarter of an hour.",
    "The council voted to keep the tanks full from September to March, whatever the forecast says.",
    "Two summers later the same storm track returned and the supply was never interrupted.",
)


def texts(count: int) -> list[str]:
    """Return distinct documents of about fifty words each, the same at every call."""
    chance = random.Random(f"documents {count}")  # noqa: S311 - repeatable, not secret
    return [
        f"Note {number}. {chance.choice(SUBJECTS)} {chance.choice(ACTIONS)}; "
        f"later that day the same people {chance.choice(ACTIONS)}. {chance.choice(ENDINGS)}"
        for number in range(count)
    ]


def answer(count: int) -> bytes:
    """Return the HTTP response for this number of documents, with all of them ranked and echoed."""
    chance = random.Random(f"answer {count}")  # noqa: S311 - repeatable, not secret
    documents = texts(count)
    order = chance.sample(range(count), count)
    scores = sorted((chance.random() for _ in order), reverse=True)
    body = {
        "id": "gen-rerank-1760000000-b3nchmarkb3nchmarkb3",
        "model": MODEL,
        "provider": "Cohere",
        "results": [
            {"index": index, "relevance_score": score, "document": {"text": documents[index]}}
            for index, score in zip(order, scores, strict=True)
        ],
        "usage": {
            "search_units": -(-count // 100),
            "total_tokens": 70 * count,
            "cost": 0.002 * -(-count // 100),
        },
    }
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    head = (
        "HTTP/1.1 200 OK\r\n"
        "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n"
        "Access-Control-Allow-Origin: *\r\n"
        "Access-Control-Expose-Headers: X-Generation-Id,X-Provider-Name,cf-ray\r\n"
        "Server: canned\r\n"
        "cf-ray: 8f0000000000abcd-CAN\r\n"
        "\r\n"
    )
    return head.encode() + content


ANSWERS: dict[int, bytes] = {}


class Canned(asyncio.Protocol):
    """A connection: read a whole request, answer, and wait for the next one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Reset the state, and turn off Nagle's algorithm."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server makes no other kind
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        self.head = b""
        self.missing = 0
        self.response = b""

    def data_received(self, data: bytes) -> None:
        """Answer when the body is complete."""
        # The measured clients do not pipeline requests, so nothing follows a body before its answer.
        if not self.missing:
            head, found, data = (self.head + data).partition(b"\r\n\r\n")
            if not found:
                self.head = head
                return
            self.head = b""
            self.missing = int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
            count = int(head.split(b"/", 3)[2])
            if count not in ANSWERS:
                ANSWERS[count] = answer(count)
            self.response = ANSWERS[count]
        self.missing -= len(data)
        if not self.missing:
            self.transport.write(self.response)


async def serve() -> None:
    """Serve on a free port, print it, and stop when standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Canned, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
