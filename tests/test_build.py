# SPDX-License-Identifier: GPL-2.0
"""The scripts: what they refuse, and that a broken cache heals."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.issue(2), pytest.mark.only("stock")]

TOP = Path(__file__).parents[1]


def build(kdir: Path, out: str = "build/refused", **env: str) -> subprocess.CompletedProcess:
    """Runs scripts/build."""
    return subprocess.run(
        ["scripts/build", str(kdir), out],
        cwd=TOP,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )


def test_build_for_any_kdir(kernel: Path) -> None:
    """`make KDIR=...` builds natively for a kernel that has what it takes."""
    result = build(kernel / "out", "build/kdir")
    assert result.returncode == 0, result.stderr
    assert (TOP / "build/kdir/ifref.ko").exists()


@pytest.mark.parametrize(
    ("config", "metadata", "env", "sentence"),
    [
        (None, False, {}, "not a configured kernel build folder"),
        ("CONFIG_MODULES=y", False, {}, "built without CONFIG_RUST"),
        ("CONFIG_RUST=y", False, {}, "built without CONFIG_MODULES"),
        ("CONFIG_RUST=y\nCONFIG_MODULES=y", False, {}, "has no Rust metadata"),
        (
            'CONFIG_RUST=y\nCONFIG_MODULES=y\nCONFIG_RUSTC_VERSION_TEXT="rustc 1.0.0"',
            True,
            {},
            "was built by 'rustc 1.0.0'",
        ),
        ("CONFIG_RUST=y\nCONFIG_MODULES=y", True, {"RUSTC": "no-rustc"}, "no rustc here"),
        ("CONFIG_RUST=y\nCONFIG_MODULES=y", True, {"BINDGEN": "no-bindgen"}, "no bindgen here"),
    ],
)
def test_build_refuses(
    tmp_path: Path, config: str | None, metadata: bool, env: dict, sentence: str
) -> None:
    """One clear sentence where a kernel cannot take the module."""
    if config is not None:
        (tmp_path / ".config").write_text(config + "\n")
    if metadata:
        (tmp_path / "rust").mkdir()
        for name in ("libkernel.rmeta", "libmacros.so"):
            (tmp_path / "rust" / name).touch()
    result = build(tmp_path, **env)
    assert result.returncode != 0
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.issue(16)
def test_exports_are_code_and_data(module: Path) -> None:
    """What the module exports is there once it is loaded: none of it lies in .modinfo."""
    lines = subprocess.run(
        ["nm", "-f", "sysv", "--defined-only", module], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [[word.strip() for word in line.split("|")] for line in lines if "|" in line]
    sections = {row[0]: row[6] for row in rows}
    # A tracepoint has sections of its own, and its own export.
    begin = ("__ksymtab__R", "__ksymtab_ifref_")
    exported = {name.removeprefix("__ksymtab_") for name in sections if name.startswith(begin)}
    assert len(exported) > 100
    good = (".text", ".rodata", ".data", ".bss")
    odd = {name: sections[name] for name in exported if not sections[name].startswith(good)}
    assert not odd


def library(script: str, cache: Path, **options) -> subprocess.Popen:
    """Runs a bit of bash with scripts/lib.sh."""
    return subprocess.Popen(
        ["bash", "-c", f". scripts/lib.sh\n{script}"],
        cwd=TOP,
        env={**os.environ, "IFREF_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


@pytest.mark.parametrize(
    ("damage", "sealed"),
    [
        ("true", True),
        ("echo x >> entry/file", False),
        ("rm entry/file", False),
        ("rm entry/.manifest", False),
        (": > entry/.manifest", False),
    ],
)
def test_damage_is_seen(tmp_path: Path, damage: str, sealed: bool) -> None:
    """An entry of the cache that is incomplete or was changed is not trusted."""
    script = f"""cd {tmp_path}; mkdir entry; echo data > entry/file; echo file | seal entry
        {damage}
        if sealed entry; then echo yes; else echo no; discard entry; [ ! -e entry ]; fi"""
    run = library(script, tmp_path)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    assert ("yes" in output.split()) == sealed, output


def test_interrupt_ends_a_step(tmp_path: Path) -> None:
    """Ctrl-C ends what a step runs, with its children."""
    mark = f"{tmp_path}/begun"
    run = library(
        f"step waiting 5 sh -c 'touch {mark}; sleep 98765 & wait'",
        tmp_path,
        # As from a terminal: a run in the background has it ignored, and bash cannot trap that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not Path(mark).exists():
        assert run.poll() is None
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode == 130
    assert subprocess.run(["pgrep", "-f", "sleep 98765"]).returncode == 1


def check(plugins: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Runs `scripts/check` with some of the tests, and with plugins for pytest."""
    env = {**os.environ, "PYTHONPATH": str(plugins), "FULL": ""}
    command = [TOP / "scripts/check", *args]
    return subprocess.run(command, cwd=TOP, env=env, capture_output=True, text=True)


def test_check_sees_a_lane_that_was_killed(tmp_path: Path) -> None:
    """`scripts/check` fails if one of its lanes does, however, or if nothing was run."""
    killer = tmp_path / "killer.py"
    killer.write_text("import os\n'IFREF_KERNEL' in os.environ or os.kill(os.getpid(), 9)\n")
    some = ["--collect-only", "-q", "tests/test_model.py"]
    assert check(tmp_path, *some).returncode == 0
    assert check(tmp_path, *some, "-p", "killer").returncode != 0
    assert check(tmp_path, *some, "-k", "nothing").returncode != 0


def test_check_ends_with_what_failed(tmp_path: Path) -> None:
    """`scripts/check` says at its end what failed, with the beginning of why."""
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import pytest\n"
        "@pytest.hookimpl(wrapper=True)\n"
        "def pytest_runtest_call(item):\n"
        "    yield\n"
        "    raise AssertionError('the reason' + '\\nmore' * 100 + '\\nthe end')\n"
    )
    some = ["-p", "plugin", "-q", "tests/test_build.py", "-k", "failed_step"]
    # After all that the last lane prints.
    end = check(tmp_path, *some).stdout.rsplit("alone  ", 1)[1]
    assert "FAILED tests/test_build.py::test_failed_step" in end and "the reason" in end
    assert 5 < end.count("more") < 20
    assert "1 failed" in end.splitlines()[-1]


def test_failed_step_shows_its_log(tmp_path: Path) -> None:
    """A step that fails says so, shows the end of its log, and passes the status on."""
    run = library("step breaking 5 sh -c 'echo the reason; exit 9'", tmp_path)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 9
    assert "FAILED" in output and "the reason" in output
