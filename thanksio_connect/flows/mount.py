"""Where the project has included the app's URLs: at its root, as an instance of its own, or inside a namespace."""

from __future__ import annotations

from collections.abc import Iterable

from django.urls import NoReverseMatch, ResolverMatch, URLResolver, get_resolver, get_urlconf, reverse

APP_NAME = "thanksio_connect"


def own_path(name: str, match: ResolverMatch | None = None) -> str:
    """The path of one of the app's pages, with the script prefix.

    ``match`` is the current page's: on one of ours, the same mount; elsewhere, what Django's ``{% url %}`` would take.
    A mount inside another namespace (``portal:thanksio_connect``) is found where there is none at the root. Raises
    :class:`~django.urls.NoReverseMatch` where the app's URLs are not included.
    """
    current = match.namespace if match else None
    if match and match.app_names[-1:] == [APP_NAME]:
        return reverse(f"{match.namespace}:{name}", current_app=current)
    try:
        return reverse(f"{APP_NAME}:{name}", current_app=current)
    except NoReverseMatch:
        if (namespace := _namespace_in(get_resolver(get_urlconf()))) is None:
            raise
    return reverse(f"{namespace}:{name}", current_app=current)


def _namespace_in(resolver: URLResolver, outer: Iterable[str] = ()) -> str | None:
    """The first namespace of the app in there, however deep."""
    for namespace, (_prefix, inner) in resolver.namespace_dict.items():
        if namespace in resolver.app_dict.get(APP_NAME, ()):
            return ":".join([*outer, namespace])
        if found := _namespace_in(inner, [*outer, namespace]):
            return found
    return None
