"""``manage.py demo`` as a newcomer meets it: a process with ports, children and a terminal that says Ctrl-C."""

import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from example_project.demo import keys, walkthrough
from example_project.demo.evidence import expect
from example_project.demo.processes import Children, DemoError, free_ports, prepare
from tests.prepared_demo import copy_demo

START_SECONDS = 60
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads processes from /proc")


def environment(directory: Path) -> dict[str, str]:
    return keys.child_environment(directory, "http://localhost:1", "http://127.0.0.1:1")


def ports() -> list[str]:
    product, sandbox = free_ports()
    return ["--port", str(product), "--sandbox-port", str(sandbox)]


def finished(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "demo", *arguments],
        cwd=keys.REPOSITORY,
        env=environment(directory),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def running(directory: Path, *arguments: str):
    """The demo in a process group of its own; whatever happens, nothing of it is left."""
    output = directory / "output.txt"
    with output.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", *arguments],
            cwd=keys.REPOSITORY,
            env=environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process, output
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_for(condition, what: str, seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} in {seconds} seconds"
        time.sleep(0.05)


def is_listening(port: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def children_of(pid: int) -> list[int]:
    """The living processes whose parent this is, from /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_walkthrough_verifies_every_step_within_a_minute(tmp_path):
    began = time.monotonic()
    done = finished(tmp_path, "--walkthrough")
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(".")[0].strip() for line in lines[1:-1]] == [str(number) for number in range(1, 12)]
    assert lines[-1].startswith("Every step was verified on both sides")
    assert done.stderr == ""
    assert seconds < 60


@needs_proc
def test_demo_answers_on_both_addresses_and_stops_on_ctrl_c(tmp_path, prepared_demo):
    copy_demo(prepared_demo, tmp_path)
    chosen = ports()
    with running(tmp_path, *chosen) as (process, output):
        wait_for(lambda: "Ctrl-C" in output.read_text() or process.poll() is not None, "welcome")
        text = output.read_text()
        assert process.poll() is None, text
        for address in (f"http://localhost:{chosen[1]}/", f"http://127.0.0.1:{chosen[3]}/"):
            assert address in text
            assert requests.get(address, timeout=30).status_code == 200
        for login in ("demo / demo", "admin / admin"):
            assert login in text
        children = children_of(process.pid)
        assert len(children) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert output.read_text().rstrip().endswith("Stopped.")
    assert not any(map(is_alive, children))
    assert not is_listening(chosen[1])
    assert not is_listening(chosen[3])


INTERRUPTED_IN_A_FINALIZER = """
import os, signal, weakref, django
os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings"
django.setup()
from example_project.demo import processes, run
processes.interrupt_on("SIGINT")

class Dropped: pass

def say(line):
    if "Ctrl-C" in line:
        dropped = Dropped()
        weakref.finalize(dropped, signal.raise_signal, signal.SIGINT)
        del dropped
        print("still running", flush=True)

run.run({port}, {sandbox_port}, say)
"""


def test_ctrl_c_is_not_lost_in_a_finalizer(tmp_path, prepared_demo):
    copy_demo(prepared_demo, tmp_path)
    _port, port, _sandbox_port, sandbox_port = ports()
    program = INTERRUPTED_IN_A_FINALIZER.format(port=port, sandbox_port=sandbox_port)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=keys.REPOSITORY,
        env=environment(tmp_path),
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert b"still running" in done.stdout, done.stderr
    assert done.stderr.rstrip().endswith(b"KeyboardInterrupt")


def test_keys_are_kept_and_readable_by_the_owner_only(tmp_path):
    key_file = tmp_path / "demo.env"
    contents = set()
    for _ in range(2):
        with running(tmp_path, *ports()) as (process, output):
            wait_for(lambda: key_file.exists() and "Preparing" in output.read_text(), "start")
            contents.add(key_file.read_text())
            process.terminate()
            assert process.wait(20) == 0
    assert len(contents) == 1
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


@needs_proc
@pytest.mark.parametrize("moment", ["preparing", "starting", "serving"])
def test_sigterm_ends_it_cleanly_at_any_moment(tmp_path, prepared_demo, moment):
    if moment != "preparing":
        copy_demo(prepared_demo, tmp_path)
    chosen = ports()
    with running(tmp_path, *chosen) as (process, output):
        wait_for(lambda: "Preparing" in output.read_text(), "start")
        if moment == "preparing":
            wait_for(lambda: children_of(process.pid), "child")
        elif moment == "starting":
            wait_for(lambda: (tmp_path / "addresses.env").exists(), "addresses")
        else:
            wait_for(lambda: "Ctrl-C" in output.read_text(), "welcome")
        children = children_of(process.pid)
        process.terminate()
        assert process.wait(20) == 0, output.read_text()
    wait_for(lambda: not any(map(is_alive, children)), "end of the children", 10)
    assert not is_listening(chosen[1])
    assert not is_listening(chosen[3])


@needs_proc
def test_children_end_when_the_demo_is_killed(tmp_path, prepared_demo):
    copy_demo(prepared_demo, tmp_path)
    with running(tmp_path, *ports()) as (process, output):
        wait_for(lambda: "Ctrl-C" in output.read_text(), "welcome")
        children = children_of(process.pid)
        assert len(children) == 2
        process.kill()
        process.wait()
        wait_for(lambda: not any(map(is_alive, children)), "end of the children", 10)


@pytest.mark.parametrize(
    ("part", "option", "host"),
    [("product", "--port", "127.0.0.1"), ("product", "--port", "::1"), ("sandbox", "--sandbox-port", "127.0.0.1")],
)
def test_taken_port_is_named_with_the_way_out(tmp_path, part, option, host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback address")
    with listener:
        taken = str(listener.getsockname()[1])
        other, free = "--sandbox-port" if option == "--port" else "--port", str(free_ports()[0])
        done = finished(tmp_path, option, taken, other, free)
    assert done.returncode == 1
    assert f"Port {taken}, where the {part} is to answer, is taken by another program." in done.stderr
    assert "python manage.py demo --port " in done.stderr
    assert f"{other} {free}" in done.stderr
    assert f"{option} {taken}" not in done.stderr
    assert "Traceback" not in done.stderr


def test_both_ports_taken_are_named_at_once_and_nothing_was_touched(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        taken = [str(listener.getsockname()[1]) for listener in (one, two)]
        directory = tmp_path / "demo"
        done = finished(directory, "--port", taken[0], "--sandbox-port", taken[1])
    assert done.returncode == 1
    assert all(f"Port {port}, where the " in done.stderr for port in taken)
    assert not list(directory.glob("*.sqlite3"))


def test_a_second_demo_on_other_ports_leaves_the_first_ones_callback(tmp_path):
    uris = []
    for url in ("http://localhost:8123", "http://localhost:8124"):
        with Children(keys.child_environment(tmp_path, url, "http://127.0.0.1:8125"), tmp_path) as children:
            prepare(children)
        uris.append(f"{url}/thanksio/callback/")
    [database] = tmp_path.glob("sandbox*.sqlite3")
    with closing(sqlite3.connect(database)) as connection:
        [[stored]] = connection.execute("SELECT redirect_uris FROM oauth2_provider_application")
    assert stored.split() == uris


@pytest.mark.parametrize("value", ["0", "65536", "eight", "-1"])
def test_nonsense_port_is_refused_by_argparse(tmp_path, value):
    done = finished(tmp_path, f"--port={value}")
    assert done.returncode == 2
    assert "is no port number" in done.stderr


def test_one_port_for_both_is_refused(tmp_path):
    done = finished(tmp_path, "--port", "8123", "--sandbox-port", "8123")
    assert done.returncode == 1
    assert "need a port each" in done.stderr


def test_exported_variables_do_not_reach_the_demo(tmp_path, monkeypatch):
    monkeypatch.setenv("THANKSIO_TOKEN_URL", "https://real.example/oauth/token")
    monkeypatch.setenv("FIELD_ENCRYPTION_KEY", "not-a-key")
    given = environment(tmp_path)
    assert "THANKSIO_TOKEN_URL" not in given
    assert "FIELD_ENCRYPTION_KEY" not in given


def test_failed_step_says_what_was_expected_and_hides_what_looks_like_a_token(tmp_path):
    token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9." + "a1B2c3" * 40
    (tmp_path / "product.log").write_text(f"first line\nspoke of {token}\n")
    children = Children(environment(tmp_path), tmp_path)

    def step() -> str:
        expect("the row's status", "reconnect_required", "connected")
        return ""

    with pytest.raises(DemoError) as caught:
        walkthrough._play(3, "Connect", step, children, print)
    assert str(caught.value) == (
        "Step 3, Connect, failed.\nthe row's status: expected 'connected', saw 'reconnect_required'\n"
        "--- product\nfirst line\nspoke of […]\n--- sandbox\n"
    )
