"""Settings: where they come from, which one wins, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doublet.errors import SettingsError
from doublet.settings import SETTINGS, Settings, load_settings


def load(
    flags: dict[str, Any] | None = None,
    environ: dict[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Settings from just these sources."""
    return load_settings(flags or {}, environ or {}, file)


def test_without_any_source_the_defaults_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings() == load()
    assert ("http://127.0.0.1:8700", Path("doublet-data/log")) == (load().url, load().log_folder)


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    file = tmp_path / "doublet.toml"
    file.write_text('port = 1\nworkers = 1\nhost = "a.example"\n')
    settings = load(
        {"port": 3, "workers": None}, {"DOUBLET_PORT": "2", "DOUBLET_WORKERS": "2"}, file
    )
    assert (3, 2, "a.example") == (settings.port, settings.workers, settings.host)


def test_a_file_in_the_current_folder_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("doublet.toml").write_text("port = 9\n")
    assert 9 == load().port


def test_environment_variables_of_others_do_not_matter() -> None:
    assert Settings() == load(environ={"PORT": "x", "XDOUBLET_PORT": "x", "doublet_port": "1"})


@pytest.mark.parametrize(
    ("source", "values", "said"),
    [
        ("flags", {"prot": 1}, "Unknown setting 'prot' in flags. Did you mean 'port'?"),
        ("environment", {"DOUBLET_WORKER": "1"}, "Did you mean 'workers'?"),
        ("file", "zzzzzz = 1", "Unknown setting 'zzzzzz'"),
        ("flags", {"port": 0}, "`int` >= 1"),
        ("flags", {"port": 65536}, "`int` <= 65535"),
        ("flags", {"port": "eighty"}, "flags: Expected `int`, got `str` - at `port`"),
        ("environment", {"DOUBLET_WORKERS": "65"}, "environment: "),
        ("file", "workers = 1.5", "workers"),
        ("file", "port = [1]", "port"),
        ("file", "port =", "Cannot read"),
        ("file", "\0", "Cannot read"),
        ("flags", {"load_interval_s": 0}, "load_interval_s"),
        ("flags", {"load_interval_s": "nan"}, "load_interval_s"),
        ("flags", {"log_retention_h": "nan"}, "log_retention_h"),
        ("flags", {"log": "kafka://host"}, "names a kind this version does not know"),
        ("flags", {"trusted_proxies": "10.0.0.0/8,proxy.example"}, "'proxy.example' is no address"),
        ("flags", {"trusted_proxies": "10.0.0.0/40"}, "'10.0.0.0/40'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_source(
    tmp_path: Path, source: str, values: Any, said: str
) -> None:
    file = None
    if source == "file":
        file = tmp_path / "doublet.toml"
        file.write_text(values)
    with pytest.raises(SettingsError) as caught:
        load(
            values if source == "flags" else None,
            values if source == "environment" else None,
            file,
        )
    assert said in str(caught.value)
    assert caught.value.hint


def test_a_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Cannot read"):
        load(file=tmp_path / "nothing.toml")


def test_text_becomes_the_type_of_its_setting() -> None:
    settings = load(
        {"data": "x", "load_interval_s": "0.5", "port": "80", "public_url": "http://a/"}
    )
    assert (Path("x"), 0.5, 80) == (settings.data, settings.load_interval_s, settings.port)
    assert "http://a" == settings.url


def test_networks_of_both_families_may_be_trusted() -> None:
    load({"trusted_proxies": " 10.0.0.0/8, 192.0.2.7 ,2001:db8::/32, 10.1.2.3/8,"})


def test_every_setting_is_described_with_its_effect() -> None:
    assert set(Settings.__struct_fields__) == {setting.name for setting in SETTINGS}
    for setting in SETTINGS:
        assert setting.help.endswith(".")
        assert setting.effect in ("live", "restart", "rebuild")


def test_the_socket_of_a_deep_folder_still_has_a_path_that_the_system_takes(
    tmp_path: Path,
) -> None:
    deep, other = (Settings(data=tmp_path / ("d" * 100) / name) for name in ("a", "b"))
    assert len(str(deep.worker_socket)) <= 100
    assert deep.worker_socket != other.worker_socket
