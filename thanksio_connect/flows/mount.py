"""Where the project has included the app's URLs: at its root, as an instance of its own, or inside a namespace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import (
    LocalePrefixPattern,
    NoReverseMatch,
    ResolverMatch,
    URLResolver,
    get_resolver,
    get_urlconf,
    reverse,
)

APP_NAME = "thanksio_connect"
NOT_INCLUDED = (
    "the pages of thanksio_connect are not in the project's URLs, or this page does not know a captured part of their "
    'path. Add path("thanksio/", include("thanksio_connect.urls")) to the root URLconf.'
)


@dataclass(frozen=True, slots=True)
class Mount:
    """One place. ``captured``: the named parts of its path, such as ``tenant`` in ``<slug:tenant>/thanksio/``."""

    namespace: str = ""
    captured: tuple[str, ...] = ()
    is_localised: bool = False

    def below(self, resolver: URLResolver) -> Mount:
        """The place that the resolver leads to from here."""
        return Mount(
            ":".join(name for name in (self.namespace, resolver.namespace) if name),
            (*self.captured, *resolver.pattern.regex.groupindex),
            self.is_localised or isinstance(resolver.pattern, LocalePrefixPattern),
        )


def mounts() -> list[Mount]:
    """Every place where the current URLconf has the app's pages, in the order of the URLconf."""
    return list(_mounts_in(get_resolver(get_urlconf()), Mount()))


def own_path(name: str, match: ResolverMatch | None = None) -> str:
    """The path of one of the app's pages, with the script prefix.

    ``match`` is the current page's: on one of ours, the same mount; elsewhere, what Django's ``{% url %}`` would take.
    A mount inside another namespace (``portal:thanksio_connect``) is found where there is none at the root. Captured
    parts of the mount's path (a tenant) are those of the current page. Raises
    :class:`~django.urls.NoReverseMatch` where the app's URLs are not included, or where a captured part is not known.
    """
    current = match.namespace if match else None
    if match and match.app_names[-1:] == [APP_NAME]:
        if not match.kwargs:
            return reverse(f"{match.namespace}:{name}", args=match.args, current_app=current)
        here = next((mount for mount in mounts() if mount.namespace == match.namespace), Mount(match.namespace))
        return _path_in(here, name, match)
    try:
        return reverse(f"{APP_NAME}:{name}", current_app=current)
    except NoReverseMatch:
        for mount in mounts():
            if set(mount.captured) <= (match.kwargs.keys() if match else set()):
                return _path_in(mount, name, match)
        raise


def _path_in(mount: Mount, name: str, match: ResolverMatch | None) -> str:
    captured: dict[str, Any] = {part: match.kwargs[part] for part in mount.captured} if match else {}
    return reverse(f"{mount.namespace}:{name}", kwargs=captured, current_app=match.namespace if match else None)


def _mounts_in(resolver: URLResolver, above: Mount) -> Iterator[Mount]:
    for each in resolver.url_patterns:
        if not isinstance(each, URLResolver):
            continue
        here = above.below(each)
        if each.app_name == APP_NAME:
            yield here
        else:
            yield from _mounts_in(each, here)
