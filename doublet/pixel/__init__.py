"""The browser pixel: the scripts that collectors serve, and the base code that a site pastes."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from functools import cache
from importlib.resources import files

SCRIPTS = {"/px.js": "pixel.js", "/px-core.js": "pixel.js", "/px-debug.js": "debug.js"}
"""The file of each script by the path that serves it; `/px.js` has `automatic.js` in it too."""

_place = re.compile(r"^  // @(\w+)\n", re.MULTILINE)


def source(path: str = "/px.js") -> str:
    """A script as it was written."""
    return joined(SCRIPTS[path], "" if path == "/px.js" else "automatic")


def joined(file: str, without: str = "") -> str:
    """A script with its parts: a line `// @name` in it is the place of `name.js`."""
    folder = files("doublet.pixel")

    def part(place: re.Match[str]) -> str:
        name = place[1]
        return place[0] if name == without else folder.joinpath(f"{name}.js").read_text("utf-8")

    return _place.sub(part, folder.joinpath(file).read_text("utf-8"))


def script(path: str = "/px.js") -> bytes:
    """A script as it is served: without comments and blanks, and with short names."""
    return _scripts()[path]


@cache
def _scripts() -> dict[str, bytes]:
    done = subprocess.run(
        # Not from the working folder, where anybody's minify.py may lie.
        [sys.executable, "-P", "-m", "doublet.pixel.minify"],
        input=json.dumps([source(path) for path in SCRIPTS]),
        capture_output=True,
        check=True,
        text=True,
        encoding="utf-8",
    )
    return {
        path: text.encode() for path, text in zip(SCRIPTS, json.loads(done.stdout), strict=True)
    }


def snippet(pixel_id: str, public_url: str) -> str:
    """The base code of one pixel: HTML for the head of every page.

    It defines `fbq` as a queue, loads the script, and reports a PageView; without JavaScript an
    image reports it. Keeps the contract of Meta's base code, so that calls of `fbq` stay as they
    are.
    """
    address = public_url.rstrip("/")
    image = html.escape(f"{address}/px?id={pixel_id}&noscript=1&ev=PageView")
    return f"""<!-- Doublet pixel -->
<script>
(function (w, d, address) {{
  if (w.fbq) return;
  var fbq = w.fbq = function () {{
    if (fbq.callMethod) return fbq.callMethod.apply(fbq, arguments);
    fbq.queue.push(arguments);
  }};
  if (!w._fbq) w._fbq = fbq;
  fbq.push = fbq;
  fbq.loaded = true;
  fbq.version = "2.0";
  fbq.queue = [];
  var script = d.createElement("script");
  script.async = true;
  script.src = address;
  d.head.appendChild(script);
}})(window, document, {_in_script(address + "/px.js")});
fbq("init", {_in_script(pixel_id)});
fbq("track", "PageView");
</script>
<noscript><img height="1" width="1" style="display:none" alt="" src="{image}"></noscript>
<!-- End of Doublet pixel -->
"""


def _in_script(text: str) -> str:
    """A JavaScript string that cannot end the script element around it."""
    return json.dumps(text).replace("<", "\\u003c")
