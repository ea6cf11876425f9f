# SPDX-License-Identifier: GPL-2.0
"""The guest's init: runs what the host asks for over a virtio port.

One JSON object a line, both ways. Requests have an ``id`` and an ``op``: ``start`` (``argv``,
``env``, ``keep_stdin``), ``input`` (``job``, ``data``), ``kill`` (``job``, ``signal``), ``write``
(``path``, ``data``, ``flags``), ``read`` (``path``), ``link`` (``path``; where it leads), ``glob``
(``pattern``; the files as a JSON object from path to text, without what cannot be read), ``exists``
(``path``). Answers have the ``id``: ``out`` and ``err`` while a command runs, then ``exit``; or
``errno`` and ``message``. Data is base64. Only the standard library: it runs as PID 1. To start a
program may cost a guest half a second, so what is asked often is answered from here.
"""

import base64
import contextlib
import errno
import glob
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
        self.table = threading.Lock()
        # Somebody to wait for.
        self.children = threading.Event()
        # A job's thread has taken its end.
        self.collected = threading.Event()
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

    def start(self, ident: int, argv, env=None, keep_stdin=False) -> None:
        with self.table:
            job = self.jobs[ident] = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if keep_stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
            self.children.set()
        threading.Thread(target=self.follow, args=(ident, job), daemon=True).start()

    def follow(self, ident: int, job: subprocess.Popen) -> None:
        pumps = [
            threading.Thread(target=self.pump, args=(ident, key, pipe), daemon=True)
            for key, pipe in (("out", job.stdout), ("err", job.stderr))
        ]
        for pump in pumps:
            pump.start()
        status = job.wait()
        for pump in pumps:
            # What a command leaves running in the background may keep its pipes open.
            pump.join(timeout=2)
        with self.table:
            del self.jobs[ident]
        self.collected.set()
        self.send(id=ident, exit=status)

    def serve(self, ident: int, op: str, **rest) -> None:
        if op == "start":
            self.start(ident, **rest)
        elif op == "input":
            job, data = self.jobs.get(rest["job"]), base64.b64decode(rest["data"])
            if job and data:
                job.stdin.write(data)
                job.stdin.flush()
            elif job:
                job.stdin.close()
            self.send(id=ident, exit=0)
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
        elif op == "link":
            data = os.readlink(rest["path"]).encode()
            self.send(id=ident, out=base64.b64encode(data).decode())
            self.send(id=ident, exit=0)
        elif op == "exists":
            self.send(id=ident, exit=int(not os.path.exists(rest["path"])))
        elif op == "glob":
            found = {}
            for path in glob.iglob(rest["pattern"]):
                with contextlib.suppress(OSError):
                    found[path] = Path(path).read_text(errors="replace")
            data = json.dumps(found).encode()
            self.send(id=ident, out=base64.b64encode(data).decode())
            self.send(id=ident, exit=0)

    def reap(self) -> None:
        """Ends the zombies that fall to init; a job's own is for its thread."""
        while True:
            self.children.clear()
            self.collected.clear()
            try:
                pid = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT).si_pid
            except ChildProcessError:
                self.children.wait()
                continue
            # Under the lock, so that a job that ends at once is known as one.
            with self.table:
                orphan = all(job.pid != pid for job in self.jobs.values())
            if orphan:
                # Its thread may have been faster.
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            else:
                self.collected.wait()

    def run(self) -> None:
        threading.Thread(target=self.reap, daemon=True).start()
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
                except Exception as err:
                    # A host that asks what makes no sense does not end init.
                    self.send(id=ident, errno=errno.EINVAL, message=repr(err))


if __name__ == "__main__":
    # The checkout, which the guest sees where the host has it.
    os.chdir(Path(__file__).parents[2])
    path = "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin"
    os.environ.update(PATH=path, HOME="/root", LC_ALL="C.UTF-8")
    Agent(find_port()).run()
