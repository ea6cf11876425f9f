# SPDX-License-Identifier: GPL-2.0
"""Addresses, moves and destroys all at once, from two CPUs, with random short pauses."""

import os
import random

import pytest
from ifref import HAND, Ifref
from lanes import FULL
from vmlib import Machine

# In a FULL run only: with reduced seconds it says little.
pytestmark = [pytest.mark.issue(3), pytest.mark.only("debug"), pytest.mark.quick("stock")]

SECONDS = 600 if FULL else 30

# One of the actors, on one CPU: commands for "ip -batch" chosen at random, with pauses. Most of
# them fail, because another one was faster; none may do harm.
ACTOR = """
import os, random, subprocess, sys, time
role, (cpu, seed, seconds) = sys.argv[1], map(int, sys.argv[2:5])
end = time.time() + seconds
os.sched_setaffinity(0, {cpu})
rng = random.Random(seed)
names = ["s0", "s1", "s2", "s3"]
here = lambda ns: "" if ns is None else f"-n {ns} "
def addresses():
    verb = rng.choice(["add", "add", "del"])
    last = rng.randrange(1, 9)
    name = rng.choice(names)
    if rng.random() < 0.5:
        return f"addr {verb} 10.8.0.{last}/24 dev {name}"
    return f"addr {verb} fd08::{last}/64 dev {name} nodad"
def moves():
    name = rng.choice(names)
    return rng.choice([
        f"link set {name} netns ifref-s", f"netns exec ifref-s ip link set {name} netns 1",
        f"link set {name} up", f"link set {name} down",
        f"link set {name} address 02:00:00:00:08:{rng.randrange(256):02x}",
    ])
def destroys():
    name = rng.choice(names)
    return rng.choice([
        f"link add {name} type dummy", f"link add {name} up type dummy",
        f"link add {name} type veth peer name s{rng.randrange(4)}", f"link del {name}",
        f"netns exec ifref-s ip link del {name}", "netns del ifref-s", "netns add ifref-s",
    ])
make = {"addresses": addresses, "moves": moves, "destroys": destroys}[role]
count = 0
while time.time() < end:
    lines = [make() for _ in range(rng.randrange(1, 6))]
    for line in [line for line in lines if line.startswith("netns")]:
        subprocess.run(["ip", *line.split()], stderr=subprocess.DEVNULL)
    batch = "".join(f"{line}\\n" for line in lines if not line.startswith("netns"))
    subprocess.run(["ip", "-force", "-batch", "-"], input=batch, text=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    count += len(lines)
    time.sleep(rng.choice([0, 0, 0.001, 0.01, 0.05]) * rng.random())
print(count)
"""

# Holds whatever there is, follows it, lets it go again.
HOLDER = """
import errno, os, random, sys, time
hand, root, seed, end = sys.argv[1], sys.argv[2], int(sys.argv[3]), time.time() + int(sys.argv[4])
rng = random.Random(seed)
def give(command):
    fd = os.open(hand, os.O_WRONLY)
    try:
        os.write(fd, command.encode())
        return 0
    except OSError as err:
        return err.errno
    finally:
        os.close(fd)
held, ends = [], {}
while time.time() < end or held:
    if time.time() < end and len(held) < 50:
        for ident in rng.sample(ids := os.listdir(root), min(3, len(ids))):
            error = give(f"get {ident} 2")
            ends[error] = ends.get(error, 0) + 1
            if not error:
                held += [ident] * 2
    if held:
        ident = held.pop(rng.randrange(len(held)))
        error = give(f"follow {ident}")
        ends[error] = ends.get(error, 0) + 1
        if not error:
            assert give(f"put {ident}") == 0
    time.sleep(0.01 * rng.random())
print({os.strerror(error) if error else "ok": number for error, number in ends.items()})
"""


def test_storm(vm: Machine, ifref: Ifref, record_property) -> None:
    """Whatever comes first, everything that was made is freed."""
    seed = int(os.environ.get("SEED", 0)) or random.randrange(1 << 32)
    print(f"SEED={seed}")
    record_property("seed", seed)
    record_property("seconds_of_storm", SECONDS)
    before = ifref.totals()
    jobs = {}
    for number, role in enumerate(["addresses", "moves", "destroys", "addresses", "destroys"]):
        command = ["python3", "-c", ACTOR, role, str(number % 2), str(seed + number), str(SECONDS)]
        jobs[f"{role} {number}"] = vm.spawn(command)
    root = "/sys/kernel/ifref/ifaddrs"
    jobs["holder"] = vm.spawn(["python3", "-c", HOLDER, HAND, root, str(seed), str(SECONDS)])
    # Seconds of the guest's clock, which runs as ours does.
    for what, job in jobs.items():
        result = job.wait(timeout=SECONDS + 120)
        assert result.status == 0, (what, result.stderr)
        print(what, result.stdout.strip())
    vm.run("ip netns del ifref-s; for i in 0 1 2 3; do ip link del s$i; done", check=False)
    vm.wait_until(lambda: ifref.totals()["valid"] == before["valid"], "all have gone", 60)
    vm.wait_until(lambda: ifref.totals()["ifaddrs"] == before["ifaddrs"], "all addresses", 60)
    totals = ifref.totals()
    assert totals["freed"] == totals["adopted"] - before["valid"]
    # How many there are is a matter of the machine's speed.
    assert totals["adopted"] - before["adopted"] > 5
    assert (totals["references"], totals["missed"]) == (0, 0)
    record_property("interfaces", totals["adopted"] - before["adopted"])
