"""Web servers before a collector, set up as docs/first_party.md says: nginx, Caddy, a Worker."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import trustme

from tests.server import free_port, is_listening, wait_for

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "first_party.md"
HOST = "shop.example"
SCRIPT, ENDPOINT = "/assets/shop.js", "/assets/shop"

_CA = trustme.CA()
_LAUNCH = (
    "import os, sys; from doublet.processes import die_with_parent; "
    "die_with_parent(int(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"
)


def recipe(kind: str) -> str:
    """The block of the page in a language."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    return str(found)


def required(path: str | None, what: str, package: str) -> str:
    """What a test needs of the machine; without it the test is skipped, or fails with CI=true."""
    if path is None:
        reason = f"{what}: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


class Front(NamedTuple):
    """A running web server of the shop."""

    port: int
    pages: Path
    """Folder of the shop's pages."""

    @property
    def origin(self) -> str:
        """Of the shop's pages, for a browser that finds every name on this machine."""
        return f"https://{HOST}:{self.port}"

    def request(
        self, method: str, path: str, headers: dict[str, str], data: dict[str, str] | None = None
    ) -> httpx.Response:
        """What the server answers a visitor who comes from 127.0.0.9."""
        context = ssl.create_default_context()
        _CA.configure_trust(context)
        transport = httpx.HTTPTransport(verify=context, local_address="127.0.0.9")
        with httpx.Client(transport=transport, timeout=30) as client:
            return client.request(
                method,
                f"https://127.0.0.1:{self.port}{path}",
                headers={"host": HOST, **headers},
                data=data,
                extensions={"sni_hostname": HOST},
            )


@contextmanager
def front(kind: str, upstream: int, text: str = "") -> Iterator[Front]:
    """The web server of a recipe (`nginx`, `caddy`, `js`) before the port `upstream`, that of the
    page or another `text`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = Front(free_port(), folder / "pages")
        made.pages.mkdir()
        _CA.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(folder / "shop.pem")
        text = (text or recipe(kind)).replace("127.0.0.1:8700", f"127.0.0.1:{upstream}")
        text = text.replace("https://doublet.example", f"http://127.0.0.1:{upstream}")
        text = text.replace("/srv/shop", str(made.pages))
        command = {"nginx": _nginx, "caddy": _caddy, "js": _worker}[kind](folder, text, made.port)
        environ = {**os.environ, "HOME": name, "XDG_DATA_HOME": name, "XDG_CONFIG_HOME": name}
        said = folder / "said"
        with said.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environ,
                cwd=ROOT,
            )
        try:
            wait_for(
                lambda: process.poll() is not None or is_listening(made.port), what=f"{kind} is up"
            )
            assert process.poll() is None, said.read_text("utf-8", "replace")
            yield made
        finally:
            process.kill()
            process.wait()


def _nginx(folder: Path, text: str, port: int) -> list[str]:
    path = required(shutil.which("nginx", path=_path()), "nginx is not installed", "nginx")
    assert "listen 443 ssl;" in text
    certificate = f"ssl_certificate {folder}/shop.pem; ssl_certificate_key {folder}/shop.pem;"
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl; {certificate}")
    kept = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    (folder / "conf").write_text(
        "daemon off; master_process off; error_log stderr; "
        f"pid {folder}/pid;\nevents {{}}\nhttp {{\ndefault_type text/html; access_log off;\n"
        + "".join(f"{name}_temp_path {folder}/{name};\n" for name in kept)
        + f"{text}}}\n"
    )
    return [path, "-e", "stderr", "-p", str(folder), "-c", str(folder / "conf")]


def _caddy(folder: Path, text: str, port: int) -> list[str]:
    path = required(shutil.which("caddy", path=_path()), "Caddy is not installed", "caddy")
    site = f"https://{HOST}:{port} {{\n bind 127.0.0.1\n tls {folder}/shop.pem {folder}/shop.pem"
    assert text.startswith(f"{HOST} {{")
    options = "{\n    admin off\n    auto_https disable_redirects\n}\n"
    (folder / "Caddyfile").write_text(options + text.replace(f"{HOST} {{", site, 1))
    return [path, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def _worker(folder: Path, text: str, port: int) -> list[str]:
    path = required(shutil.which("node", path=_path()), "Node is not installed", "npm")
    (folder / "worker.mjs").write_text(text)
    edge = ROOT / "tests" / "node" / "edge.mjs"
    return [path, str(edge), str(folder / "worker.mjs"), str(port), str(folder / "shop.pem")]


def _path() -> str:
    """Debian puts servers where only root looks."""
    return os.pathsep.join((os.environ["PATH"], "/usr/local/sbin", "/usr/sbin"))
