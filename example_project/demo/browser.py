"""As much of a browser as the walkthrough needs: cookies, redirects, and forms read from the HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests

TIMEOUT_SECONDS = 30
VOID_OF_TEXT = {"script", "style", "head"}


@dataclass
class Form:
    """A form as it would be submitted untouched. ``buttons`` are the named submit buttons."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, str] = field(default_factory=dict)


@dataclass
class Page:
    """What a request ended on, and the addresses that it went through (without their queries)."""

    url: str
    status: int
    hops: list[str]
    text: str
    forms: list[Form]
    links: list[str]

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def form(self, *, action_ends: str = "", has_field: str = "") -> Form:
        """The first POST form whose action ends so, or that has the field. Raises LookupError."""
        for form in self.forms:
            path = urlsplit(form.action).path
            if form.method == "post" and path.endswith(action_ends) and (not has_field or has_field in form.fields):
                return form
        actions = [urlsplit(form.action).path for form in self.forms]
        raise LookupError(f"no form for {action_ends or has_field!r} at {self.path}; the forms go to {actions}")


class Browser:
    """One person at one browser. Ignores proxies and ``.netrc``: everything is on this machine."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["User-Agent"] = "thanksio-connect-walkthrough"

    def get(self, url: str) -> Page:
        return self._page(self._session.get(url, timeout=TIMEOUT_SECONDS))

    def submit(self, form: Form, values: Mapping[str, str] | None = None, *, button: str | None = None) -> Page:
        """Fill ``values`` in and press the named button (None: one without a name)."""
        data = form.fields | dict(values or {})
        if button is not None:
            data[button] = form.buttons[button]
        return self._page(self._session.post(form.action, data=data, timeout=TIMEOUT_SECONDS))

    def close(self) -> None:
        self._session.close()

    @staticmethod
    def _page(response: requests.Response) -> Page:
        reader = _Reader(response.url)
        if "html" in response.headers.get("Content-Type", ""):
            reader.feed(response.text)
        return Page(
            url=response.url,
            status=response.status_code,
            hops=[hop.url.partition("?")[0] for hop in [*response.history, response]],
            text=" ".join(" ".join(reader.words).split()),
            forms=reader.forms,
            links=reader.links,
        )


class _Reader(HTMLParser):
    def __init__(self, base: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self._base = base
        self._form: Form | None = None
        self._select: str | None = None
        self._textarea: str | None = None
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag in VOID_OF_TEXT:
            self._silent += 1
        elif tag == "a" and "href" in given:
            self.links.append(urljoin(self._base, given["href"]))
        elif tag == "form":
            action = urljoin(self._base, given.get("action") or self._base)
            self._form = Form(action=action, method=given.get("method", "get").lower())
            self.forms.append(self._form)
        elif self._form is None:
            return
        elif tag in ("input", "button") and name:
            self._take_input(self._form, tag, name, given)
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self._form.fields):
            self._form.fields[self._select] = given.get("value", "")
        elif tag == "textarea":
            self._textarea = name
            self._form.fields[name] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID_OF_TEXT:
            self._silent -= 1
        elif tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea is not None and self._form is not None:
            self._form.fields[self._textarea] += data
        elif not self._silent:
            self.words.append(data)

    @staticmethod
    def _take_input(form: Form, tag: str, name: str, given: dict[str, str]) -> None:
        kind = given.get("type", "submit" if tag == "button" else "text")
        if kind == "submit":
            form.buttons[name] = given.get("value", "")
        elif kind in ("checkbox", "radio"):
            if "checked" in given:
                form.fields[name] = given.get("value", "on")
        elif kind not in ("file", "button", "reset", "image"):
            form.fields[name] = given.get("value", "")
