"""The one error that a user is meant to read.

It lives in the lowest layer because every layer raises it; only `pipeline/exits.py` catches it.
"""


class UserError(Exception):
    """One line: what is wrong, where, and which command or setting mends it. Exit code 1."""

    exit_code = 1


class UsageError(UserError):
    """Bad usage or configuration. Exit code 2."""

    exit_code = 2
