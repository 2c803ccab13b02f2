"""What commands ask of a running worker, and what they say when it does not answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from doublet.ask import ask_for_round, ask_worker, read_overview
from doublet.catalog import Account
from doublet.errors import OperatorError
from doublet.settings import Settings

ACCOUNT = Account("act_100000000000001", "Shop", "UTC", "USD")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(data=tmp_path / "data")
    made.run_folder.mkdir(parents=True)
    return made


@pytest.fixture
def silent(settings: Settings) -> Iterator[socket.socket]:
    """A worker that hangs: its socket takes connections, and nobody reads them."""
    (settings.run_folder / "operator.key").write_text("opr_test")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(settings.worker_socket))
        listener.listen()
        yield listener


def test_a_worker_that_hangs_is_the_operators_affair(
    settings: Settings, silent: socket.socket
) -> None:
    with pytest.raises(OperatorError) as caught:
        ask_worker(settings, "GET", "/overview.json", timeout_s=0.2)
    assert "The worker runs, but does not answer." == caught.value.message
    assert "`doublet serve` starts it again" in caught.value.hint
    # It was asked, so that the test does look at a worker that hangs.
    connection, _ = silent.accept()
    with connection:
        assert connection.recv(1000).startswith(b"GET /overview.json HTTP/1.1\r\n")


def test_a_worker_that_breaks_off_is_the_operators_affair(
    settings: Settings, silent: socket.socket
) -> None:
    def break_off() -> None:
        connection, _ = silent.accept()
        with connection:
            connection.recv(1000)

    worker = threading.Thread(target=break_off)
    worker.start()
    with pytest.raises(OperatorError) as caught:
        ask_worker(settings, "GET", "/overview.json")
    worker.join()
    assert ("The worker stopped while answering.", "Try again.") == (
        caught.value.message,
        caught.value.hint,
    )


def test_without_a_worker_the_command_reads_for_itself(settings: Settings) -> None:
    assert ask_for_round(settings, "/v1/refresh") is None
    assert [] == read_overview(settings, ACCOUNT)
