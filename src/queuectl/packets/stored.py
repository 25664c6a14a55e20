"""How a stored file of a queue becomes a packet, where it must be vouched for and decoded first.

    file → verifier says yes → decoder → header (a packet) → payload

Both are shell commands that read the file as standard input. A verifier is asked before anything else looks at the
file, and again by whoever runs the packet, of the very file that is then run.
"""

from __future__ import annotations

import os
from time import monotonic

from queuectl.packet import PacketError, decode
from queuectl.packets import children
from queuectl.packets.decoder import Decoder
from queuectl.packets.descriptors import reader
from queuectl.packets.environment import Surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from queuectl.packet import Packet

LOOK_S = 60  # for a verifier to say yes, or a decoder to bring forth a header


class Refused(PacketError):
    """The verifier does not vouch for the file, or took too long over it."""


class Stored:
    """The verifier and the decoder of one queue; both run with these variables, in the folder `cwd` where one is given."""

    def __init__(self, decoder: str | None, verify: str | None, variables: Iterable[tuple[bytes, bytes]], cwd: str = "") -> None:
        base = dict(variables)
        self.shell = base.get(b"SHELL", b"/bin/sh")
        self._env = Surroundings(base.items()).with_added([])
        self._enter = b"cd " + _quoted(os.fsencode(cwd)) + b" || exit 125\n" if cwd else b""
        self._decoder = None if decoder is None else os.fsencode(decoder)
        self._verify = None if verify is None else os.fsencode(verify)

    @property
    def is_plain(self) -> bool:
        """Whether a file can be read without starting anything."""
        return self._decoder is None and self._verify is None

    def verify(self, fd: int) -> None:
        """Ask the verifier, whose own offset in the file this is not. Raises Refused."""
        if self._verify is None:
            return
        own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            pid = children.start([self.shell, b"-c", self._enter + self._verify], self._env, [(own, 0), (2, 1)], own_group=True)
        finally:
            os.close(own)
        status = children.wait_within(pid, LOOK_S)
        if status is None:
            children.kill_group(pid)
            children.wait(pid)
            raise Refused(f"the verifier has not ended within {LOOK_S} seconds")
        if status:
            raise Refused(f"the verifier does not vouch for it (wait status {status})")

    def decoder(self, fd: int) -> Decoder | None:
        """The decoder, started on the file; None where there is none."""
        if self._decoder is None:
            return None
        return Decoder(self._enter + self._decoder, fd, self._env, self.shell)

    def header(self, fd: int) -> Packet:
        """What the file says, once it is vouched for. Raises PacketError."""
        self.verify(fd)
        decoder = self.decoder(fd)
        if decoder is None:
            return decode(b"", reader(fd))[0]
        with decoder:
            return decode(b"", _in_time(decoder.output))[0]


def _in_time(fd: int) -> Callable[[int], bytes]:
    from select import POLLIN, poll

    ready = poll()
    ready.register(fd, POLLIN)
    end = monotonic() + LOOK_S

    def read(at_most: int) -> bytes:
        if not ready.poll(max(0, end - monotonic()) * 1000):
            raise Refused(f"the decoder has brought forth no header within {LOOK_S} seconds")
        return os.read(fd, at_most)

    return read


def _quoted(word: bytes) -> bytes:
    return b"'" + word.replace(b"'", b"'\\''") + b"'"
