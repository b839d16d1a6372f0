"""Thin: parse the request, call one function of ``mailing``, answer with a page."""
