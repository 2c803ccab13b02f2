"""The browser pixel: the script that collectors serve, and the base code that a site pastes."""

from __future__ import annotations

import html
import json
from functools import cache
from importlib.resources import files

from rjsmin import jsmin

SCRIPTS = {
    "/px.js": ("pixel.js", "automatic.js"),
    "/px-core.js": ("pixel.js",),
    "/px-debug.js": ("debug.js",),
}
"""The files of each script by the path that serves it."""


@cache
def script(path: str = "/px.js") -> bytes:
    """A script as it is served: its files one after the other, without comments and indents."""
    folder = files("doublet.pixel")
    parts = [folder.joinpath(name).read_text("utf-8") for name in SCRIPTS[path]]
    # A semicolon between two files, since what begins with a bracket would call what is before it.
    return "\n;".join(filter(None, map(jsmin, parts))).encode()


def snippet(pixel_id: str, public_url: str) -> str:
    """The base code of one pixel: HTML for the head of every page.

    It defines `fbq` as a queue, loads the script, and reports a PageView; without JavaScript an
    image reports it. Keeps the contract of Meta's base code, so that calls of `fbq` stay as they
    are.
    """
    address = public_url.rstrip("/")
    image = html.escape(f"{address}/tr?id={pixel_id}&ev=PageView&noscript=1")
    return f"""<!-- Doublet pixel -->
<script>
(function (w, d, address) {{
  if (w.fbq) return;
  var fbq = w.fbq = function () {{
    if (fbq.callMethod) fbq.callMethod.apply(fbq, arguments);
    else fbq.queue.push(arguments);
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
