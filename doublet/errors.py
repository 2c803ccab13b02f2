"""What can go wrong, sorted by who must act.

DoubletError
├── SenderError         the client that sent the request (HTTP 4xx, exit code 4)
├── OperatorError       whoever runs this server: settings, disk, locks (exit code 3)
│   ├── SettingsError   an unknown or impossible setting
│   ├── LockedError     another process owns the folder, slot or port
│   ├── CorruptError    stored bytes do not match their checksum or format
│   │   └── NewerFormatError  a newer version of Doublet has written them
│   ├── MemoryLimitError  a statement needs more memory than the engine may use
│   └── BusyError       no room just now: the disk is slow or nearly full (HTTP 503)
└── DestinationError    the platform an event was relayed to (exit code 5)

Everything else that is raised is a bug of ours (HTTP 500, exit code 1).
"""

from __future__ import annotations


class DoubletError(Exception):
    """Root of all expected errors.

    `code` is stable and meant for programs, `message` names the offending value and the limit,
    `hint` says what to do next.
    """

    code = "doublet"
    exit_code = 1
    http_status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class SenderError(DoubletError):
    """The request was wrong; sending it again unchanged cannot help."""

    code = "sender"
    exit_code = 4
    http_status = 400


class ClosedError(SenderError):
    """What was to be used has been closed."""

    code = "closed"


class OperatorError(DoubletError):
    """The machine or its configuration is wrong; the operator must act."""

    code = "operator"
    exit_code = 3
    http_status = 503


class SettingsError(OperatorError):
    """A setting is unknown or has an impossible value."""

    code = "settings"


class LockedError(OperatorError):
    """Another process owns what this one needs."""

    code = "locked"


class CorruptError(OperatorError):
    """Stored bytes are not what was written."""

    code = "corrupt"


class NewerFormatError(CorruptError):
    """A newer version of Doublet has written what is stored here."""

    code = "newer_format"

    def __init__(self, what: str, found: int | str, known: int | str) -> None:
        super().__init__(
            f"{what} has format {found}; this version of Doublet reads formats up to {known}.",
            "Install the version of Doublet that wrote it, or a newer one.",
        )


class MemoryLimitError(OperatorError):
    """A statement needs more memory than the engine may use."""

    code = "memory_limit"


class BusyError(OperatorError):
    """There is no room for more just now; the client should try again later."""

    code = "busy"


class DestinationError(DoubletError):
    """An ad platform refused or did not answer."""

    code = "destination"
    exit_code = 5
    http_status = 502
