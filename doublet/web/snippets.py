"""A payload as code that sends it: for a shell, Python, Node and PHP, without other packages.

The access token is read from the environment, so that no code holds it."""

from __future__ import annotations

import json
import pprint
from collections.abc import Callable
from typing import Any, NamedTuple

_VERSION = "v25.0"
_TOKEN = "DOUBLET_ACCESS_TOKEN"


class Snippet(NamedTuple):
    """One language: a name for addresses, one for people, and the code."""

    language: str
    title: str
    code: str


def snippets(public_url: str, pixel_id: str, payload: dict[str, Any]) -> list[Snippet]:
    """The code in each language. `payload` is a body `{"data": […]}`."""
    url = f"{public_url}/{_VERSION}/{pixel_id}/events"
    return [Snippet(name, title, write(url, payload)) for name, title, write in _LANGUAGES]


def _json(payload: dict[str, Any]) -> str:
    return json.dumps(payload, indent=2)


def _curl(url: str, payload: dict[str, Any]) -> str:
    # A line of JSON with this indentation is never the word that ends the document.
    return (
        f'curl "{url}" \\\n  -H "Authorization: Bearer ${_TOKEN}" \\\n'
        f"  -H 'Content-Type: application/json' --data-binary @- <<'JSON'\n{_json(payload)}\nJSON"
    )


def _python(url: str, payload: dict[str, Any]) -> str:
    literal = pprint.pformat(payload, width=88, sort_dicts=False)
    return f"""import json
import os
import urllib.error
import urllib.request

payload = {literal}

request = urllib.request.Request(
    {url!r},
    data=json.dumps(payload).encode(),
    headers={{
        "Authorization": "Bearer " + os.environ["{_TOKEN}"],
        "Content-Type": "application/json",
    }},
)
try:
    with urllib.request.urlopen(request) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as error:
    raise SystemExit(error.read().decode())"""


def _node(url: str, payload: dict[str, Any]) -> str:
    return f"""const payload = {_json(payload)};

const answer = await fetch({json.dumps(url)}, {{
  method: "POST",
  headers: {{
    authorization: `Bearer ${{process.env.{_TOKEN}}}`,
    "content-type": "application/json",
  }},
  body: JSON.stringify(payload),
}});
console.log(await answer.text());
if (!answer.ok) process.exitCode = 1;"""


def _php(url: str, payload: dict[str, Any]) -> str:
    return f"""<?php
$payload = <<<'JSON'
{_json(payload)}
JSON;

$context = stream_context_create(['http' => [
    'method' => 'POST',
    'header' => [
        'Authorization: Bearer ' . getenv('{_TOKEN}'),
        'Content-Type: application/json',
    ],
    'content' => $payload,
    'ignore_errors' => true,
]]);
echo file_get_contents({_php_text(url)}, false, $context);"""


def _php_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_LANGUAGES: tuple[tuple[str, str, Callable[[str, dict[str, Any]], str]], ...] = (
    ("curl", "curl", _curl),
    ("python", "Python", _python),
    ("node", "Node", _node),
    ("php", "PHP", _php),
)
