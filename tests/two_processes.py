"""A training by two processes of this machine, as `--distributed` is meant for two machines."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence


def train_in_two_processes(words: Sequence[object]) -> list[str]:
    """`jaxret train` with these words, begun twice; what the first and the second process print."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jaxret.train", *map(str, words), "--distributed"]
    command += ["--coordinator", f"127.0.0.1:{port}", "--process-count", "2", "--process-index"]
    processes = [
        subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=280)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    return outputs
