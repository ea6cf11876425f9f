# SPDX-License-Identifier: GPL-2.0
"""What safe code in Rust may try: no oops comes of it. What must not compile is in test_compile."""

import errno

import pytest
from ifref import Ifref
from vmlib import Machine

pytestmark = [pytest.mark.issue(16), pytest.mark.quick("stock")]

USED = """ping -q -c 3 -i 0.01 127.0.0.1
for i in 1 2 3; do ip route add 10.77.$i.0/24 dev lo; ip route del 10.77.$i.0/24; done"""


def test_safe_code(vm: Machine, ifref: Ifref) -> None:
    """Packets that no device may get are refused; a thread, a capture and a listener that a module
    forgets end when it is unloaded."""
    module = ifref.module.with_name("ifref_safe.ko")
    vm.sh(f"insmod {module}")
    said = [line.rsplit("ifref_safe: ", 1)[1] for line in ifref.said("ifref_safe: .* bytes")]
    assert said == [
        f"4294967295 bytes: -{errno.ENOMEM}",
        f"4294967232 bytes: -{errno.ENOMEM}",
        f"0 bytes: -{errno.EINVAL}",
        f"13 bytes: -{errno.EINVAL}",
        "14 bytes: 0",
        # Its MTU, the header, and a tag for a VLAN.
        "65554 bytes: 0",
        f"65555 bytes: -{errno.EMSGSIZE}",
    ]
    vm.sh(f"pgrep -x ifref_safe; grep -w ifref /proc/net/ptype; {USED}")
    vm.sh("rmmod ifref_safe")
    assert len(ifref.said("module ifref_safe is unloaded, and has not ended a")) == 3
    vm.sh(f"! pgrep -x ifref_safe && ! grep -w ifref /proc/net/ptype && {{ {USED}; }}")
    # Nothing of ifref's is kept by what was forgotten.
    ifref.unload()
    ifref.load()
