"""Talking to qemu over its QMP socket.

Owns the protocol's few lines. Leaves which command means what to the callers.
"""

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from artefacts import LabError

TIMEOUT_S = 10.0
ID_BYTES = 8


class QmpError(LabError):
    """qemu refused a command, or doesn't answer."""


def execute(path: Path, command: str, timeout_s: float = TIMEOUT_S, **arguments: Any) -> Any:
    """Run one QMP command (qemu-qmp-ref) on the socket at `path` and return its answer.

    The path may be longer than a socket's address allows: it is reached through the
    folder's descriptor.

    Raises:
        QmpError: when the socket isn't there, is silent for `timeout_s`, or qemu refuses.
    """
    folder = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(timeout_s)
            link.connect(f"/proc/self/fd/{folder}/{path.name}")
            with link.makefile("rw") as stream:
                stream.readline()  # the greeting
                _ask(stream, "qmp_capabilities", {})
                return _ask(stream, command, arguments)
    except (OSError, ValueError) as error:
        raise QmpError(f"{command}: qemu doesn't answer on {path}: {error}") from error
    finally:
        with suppress(OSError):
            os.close(folder)


def _ask(stream: Any, command: str, arguments: dict[str, Any]) -> Any:
    # What a client that was killed had asked may be answered to the next one.
    own = os.urandom(ID_BYTES).hex()
    asked = {"execute": command, "arguments": arguments, "id": own}
    stream.write(json.dumps(asked) + "\n")
    stream.flush()
    while line := stream.readline():
        answer = json.loads(line)
        if answer.get("id") != own:
            continue
        if "error" in answer:
            raise QmpError(f"{command}: {answer['error'].get('desc', answer['error'])}")
        return answer["return"]
    if command == "quit":
        return {}
    raise QmpError(f"{command}: qemu hung up")
