"""Windows: which touches may claim a conversion, side by side in one report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from doublet.reports.asked import DAY_S, Setting

DEFAULT = "default"
"""The name of the window that is the whole attribution setting."""


class Window(NamedTuple):
    """A named window. With a `kind` it holds of the setting's conversions only those that belong to
    a touch of this kind (`engaged_view` or `view`)."""

    name: str
    setting: Setting
    kind: str = "any"


def setting_window(setting: Setting) -> Window:
    """The window of a whole setting."""
    return Window(DEFAULT, setting)


def all_windows(setting: Setting) -> list[Window]:
    """The setting as a whole; clicks of 1, 7 and 28 days; and what the setting leaves to engaged
    views and to views. The setting's own click window and these two add up to the setting.

    >>> [window.name for window in all_windows(Setting())]
    ['default', '1d_click', '7d_click', '28d_click', '1d_ev', '1d_view']
    """
    return [
        setting_window(setting),
        *(Window(f"{days}d_click", Setting(days, 0, 0)) for days in (1, 7, 28)),
        Window("1d_ev", setting, "engaged_view"),
        Window("1d_view", setting, "view"),
    ]


def window_parameters(windows: Sequence[Window]) -> dict[str, Any]:
    """What the text `last_touch` asks for."""
    settings = [window.setting for window in windows]
    return {
        "windows": [window.name for window in windows],
        "windows_click_s": [setting.click_days * DAY_S for setting in settings],
        "windows_engaged_view_s": [setting.engaged_view_days * DAY_S for setting in settings],
        "windows_view_s": [setting.view_days * DAY_S for setting in settings],
        "windows_kind": [window.kind for window in windows],
    }
