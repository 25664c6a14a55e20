"""TaskSpooler's client, `taskspoolctl`: sends its one argument to the server and prints the answer.

Standard library alone, and as little of it as will do: a start is most of what it costs.
"""

from __future__ import annotations

import os
import sys
from _socket import AF_UNIX, SHUT_WR, SOCK_STREAM, SOL_SOCKET, socket

from queuectl import jsontext
from queuectl.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

USAGE = """usage: taskspoolctl MESSAGE

  taskspoolctl "queue: ls -lh /var"   add a shell command
  taskspoolctl "status: all"          all jobs
  taskspoolctl "status: 3"            one job and what it wrote
TASKSPOOL_SOCKET names the socket of the server, else it is /tmp/taskspool.sock.
"""
PIECE = 1 << 18
SO_PEERCRED = 17


def main(argv: list[str]) -> int:
    """0; 1 when the server is not there or answers with an error; 2 when called wrongly."""
    if len(argv) != 1 or argv[0] in ("-h", "--help"):
        asked = argv in (["-h"], ["--help"])
        print(USAGE, end="", file=sys.stdout if asked else sys.stderr, flush=True)
        return 0 if asked else 2
    path = os.environ.get("TASKSPOOL_SOCKET") or "/tmp/taskspool.sock"
    try:
        answer = jsontext.loads(exchange(path, os.fsencode(argv[0])).decode())
    except Unreachable as fault:
        return _complain(str(fault))
    except (InvalidInput, UnicodeDecodeError, OSError) as fault:
        return _complain(f"The server at {path} did not answer properly: {fault}")
    print(indented(answer), flush=True)
    return 1 if isinstance(answer, dict) and "error" in answer else 0


def entry() -> NoReturn:
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = 141  # whoever read our output wants no more of it
    os._exit(code)


class Unreachable(Exception):
    """There is no server that could be trusted with the message."""


def exchange(path: str, message: bytes) -> bytes:
    """Send the message, close the sending half, return the whole answer."""
    server = socket(AF_UNIX, SOCK_STREAM)
    try:
        _connect(server, path)
        _send(server, message)
        pieces = []
        while piece := server.recv(PIECE):
            pieces.append(piece)
    finally:
        server.close()
    return b"".join(pieces)


def _send(server: socket, message: bytes) -> None:
    try:
        server.sendall(message)
        server.shutdown(SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has refused the message before its end: the answer says why


def _connect(server: socket, path: str) -> None:
    """Connect to a server of this user, or of root. Raises Unreachable."""
    try:
        server.connect(path)
    except FileNotFoundError:
        raise Unreachable(f"Socket not found at {path}. Is the server running?") from None
    except ConnectionRefusedError:
        raise Unreachable(f"Nobody listens on the socket at {path}. Is the server running?") from None
    except OSError as fault:
        raise Unreachable(f"Cannot use the socket at {path}: {fault.strerror or fault}. Is the server running?") from None
    if sys.platform == "linux":
        uid = int.from_bytes(server.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)[4:8], sys.byteorder)
        if uid not in (0, os.geteuid()):
            raise Unreachable(f"The server at {path} belongs to user {uid}. Nothing was sent to it.")


def indented(value: Any, margin: str = "") -> str:
    """JSON indented by 2, as `json.dumps(value, indent=2)` writes it, without the import of that module.

    >>> print(indented({"jobs": [{"id": 1}], "none": []}))
    {
      "jobs": [
        {
          "id": 1
        }
      ],
      "none": []
    }
    """
    inner = margin + "  "
    if isinstance(value, dict) and value:
        rows = [f"{jsontext.dumps(name)}: {indented(part, inner)}" for name, part in value.items()]
        return "{\n" + inner + f",\n{inner}".join(rows) + "\n" + margin + "}"
    if isinstance(value, list) and value:
        return "[\n" + inner + f",\n{inner}".join([indented(part, inner) for part in value]) + "\n" + margin + "]"
    return jsontext.dumps(value)


def _complain(line: str) -> int:
    print(line, file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    entry()
