"""Addresses of servers that a setting names."""

import httpx

from corpus.errors import SettingsError


def checked_address(text: str, *, setting: str, example: str, rather: str) -> httpx.URL:
    """Return what a setting says as an address over HTTP; `rather` says what to do without a password.

    Raises:
        SettingsError: it is none, or has a password, which would be shown and logged.
    """
    wrong = SettingsError(f"{setting} is no address; write it like {example}.")
    try:
        url = httpx.URL(text.strip())
    except httpx.InvalidURL as error:
        raise wrong from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise wrong
    if url.userinfo:
        raise SettingsError(f"{setting} must not hold a password; {rather}.")
    return url
