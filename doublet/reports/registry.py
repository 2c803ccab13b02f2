"""The reports of conversions: what each is asked, who makes it, and what its rows are.

The command line, the HTTP addresses and the pictures go by this table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from doublet.reports.asked import Asked
from doublet.reports.campaigns import (
    CampaignResultRow,
    CampaignsAsked,
    CampaignsReport,
    campaigns,
    result_rows,
)
from doublet.reports.cohorts import CohortRow, CohortsAsked, CohortsReport, cohorts
from doublet.reports.credits import CreditRow, CreditsAsked, CreditsReport, credits
from doublet.reports.differences import (
    DifferencePartRow,
    DifferencesAsked,
    DifferencesReport,
    differences,
    part_rows,
)
from doublet.reports.funnels import FunnelAsked, FunnelReport, FunnelRow, funnels
from doublet.reports.new_returning import (
    NewReturningAsked,
    NewReturningReport,
    NewReturningRow,
    new_returning,
)
from doublet.reports.paths import PathRow, PathsAsked, PathsReport, paths
from doublet.reports.refunds import RefundRow, RefundsAsked, RefundsReport, refunds
from doublet.reports.server_extra import (
    ServerExtraAsked,
    ServerExtraReport,
    ServerExtraRow,
    server_extra,
)
from doublet.reports.time_to_conversion import TimeAsked, TimeReport, TimeRow, time_to_conversion
from doublet.reports.window_changes import (
    WindowsAsked,
    WindowsReport,
    window_changes,
    window_rows,
)


class Report(NamedTuple):
    """A report: `make` answers an `asked` with an `answer`, whose `rows` are those of its table."""

    about: str
    asked: type[Asked]
    make: Callable[..., Any]
    answer: type[msgspec.Struct]
    row: type[msgspec.Struct]
    rows: Callable[[Any], Sequence[msgspec.Struct]] = attrgetter("rows")


REPORTS: dict[str, Report] = {
    "campaigns": Report(
        "What campaigns cost and brought.",
        CampaignsAsked,
        campaigns,
        CampaignsReport,
        CampaignResultRow,
        result_rows,
    ),
    "credits": Report(
        "Each conversion with the touches that have a share of it.",
        CreditsAsked,
        credits,
        CreditsReport,
        CreditRow,
    ),
    "paths": Report("Paths of touches to conversion.", PathsAsked, paths, PathsReport, PathRow),
    "time_to_conversion": Report(
        "How long after a touch persons convert.",
        TimeAsked,
        time_to_conversion,
        TimeReport,
        TimeRow,
    ),
    "windows": Report(
        "What changes with the attribution window.",
        WindowsAsked,
        window_changes,
        WindowsReport,
        CampaignResultRow,
        window_rows,
    ),
    "funnels": Report("How far persons go.", FunnelAsked, funnels, FunnelReport, FunnelRow),
    "cohorts": Report(
        "What becomes of customers.", CohortsAsked, cohorts, CohortsReport, CohortRow
    ),
    "new_returning": Report(
        "Purchases of new and returning customers.",
        NewReturningAsked,
        new_returning,
        NewReturningReport,
        NewReturningRow,
    ),
    "server_extra": Report(
        "Conversions that only the server reported.",
        ServerExtraAsked,
        server_extra,
        ServerExtraReport,
        ServerExtraRow,
    ),
    "refunds": Report(
        "What campaigns brought, less what was refunded.",
        RefundsAsked,
        refunds,
        RefundsReport,
        RefundRow,
    ),
    "differences": Report(
        "What platforms report, split from what is counted here.",
        DifferencesAsked,
        differences,
        DifferencesReport,
        DifferencePartRow,
        part_rows,
    ),
}
