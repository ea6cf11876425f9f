# SPDX-License-Identifier: GPL-2.0
"""Addresses, moves and destroys all at once, from two CPUs, with random short pauses."""

import json
import os
import random
from collections import Counter

import pytest
from ifref import HAND, Ifref
from vmlib import Machine

# In a FULL run only: with reduced seconds it says little.
pytestmark = [pytest.mark.issue(3), pytest.mark.only("debug"), pytest.mark.quick("stock")]

SECONDS = 600

# One of the actors, on one CPU: commands chosen at random, up to five for one "ip -batch" (one that
# lasts would keep the ifindex that a name once had). Many fail, because another actor was faster;
# none may do harm. Says how often each deed was done.
ACTOR = """
import collections, json, os, random, re, subprocess, sys, time
role, (cpu, seed, seconds) = sys.argv[1], map(int, sys.argv[2:5])
end = time.time() + seconds
os.sched_setaffinity(0, {cpu})
rng = random.Random(seed)
nic = lambda: f"s{rng.randrange(4)}"
def addresses():
    verb, last = rng.choice(["add", "del"]), rng.randrange(1, 4)
    if rng.random() < 0.5:
        return verb + " IPv4", f"addr {verb} 10.8.0.{last}/24 dev {nic()}"
    return verb + " IPv6", f"addr {verb} fd08::{last}/64 dev {nic()} nodad"
# What takes long is rarer.
def pick(often, rarely):
    return rng.choice(often * 3 + rarely)
def moves():
    there = [("move there", f"link set {nic()} netns ifref-s")]
    return pick(there * os.path.exists("/run/netns/ifref-s") + [
        ("up", f"link set {nic()} up"), ("down", f"link set {nic()} down"),
        ("MAC", f"link set {nic()} address 02:00:00:00:08:{rng.randrange(256):02x}"),
    ], [("move back", f"netns exec ifref-s ip link set {nic()} netns 1")])
def destroys():
    return pick([
        ("dummy", f"link add {nic()} type dummy"), ("dummy up", f"link add {nic()} up type dummy"),
        ("veth", f"link add {nic()} type veth peer name {nic()}"), ("delete", f"link del {nic()}"),
    ], [
        ("delete there", f"netns exec ifref-s ip link del {nic()}"),
        ("namespace's end", "netns del ifref-s"), ("namespace", "netns add ifref-s"),
    ])
make = {"addresses": addresses, "moves": moves, "destroys": destroys}[role]
done = collections.Counter()
while time.time() < end:
    group = [make() for _ in range(rng.randrange(1, 6))]
    # A namespace that goes at the wrong time makes ip give up. The last answer says it did not.
    lines = [line for _, line in group] + ["link show dev lo"]
    ip = ["ip", "-o", "-force", "-batch", "-"]
    result = subprocess.run(ip, input="\\n".join(lines), text=True, capture_output=True)
    if result.stdout:
        failed = set(map(int, re.findall("^Command failed -:(.*)$", result.stderr, re.M)))
        done.update(deed for number, (deed, _) in enumerate(group, 1) if number not in failed)
    # Who destroys holds RTNL for most of the time, and leaves some to the others.
    time.sleep(rng.choice([0, 0.001, 0.01, 0.05, role == "destroys"]) * rng.random())
print(json.dumps(done))
"""

# What must have come about. To find something there takes luck.
MUST = ["add IPv4", "add IPv6", "del IPv4", "del IPv6", "move there", "up", "down"]
MUST += ["MAC", "dummy", "dummy up", "veth", "delete", "namespace", "namespace's end"]

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
    jobs, done = {}, Counter()
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
        if what != "holder":
            done += Counter(json.loads(result.stdout))
    vm.run("ip netns del ifref-s; for i in 0 1 2 3; do ip link del s$i; done", check=False)
    vm.wait_until(lambda: ifref.totals()["valid"] == before["valid"], "all have gone", 60)
    vm.wait_until(lambda: ifref.totals()["ifaddrs"] == before["ifaddrs"], "all addresses", 60)
    totals = ifref.totals()
    ends = totals["adopted"] - before["valid"]
    vm.wait_until(lambda: ifref.totals()["freed"] == ends, "all are freed", 60)
    assert (totals["references"], totals["missed"]) == (0, 0)
    # How much it is is a matter of the machine's speed: an interface may take the kernel a second.
    interfaces = totals["adopted"] - before["adopted"]
    assert interfaces > SECONDS / 10
    assert set(done) >= set(MUST), done
    record_property("interfaces", interfaces)
    record_property("done", ", ".join(f"{what} {number}" for what, number in done.items()))
