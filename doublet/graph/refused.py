"""Requests that cannot be answered, in the words of the Graph API."""

from __future__ import annotations

import re

from starlette.responses import Response

from doublet.refusal import Reason, Refusal, graph_error, quote_name

_GUIDE = "Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api"

# What may be repeated to whoever asks: never a personal value.
_is_id = re.compile(r"(?:act_)?[0-9]{1,20}", re.ASCII).fullmatch
_is_path = re.compile(r"[a-z_/]{0,60}").fullmatch


class Refused(Exception):  # noqa: N818 - the name says what happened to the request
    """Ends a request."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal

    @property
    def answer(self) -> Response:
        """The error as Graph shapes it."""
        return Response(
            graph_error(self.refusal),
            self.refusal.reason.row.http_status,
            {"x-doublet-refused": self.refusal.reason.label},
            "application/json",
        )


def invalid(name: str, message: str) -> Refused:
    """A parameter that is missing or not what it must be."""
    return Refused(Refusal(Reason.PARAMETER_INVALID, message, name))


def nonexisting(name: str, type_: str) -> Refused:
    """A field or edge that objects of this type do not have."""
    quoted = quote_name(name)
    shown = quoted.strip("`") if quoted.startswith("`") else ""
    return invalid(
        "fields", f"(#100) Tried accessing nonexisting field ({shown}) on node type ({type_})"
    )


def unknown_object(object_id: str, method: str = "get") -> Refused:
    """What does not exist or is another account's; nobody can tell which."""
    shown = object_id if _is_id(object_id) else ""
    return Refused(
        Refusal(
            Reason.PIXEL_UNKNOWN,
            f"Unsupported {method.lower()} request. Object with ID '{shown}' does not exist, "
            "cannot be loaded due to missing permissions, or does not support this operation. "
            f"{_GUIDE}",
        )
    )


def unknown_path(rest: str) -> Refused:
    """An address that leads nowhere: what is left of it where it goes wrong."""
    shown = rest if _is_path(rest) else "…"
    return Refused(Refusal(Reason.NOT_FOUND, f"Unknown path components: /{shown}"))


def no_token(token: str) -> Refused:
    """A token that is missing or nobody's."""
    message = (
        "Invalid OAuth access token - Cannot parse access token"
        if token
        else "An access token is required to request this resource."
    )
    return Refused(Refusal(Reason.TOKEN_INVALID, message))


def wrong_proof() -> Refused:
    """A proof that was made of another token or with another secret."""
    message = "Invalid appsecret_proof provided in the API argument"
    return Refused(Refusal(Reason.PROOF_INVALID, message))
