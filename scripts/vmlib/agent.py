# SPDX-License-Identifier: GPL-2.0
"""The guest's init: runs what the host asks for over a virtio port.

One JSON object a line, both ways. Requests: ``{"id", "op": "start", "argv", "stdin", "env"}``,
``{"id", "op": "kill", "signal"}``, ``{"id", "op": "write", "path", "data"}``, ``{"id", "op":
"read", "path"}``. Answers: ``{"id", "out"}`` and ``{"id", "err"}`` while a command runs, then
``{"id", "exit"}``. Data is base64. Only the standard library: it runs as PID 1.
"""

import base64
import json
import os
import signal
import subprocess
import threading
from pathlib import Path

PORT = "ifref"


def find_port() -> str:
    """The device of the port with our name; there is no udev to make links."""
    for port in Path("/sys/class/virtio-ports").iterdir():
        name = port / "name"
        if name.exists() and name.read_text().strip() == PORT:
            return f"/dev/{port.name}"
    raise FileNotFoundError(f"no virtio port {PORT}")


class Agent:
    """Serves one port."""

    def __init__(self, path: str) -> None:
        self.port = os.open(path, os.O_RDWR)
        self.lock = threading.Lock()
        self.jobs: dict[int, subprocess.Popen] = {}

    def send(self, **answer) -> None:
        data = json.dumps(answer).encode() + b"\n"
        with self.lock:
            while data:
                data = data[os.write(self.port, data) :]

    def pump(self, ident: int, key: str, pipe) -> None:
        while data := os.read(pipe.fileno(), 1 << 16):
            self.send(id=ident, **{key: base64.b64encode(data).decode()})
        pipe.close()

    def start(self, ident: int, argv, stdin: str = "", env=None) -> None:
        job = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        self.jobs[ident] = job
        threading.Thread(target=self.follow, args=(ident, job, stdin), daemon=True).start()

    def follow(self, ident: int, job: subprocess.Popen, stdin: str) -> None:
        pumps = [
            threading.Thread(target=self.pump, args=(ident, key, pipe), daemon=True)
            for key, pipe in (("out", job.stdout), ("err", job.stderr))
        ]
        for pump in pumps:
            pump.start()
        try:
            job.stdin.write(base64.b64decode(stdin))
            job.stdin.close()
        except BrokenPipeError:
            pass
        status = job.wait()
        for pump in pumps:
            # What a command leaves running in the background may keep its pipes open.
            pump.join(timeout=2)
        del self.jobs[ident]
        self.send(id=ident, exit=status)

    def serve(self, ident: int, op: str, **rest) -> None:
        if op == "start":
            self.start(ident, **rest)
        elif op == "kill":
            job = self.jobs.get(rest["job"])
            if job:
                os.killpg(job.pid, rest.get("signal", signal.SIGKILL))
            self.send(id=ident, exit=0)
        elif op == "write":
            # One write(2): that is what files in sysfs and debugfs look at.
            fd = os.open(rest["path"], os.O_WRONLY | rest.get("flags", 0), 0o644)
            try:
                os.write(fd, base64.b64decode(rest["data"]))
            finally:
                os.close(fd)
            self.send(id=ident, exit=0)
        elif op == "read":
            data = Path(rest["path"]).read_bytes()
            self.send(id=ident, out=base64.b64encode(data).decode())
            self.send(id=ident, exit=0)

    def run(self) -> None:
        self.send(id=0, exit=0)
        pending = b""
        while data := os.read(self.port, 1 << 16):
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                request = json.loads(line)
                ident = request.pop("id")
                try:
                    self.serve(ident, **request)
                except OSError as err:
                    self.send(id=ident, errno=err.errno, message=str(err))


if __name__ == "__main__":
    # The checkout, which the guest sees where the host has it.
    os.chdir(Path(__file__).parents[2])
    os.environ.update(PATH="/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin", HOME="/root", LC_ALL="C.UTF-8")
    Agent(find_port()).run()
