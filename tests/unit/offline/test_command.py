"""The command as a process: what it prints, what it refuses, how it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

COMMAND = [sys.executable, "-m", "learning_ops.offline"]


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def start(processes: list[subprocess.Popen[str]], *options: str, **variables: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **variables}
    )
    processes.append(process)
    assert process.stdout is not None
    return process, process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_given_a_server_when_signalled_then_it_ends_with_0_and_says_nothing_more(
    processes: list[subprocess.Popen[str]], tmp_path: Path, number: signal.Signals
) -> None:
    process, line = start(processes, "--port", "0", "--port-file", str(tmp_path / "port"))
    port = int((tmp_path / "port").read_text())
    assert line == f"offline model on http://127.0.0.1:{port}/v1\n"
    assert httpx2.get(f"http://127.0.0.1:{port}/healthz").status_code == 200

    process.send_signal(number)

    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_given_a_host_that_others_reach_when_started_then_it_refuses(host: str) -> None:
    ended = subprocess.run([*COMMAND, "--host", host], capture_output=True, text=True, timeout=30, check=False)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "loopback" in ended.stderr


def test_given_rates_over_1_when_started_then_it_refuses() -> None:
    ended = subprocess.run(
        [*COMMAND, "--rate-429", "0.6", "--rate-500", "0.6"], capture_output=True, text=True, timeout=30, check=False
    )

    assert ended.returncode == 2
    assert "more than 1" in ended.stderr


def test_given_a_port_in_use_when_started_then_it_says_so(processes: list[subprocess.Popen[str]]) -> None:
    _, line = start(processes)
    port = line.strip().removesuffix("/v1").rpartition(":")[2]

    ended = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=30, check=False)

    assert ended.returncode == 1
    assert "cannot serve on 127.0.0.1" in ended.stderr


def test_given_variables_when_started_then_they_set_the_options(processes: list[subprocess.Popen[str]]) -> None:
    _, line = start(
        processes,
        LEARNING_OFFLINE_API_KEY="from-the-environment",
        LEARNING_OFFLINE_CONTROL="1",
        LEARNING_OFFLINE_RATE_429="0.5",
    )
    url = line.split()[-1]

    assert httpx2.get(f"{url}/models").status_code == 401
    headers = {"authorization": "Bearer from-the-environment"}
    assert httpx2.get(f"{url}/models", headers=headers).status_code == 200
    assert httpx2.get(url.removesuffix("/v1") + "/control", headers=headers).json()["faults"]["rate_429"] == 0.5


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells a child of its parent's death on Linux only")
def test_given_exit_with_parent_when_the_parent_is_killed_then_the_server_ends(
    processes: list[subprocess.Popen[str]],
) -> None:
    child = f"import subprocess, sys; subprocess.run({[*COMMAND, '--exit-with-parent']!r}, stdout=sys.stdout)"
    parent = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    processes.append(parent)
    assert parent.stdout is not None
    assert parent.stdout.readline().startswith("offline model on")

    parent.kill()

    assert parent.stdout.read() == ""  # the pipe ends when the server, its last writer, has ended


def test_given_the_package_when_imported_then_no_server_is() -> None:
    code = "import sys, learning_ops.offline; sys.exit(bool({'starlette', 'uvicorn', 'openai'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
