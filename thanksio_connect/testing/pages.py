"""What a person sees of the stand-in: what it is, the question whether to allow, and who has access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Final
from urllib.parse import urlencode

from thanksio_connect.testing.grants import Grant
from thanksio_connect.testing.provider import Provider
from thanksio_connect.testing.records import RequestRecord
from thanksio_connect.testing.replies import Reply, redirect_reply

HOME: Final = "/"
ACCESS: Final = "/profile/api"
PATHS: Final = frozenset({HOME, ACCESS})

_STYLE: Final = """
:root { color-scheme: light dark; }
body { margin: 0; padding: 6vh 1rem; font: 1rem/1.55 system-ui, sans-serif; background: light-dark(#f3f5f7, #12161a);
  color: light-dark(#1a2128, #e9edf1); }
main { max-width: 40rem; margin: auto; padding: clamp(1.25rem, 5vw, 2.5rem); border-radius: .75rem;
  background: light-dark(#fff, #1b2127); border: 1px solid light-dark(#d5dbe1, #38424c); overflow-wrap: anywhere; }
h1 { margin: 0 0 1rem; font-size: 1.6rem; line-height: 1.25; }
.note { color: light-dark(#525d69, #a9b4bf); }
pre { padding: 1rem; border-radius: .5rem; background: light-dark(#f3f5f7, #12161a); white-space: pre-wrap; }
form { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0 0; }
button { min-height: 2.75rem; padding: 0 1.5rem; border-radius: .5rem; font: inherit; font-weight: 600; cursor: pointer;
  border: 1px solid light-dark(#0b5a8f, #7cc4f5); background: none; color: light-dark(#0b5a8f, #7cc4f5); }
button.first { background: light-dark(#0b5a8f, #7cc4f5); color: light-dark(#fff, #06202f); }
a { color: light-dark(#0b5a8f, #7cc4f5); }
"""


def html_reply(title: str, body: str, status: int = 200) -> Reply:
    """Return a page. ``body`` is markup; ``title`` is text."""
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )
    return Reply(status, page.encode(), {"Content-Type": "text/html; charset=UTF-8", "Cache-Control": "no-store"})


def consent_reply(path: str, query: Mapping[str, str]) -> Reply:
    """Return the question, with Allow and Deny."""
    action = escape(f"{path}?{urlencode(query)}")
    site = escape(query.get("redirect_uri", ""))
    return html_reply(
        "Allow this site to use your thanks.io account?",
        f"<p>The site at <strong>{site}</strong> asks to order mail for you.</p>\n"
        '<p class="note">This is a stand-in for thanks.io on your own machine. Nothing is printed, mailed or charged.'
        "</p>\n"
        f'<form method="post" action="{action}">\n'
        '<button class="first" name="answer" value="allow">Allow</button>\n'
        '<button name="answer" value="deny">Deny</button>\n</form>',
    )


def unknown_client_reply(status: int, client_id: str, expected: str) -> Reply:
    """Return why nobody can be asked: a client or a redirect URI that is not registered here."""
    if client_id != expected:
        cause = (
            f"The site calls itself <strong>{escape(client_id) or '(nothing)'}</strong>, and this stand-in knows "
            f"<strong>{escape(expected)}</strong>. Set THANKSIO_CLIENT_ID to that, and start the site again."
        )
    else:
        cause = "The redirect URI is missing, or is not one of those that this stand-in was started with."
    return html_reply("This request can't be answered", f"<p>{cause}</p>", status)


class Pages:
    """``/``, which says what this is, and ``/profile/api``, where access is removed, as at thanks.io."""

    def __init__(self, provider: Provider, settings: Callable[[], Mapping[str, str]]) -> None:
        self._provider = provider
        self._settings = settings

    def answer(self, record: RequestRecord) -> Reply:
        """Answer a GET with a page; a POST to the access page removes all access."""
        record.outcome = "ok"
        if record.method == "POST":
            for grant in self._living():
                self._provider.revoke(grant)
            return redirect_reply(ACCESS)
        return self._access() if record.path == ACCESS else self._home()

    def _home(self) -> Reply:
        lines = escape("\n".join(f"export {name}={value}" for name, value in self._settings().items()))
        return html_reply(
            "A stand-in for thanks.io",
            "<p>It belongs to thanksio_connect. It runs on your own machine, answers as thanks.io is believed to, and "
            "forgets everything when it ends. Nothing is printed, mailed or charged.</p>\n"
            "<p>A site talks to it with these settings:</p>\n"
            f"<pre>{lines}</pre>\n"
            f"<p>Then press Connect on the site. You are asked here whether to allow it. "
            f'<a href="{ACCESS}">Who has access</a> is on a page of its own.</p>',
        )

    def _access(self) -> Reply:
        living = len(self._living())
        sites = "1 connection has" if living == 1 else f"{living} connections have"
        button = '<form method="post"><button>Remove all access</button></form>' if living else ""
        return html_reply(
            "Who has access",
            f"<p>{sites} access to the account of this stand-in.</p>\n{button}\n"
            f'<p class="note">At thanks.io this is where a user removes a site. <a href="{HOME}">What is this?</a></p>',
        )

    def _living(self) -> list[Grant]:
        return [grant for grant in self._provider.grants if grant.cause_of_death is None]
