"""The receiving half of a WebSocket, enough to follow what a ComfyUI server tells its clients.

Source: RFC 6455. Frames from a server are unmasked; compression is never asked for, so it never comes.
"""

import base64
import os
import socket
import struct
import types
from urllib.parse import urlsplit

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


class WebSocket:
    """An open connection that hands out messages one by one."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port or 80), timeout)
        self._buffer = b""
        self._message = b""
        self._kind = 0
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise ConnectionError(f"{url} did not open a WebSocket: {head.splitlines()[0].decode('latin-1')}")

    def __enter__(self) -> "WebSocket":
        return self

    def __exit__(self, *_: type | BaseException | types.TracebackType | None) -> None:
        self._socket.close()

    def receive(self, timeout: float) -> str | bytes | None:
        """Wait for the next message.

        Args:
            timeout: Seconds to wait.

        Returns:
            The message, str for text and bytes for binary, or None when none came in time.

        Raises:
            ConnectionError: The server closed the connection.
        """
        self._socket.settimeout(timeout)
        while True:
            try:
                is_final, kind, payload = self._frame()
            except TimeoutError:
                return None
            if kind == CLOSE:
                raise ConnectionError("the server closed the WebSocket")
            if kind == PING:
                self._answer(payload)
            elif kind != PONG:
                self._kind = kind or self._kind  # a continuation has kind 0
                self._message += payload
                if is_final:
                    message, self._message = self._message, b""
                    return message.decode() if self._kind == TEXT else message

    def _frame(self) -> tuple[bool, int, bytes]:
        """Take one whole frame off the buffer; a timeout leaves the buffer as it was."""
        self._need(2)
        start, length = 2, self._buffer[1] & 0x7F
        if length >= 126:
            start = 4 if length == 126 else 10
            self._need(start)
            length = int.from_bytes(self._buffer[2:start], "big")
        self._need(start + length)
        first, payload = self._buffer[0], self._buffer[start : start + length]
        self._buffer = self._buffer[start + length :]
        return bool(first & 0x80), first & 0x0F, payload

    def _need(self, size: int) -> None:
        while len(self._buffer) < size:
            self._fill()

    def _fill(self) -> None:
        received = self._socket.recv(1 << 16)
        if not received:
            raise ConnectionError("the server closed the connection")
        self._buffer += received

    def _answer(self, payload: bytes) -> None:
        """Send a pong; a mask of zeros is a mask."""
        self._socket.sendall(struct.pack("!BB4x", 0x80 | PONG, 0x80 | len(payload)) + payload)
