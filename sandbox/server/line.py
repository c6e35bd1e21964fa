#!/usr/bin/python3 -IS
"""The line in front of sshd: forwards bytes with a delay, and can be cut in the ways a network is cut.

    line serve PORT TARGET     forward 127.0.0.1:PORT to 127.0.0.1:TARGET
    line set RTT STATE         round trip in milliseconds; state: open, dead (answers nothing) or reset
    line get                   the round trip in force

A connection's far end is opened one and a half round trips late, so that the greeting arrives when TCP's handshake
over a real line would have let it; from then on each direction takes half a round trip, at full throughput.
"""

from __future__ import annotations

import socket
import struct
import sys

if sys.argv[1:2] == ["serve"]:  # the others are done before it is imported
    import asyncio

CONTROL = "/run/line.sock"
CHUNK = 64 * 1024
WINDOW = 1024  # chunks on their way in one direction


class Line:
    def __init__(self, target: int) -> None:
        self.target = target
        self.rtt = 0.0  # seconds
        self.open = asyncio.Event()
        self.open.set()
        self.ends: set[asyncio.StreamWriter] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ends.add(writer)
        try:
            await asyncio.sleep(1.5 * self.rtt)
            await self.open.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            self.ends.add(far_writer)
            try:
                for end in (writer, far_writer):
                    end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await asyncio.gather(self.carry(reader, writer, far_writer), self.carry(far_reader, far_writer, writer))
            finally:
                self.ends.discard(far_writer)
                far_writer.close()
        except OSError:
            reset(writer)  # the server refused, or one side went away
        finally:
            self.ends.discard(writer)
            writer.close()

    async def carry(
        self, reader: asyncio.StreamReader, source: asyncio.StreamWriter, writer: asyncio.StreamWriter
    ) -> None:
        """Forward what `source` sends until it ends; every chunk is held for half a round trip from its arrival on."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WINDOW)
        receiving = asyncio.create_task(self.receive(reader, source, held))
        try:
            data = b"-"
            while data:
                due, data = await held.get()
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                await self.open.wait()
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        finally:
            receiving.cancel()

    async def receive(
        self, reader: asyncio.StreamReader, source: asyncio.StreamWriter, held: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        """The last chunk is an empty one, also where the connection was torn.

        What arrives is acknowledged at once: a line has no delayed acknowledgement of its own to hold sshd back with.
        """
        data = b"-"
        while data:
            try:
                data = await reader.read(CHUNK)
                source.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            except OSError:
                data = b""
            await held.put((asyncio.get_running_loop().time() + self.rtt / 2, data))

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one order, if there is one, and answer with the round trip in force, in milliseconds."""
        order = await reader.readline()
        if order:
            rtt, state = order.split()
            self.rtt = float(rtt) / 1000
            if state == b"dead":
                self.open.clear()
            else:
                self.open.set()
            if state == b"reset":
                for end in list(self.ends):
                    reset(end)
        writer.write(b"%g\n" % (self.rtt * 1000))
        await writer.drain()
        writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a RST: a linger time of zero says so to the kernel."""
    end = writer.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def serve(port: int, target: int) -> None:
    line = Line(target)
    await asyncio.start_unix_server(line.control, CONTROL)
    server = await asyncio.start_server(line.accept, "127.0.0.1", port)
    await server.serve_forever()


def ask(order: str) -> str:
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(CONTROL)
        control.sendall(order.encode())
        control.shutdown(socket.SHUT_WR)
        return control.makefile().readline()


def main(verb: str, *words: str) -> None:
    if verb == "serve":
        port, target = map(int, words)
        asyncio.run(serve(port, target))
    else:
        print(ask(f"{' '.join(words)}\n" if words else ""), end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
