"""`doublet serve` as an operator meets it: one port, one signal, parts that die and come back."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from doublet.settings import Settings
from tests.factories import make_event
from tests.killing import victims
from tests.server import DoubletProcess, RunningServer, free_port, is_listening, wait_for

pytestmark = pytest.mark.slow


def send(server: RunningServer, event_id: str) -> int:
    """Report a purchase; the status of the answer."""
    event = make_event(event_id=event_id, event_time=int(time.time()))
    return httpx.post(
        f"{server.url}/v25.0/{server.pixel_id}/events",
        json={"data": [event]},
        headers=server.headers,
        timeout=30,
    ).status_code


def hit(server: RunningServer, event_id: str) -> int:
    """Report a page view as the pixel does; the status of the answer."""
    parameters = {"id": server.pixel_id, "ev": "PageView", "eid": event_id}
    return httpx.get(f"{server.url}/tr/", params=parameters, timeout=30).status_code


def test_an_empty_folder_is_enough_and_one_signal_ends_everything(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        health = httpx.get(f"{server.url}/health").json()
        assert "ok" == health["status"]
        assert {"loaded_lag_s", "model_lag_s"} < health.keys()
        assert [200, 200] == [send(server, "a"), hit(server, "b")]
        assert {"catalog.sqlite", "lake", "log", "run", "tmp", "warehouse.duckdb"} == {
            path.name.removesuffix("-wal").removesuffix("-shm")
            for path in server.settings.data.iterdir()
            if not path.name.endswith(".wal")
        }
        readable = [p for p in server.settings.data.rglob("*") if p.stat().st_mode & 0o077]
        assert [] == [p.name for p in readable if "catalog" not in p.name]
        assert 0 == server.stop(signal.SIGTERM)
        server.wait_until_gone()
        assert not is_listening(server.port)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_end_it_too(tmp_path: Path, number: signal.Signals) -> None:
    with RunningServer(tmp_path) as server:
        assert 200 == hit(server, "a")
        assert 0 == server.stop(number)
        server.wait_until_gone()


def test_an_event_is_on_the_report_within_five_seconds(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        for event_id in ("a", "b", "c"):
            assert 200 == send(server, event_id)
            answered_at = time.monotonic()
            wait_for(lambda: server.overview().get("Purchase"), 5)
            assert time.monotonic() - answered_at < 5


def test_what_was_accepted_last_is_on_the_report_after_a_clean_stop(tmp_path: Path) -> None:
    with RunningServer(tmp_path, "--set=load_interval_s=60") as server:
        assert 200 == send(server, "a")
        assert 0 == server.stop()
        assert ([], 1) == (
            server.run("report", "coverage", "--event-name=Lead"),
            server.run("report", "coverage")[0]["added"],
        )
        (row,) = server.run("report", "overview")
        assert ("Purchase", 1, 10.5) == (row["event_name"], row["events"], row["value"]["USD"])


def test_a_second_server_is_told_what_is_in_use(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        data = f"--data={server.settings.data}"
        with DoubletProcess(tmp_path / "b", "serve", data, f"--port={free_port()}") as same_folder:
            assert 3 == same_folder.wait()
            assert "is in use by another process" in same_folder.stderr
        other = f"--data={tmp_path / 'other'}"
        with DoubletProcess(tmp_path / "c", "serve", other, f"--port={server.port}") as same_port:
            assert 3 == same_port.wait()
            assert f"Port {server.port} on 127.0.0.1 is taken." in same_port.stderr
            assert "--port" in same_port.stderr
        assert 200 == send(server, "still there")


def test_the_doors_stay_open_while_the_worker_is_down(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        for n in range(3):
            wait_for(lambda: victims(server).get("worker"))
            (worker,) = victims(server)["worker"]
            os.kill(worker, signal.SIGKILL)
            assert [200, 200] == [send(server, f"s{n}"), hit(server, f"h{n}")]

        def counts() -> bool:
            answer = httpx.get(f"{server.url}/overview.json", headers=server.headers, timeout=30)
            rows = answer.json() if answer.status_code == 200 else []
            return {row["event_name"]: row["events"] for row in rows} == {
                "Purchase": 3,
                "PageView": 3,
            }

        wait_for(counts, 60, "all six events are on the report")


def test_a_page_without_a_worker_is_a_clear_503(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        (worker,) = victims(server)["worker"]
        os.kill(worker, signal.SIGSTOP)
        os.kill(worker, signal.SIGKILL)
        answer = httpx.get(f"{server.url}/overview.json", headers=server.headers, timeout=30)
        assert 503 == answer.status_code
        assert "retry-after" in answer.headers
        assert 2 == answer.json()["error"]["code"]


def test_the_parts_run_apart_too(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        assert 0 == server.stop()
        data = f"--data={server.settings.data}"
        with DoubletProcess(tmp_path / "w", "work", data) as work:
            port = f"--set=port={server.port}"
            with DoubletProcess(tmp_path / "c", "collect", data, port) as collect:
                collect.wait_until(lambda: is_listening(server.port))
                assert 200 == send(server, "apart")
                wait_for(lambda: server.settings.worker_socket.exists())
                wait_for(lambda: server.overview().get("Purchase"), 20)
                assert 0 == collect.stop(signal.SIGTERM)
            assert 0 == work.stop(signal.SIGTERM)
            work.wait_until_gone()


def test_a_deep_data_folder_works(tmp_path: Path) -> None:
    with RunningServer(tmp_path / ("deep" * 30)) as server:
        assert 200 == send(server, "a")
        wait_for(lambda: server.overview().get("Purchase"), 10)
        assert 0 == server.stop()


def test_only_who_can_read_the_data_folder_is_an_operator(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        for path in ("/v1/refresh", "/v1/rebuild"):
            for headers in ({}, server.headers):
                assert 401 == httpx.post(server.url + path, headers=headers).status_code
        key = server.settings.run_folder / "operator.key"
        assert 0o600 == key.stat().st_mode & 0o777
        headers = {"authorization": f"Bearer {key.read_text()}"}
        answer = httpx.post(f"{server.url}/v1/refresh", headers=headers, timeout=30)
        assert {"loaded", "modelled"} == answer.json().keys()


def test_commands_ask_the_running_worker(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        assert 200 == send(server, "a")
        assert {"loaded", "modelled"} == server.run("refresh").keys()
        (row,) = server.run("report", "overview")
        assert 1 == row["events"]
        assert {"modelled": 1} == server.run("rebuild")
        assert [row] == server.run("report", "overview")
        (covered,) = server.run("report", "coverage", "--by", "day", "--event-name", "Purchase")
        assert (1, 0, 1) == tuple(covered[k] for k in ("events", "browser_alone", "server_alone"))
        made = server.run("pixel", "create", "Second")
        assert {"id", "access_token", "snippet"} == made.keys()
        parameters = {"id": made["id"], "ev": "PageView"}
        assert 200 == httpx.get(f"{server.url}/tr", params=parameters).status_code


def test_the_command_prints_the_same_csv_as_the_server(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        assert [200, 200] == [send(server, "a"), hit(server, "b")]
        wait_for(lambda: len(server.overview()) == 2)
        filters = {"pixel": server.pixel_id, "since": "2026-01-01"}
        answer = httpx.get(f"{server.url}/overview.csv", params=filters, headers=server.headers)
        flags = (f"--{name}={value}" for name, value in filters.items())
        data = f"--data={server.settings.data}"
        with DoubletProcess(tmp_path / "r", "report", "overview", "--csv", data, *flags) as report:
            assert 0 == report.wait()
            assert answer.content == report.stdout_file.read_bytes()
            assert 3 == len(report.stdout.splitlines())


@pytest.mark.parametrize("name", ["worker.sock", "operator.key"])
def test_a_worker_whose_files_are_removed_is_replaced(tmp_path: Path, name: str) -> None:
    with RunningServer(tmp_path) as server:
        assert 200 == send(server, "a")
        file = server.settings.run_folder / name
        # The page answers once the socket is there, and by then so is the key.
        wait_for(lambda: server.overview().get("Purchase"))
        before = victims(server)["worker"]
        file.unlink()
        wait_for(file.exists, what=f"{name} is made again")
        wait_for(lambda: victims(server).get("worker", before) != before)
        assert "Somebody removed" in server.stderr.replace("\n", " ")
        assert "part-died part=work code=3" in server.stderr
        assert "Traceback" not in server.stderr
        wait_for(lambda: httpx.get(f"{server.url}/", timeout=30).status_code != 503)
        assert {"loaded", "modelled"} == server.run("refresh").keys()
        (row,) = server.run("report", "overview")
        assert 1 == row["events"]
        assert 0 == server.stop()


def test_a_visitor_without_a_token_is_never_signed_in_as_another(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        for _ in range(6):
            address = f"{server.url}/overview?access_token={server.access_token}"
            assert "set-cookie" in httpx.get(address, timeout=30).headers
        for _ in range(6):
            assert 401 == httpx.get(f"{server.url}/overview.json", timeout=30).status_code
        with httpx.Client(base_url=server.url, timeout=30) as visitor:
            visitor.get("/overview", params={"access_token": server.access_token})
            assert 200 == visitor.get("/overview.json").status_code


def test_a_full_disk_is_seen_in_the_health(tmp_path: Path) -> None:
    with RunningServer(tmp_path, f"--set=disk_free_bytes_min={1 << 60}") as server:
        assert 503 == send(server, "a")
        health = httpx.get(f"{server.url}/health").json()
        assert ("degraded", True) == (health["status"], "disk" in health["problem"])


def test_a_data_folder_that_others_may_read_is_pointed_out(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o755)
    with RunningServer(tmp_path) as server:
        (line,) = [line for line in server.stderr.splitlines() if "open-to-others" in line]
        assert f"chmod go-rwx {data}" in line
        assert 0 == server.stop()
    data.chmod(0o700)
    with RunningServer(tmp_path) as server:
        assert "open-to-others" not in server.stderr


def test_a_worker_does_not_start_where_others_could_answer_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    folder = shared / f"doublet-{os.getuid()}"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    monkeypatch.setenv("TMPDIR", str(shared))
    data = f"--data={tmp_path / ('deep' * 30)}"
    with DoubletProcess(tmp_path / "a", "serve", data, f"--port={free_port()}") as process:
        assert 3 == process.wait()
        assert "only this user can enter" in process.stderr.replace("\n", " ")
        assert "Traceback" not in process.stderr


def test_flags_count_more_than_the_environment_in_every_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunningServer(tmp_path) as server:
        assert 0 == server.stop()
    port, data = free_port(), f"--data={server.settings.data}"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    Path("doublet.toml").write_text(f'port = {free_port()}\nworkers = 4\ndata = "nowhere"\n')
    flags = (data, f"--port={port}", "--workers=2", "--host=127.0.0.1")
    with DoubletProcess(tmp_path / "b", "serve", *flags) as process:
        process.wait_until(lambda: "is listening on" in process.stderr)
        assert is_listening(port)
        process.wait_until(lambda: "/welcome?code=" in process.stderr)
        (address,) = re.findall(r"http://127.0.0.1:\d+/welcome\?code=\S+", process.stderr)
        assert "Choose a name and a password" in httpx.get(address).text
        assert not Path("nowhere").exists()


def test_what_an_operator_must_mend_is_said_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "warehouse.duckdb").write_bytes(b"garbage" * 1000)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "catalog.sqlite").write_bytes(b"garbage" * 1000)
    cases = {
        ("serve", f"--data={file}"): "Check the folder",
        ("rebuild", f"--data={damaged}"): "made anew from the lake",
        ("account", "list", f"--data={broken}"): "The catalog cannot be used",
    }
    for number, (command, said) in enumerate(cases.items()):
        with DoubletProcess(tmp_path / str(number), *command) as process:
            assert 3 == process.wait()
            assert said in process.stderr
            assert "Traceback" not in process.stderr


def test_every_address_of_the_machine_can_be_served(tmp_path: Path) -> None:
    with RunningServer(tmp_path, "--host=0.0.0.0") as server:
        assert 200 == hit(server, "a")
    with socket.socket(socket.AF_INET6) as probe:
        if probe.connect_ex(("::1", 9)) not in (0, 111):
            pytest.skip("this machine has no IPv6 loopback")
    port = free_port()
    settings = Settings(data=tmp_path / "six", port=port)
    with DoubletProcess(
        tmp_path / "six", "serve", "--host=::1", f"--port={port}", f"--data={settings.data}"
    ) as server6:
        server6.wait_until(lambda: "is listening on" in server6.stderr)
        assert "ok" == httpx.get(f"http://[::1]:{port}/health").json()["status"]
        assert f"http://[::1]:{port}" in server6.stderr


def test_a_wrong_setting_is_explained(tmp_path: Path) -> None:
    with DoubletProcess(tmp_path, "serve", "--set=log_retention_hours=1") as process:
        assert 3 == process.wait()
        assert "Unknown setting 'log_retention_hours'" in process.stderr
        assert "log_retention_h" in process.stderr


def test_settings_as_json_are_complete(tmp_path: Path) -> None:
    with DoubletProcess(tmp_path, "settings", "--json") as process:
        assert 0 == process.wait()
        rows = json.loads(process.stdout)
    assert list(Settings.__struct_fields__) == [row["name"] for row in rows]
