"""The decoder: a shell command that turns a stored job back into a packet.

It runs in a process group of its own, so that no member of a pipeline is left over. Where the whole payload was read
and the decoder then ends with an error, the payload may be cut short: the original does not look, ours reports it.
QUEUECTL_FSPL_DECODER_STATUS=ignore makes it look away as well.
"""

from __future__ import annotations

import os

from queuectl.packets.children import kill_group, start, wait, wait_within
from queuectl.packets.environment import Surroundings, inherited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.packets.environment import Environment

_LINGER_S = 10


class Decoder:
    """A running decoder; `output` is the packet. It is killed, if it still runs, at the end of the `with`."""

    __slots__ = ("_pid", "_status", "output")

    def __init__(self, command: bytes, job: int, env: Environment | None = None, shell: bytes = b"") -> None:
        env = env or Surroundings(inherited()).with_added([])
        shell = shell or os.environb.get(b"SHELL", b"/bin/sh")
        self.output, writer = os.pipe()
        self._status: int | None = None
        try:
            self._pid = start([shell, b"-c", command], env, [(job, 0), (writer, 1)], own_group=True)
        except BaseException:
            os.close(self.output)
            raise
        finally:
            os.close(writer)

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.output)
        kill_group(self._pid)
        if self._status is None:
            wait(self._pid)

    def drained(self) -> bool:
        """Whether somebody has read all that the decoder will ever write."""
        from select import POLLHUP, POLLIN, poll

        state = poll()
        state.register(self.output, POLLIN)
        return dict(state.poll(0)).get(self.output, 0) & (POLLIN | POLLHUP) == POLLHUP

    def trouble(self) -> str:
        """How a decoder that has written everything ended, in words; empty where it ended well."""
        if os.environb.get(b"QUEUECTL_FSPL_DECODER_STATUS") == b"ignore":
            return ""
        self._status = wait_within(self._pid, _LINGER_S)
        if not self._status:
            return ""
        ended = f"ExitStatus(unix_wait_status({self._status}))"
        return f"Decoder exited with non-success status {ended}; the payload may be incomplete"
