# SPDX-License-Identifier: GPL-2.0
"""The initramfs that brings the guest from Debian's kernel to its root over 9p.

virtme-ng was tried first. The one that Debian 13 packages falls back to its shell init with this
kernel, needs 27 s under TCG to the first command where this needs 15, ends in a panic for want of a
"poweroff", and found no port for results.
"""

import hashlib
import lzma
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

# Virtio's PCI and console drivers are built into Debian's kernel.
# Without virtio_rng the first programs spin for seconds until the kernel has gathered randomness.
MODULES = ["virtio_rng", "9pnet_virtio", "9p", "overlay"]

BUSYBOX = Path("/bin/busybox")

INIT = """#!/bin/busybox sh
export PATH=/bin
busybox mkdir -p /proc /sys /dev /ro /rw /new
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
for module in {modules}; do busybox insmod /modules/$module; done
busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro root /ro
busybox mount -t tmpfs tmpfs /rw
busybox mkdir /rw/upper /rw/work
busybox mount -t overlay -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work root /new
for dir in proc sys dev; do busybox mount --move /$dir /new/$dir; done
busybox mount -t tmpfs tmpfs /new/run
busybox mkdir -p /new/dev/pts /new/run/lock
busybox mount -t devpts devpts /new/dev/pts
busybox mount -t debugfs debugfs /new/sys/kernel/debug
busybox mount -t tracefs tracefs /new/sys/kernel/tracing
busybox ip link set lo up
exec busybox switch_root /new {init}
"""


def module_files(version: str) -> list[Path]:
    """The files of MODULES and what they need, in loading order."""
    files: list[Path] = []
    for module in MODULES:
        lines = subprocess.run(
            ["modprobe", "-S", version, "--show-depends", module],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        for line in lines:
            if line.startswith("insmod "):
                path = Path(line.split()[1])
                if path not in files:
                    files.append(path)
    return files


def make(kernel: Path, cache: Path, init: str) -> Path:
    """The initramfs for ``kernel``, from the cache if it is there."""
    files = module_files((kernel / "version").read_text().strip())
    digest = hashlib.sha256("\0".join([INIT, init, *map(str, files)]).encode())
    for path in [*files, BUSYBOX]:
        digest.update(path.read_bytes())
    image = cache / f"initramfs-{digest.hexdigest()[:12]}.cpio"
    if image.exists():
        return image
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        (top / "bin").mkdir()
        (top / "modules").mkdir()
        shutil.copy(BUSYBOX, top / "bin/busybox")
        names = []
        for path in files:
            data = path.read_bytes()
            if path.suffix == ".xz":
                data = lzma.decompress(data)
            names.append(path.name.removesuffix(".xz"))
            (top / "modules" / names[-1]).write_bytes(data)
        script = top / "init"
        script.write_text(INIT.format(modules=" ".join(names), init=init))
        script.chmod(0o755)
        archive = subprocess.run(
            ["sh", "-c", "find . | cpio -o -H newc --quiet"],
            cwd=top,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    publish(image, archive)
    return image


def unpacked(kernel: Path, cache: Path) -> Path:
    """The kernel as ELF, which QEMU starts by its PVH entry: TCG takes seconds to unpack it."""
    packed = kernel / "vmlinuz"
    key = hashlib.sha256(packed.read_bytes()).hexdigest()[:12]
    image = cache / f"vmlinux-{key}"
    if not image.exists():
        run = subprocess.run(
            ["bash", kernel / "src/scripts/extract-vmlinux", packed], capture_output=True
        )
        if run.returncode != 0:
            return packed
        publish(image, run.stdout)
    return image


def publish(path: Path, data: bytes) -> None:
    """Writes a file of the cache so that nobody ever sees a part of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    os.replace(name, path)
