"""Which rule of which standard is proven by which tests: read from the tests' ``compliance`` marks.

``python -m tests.compliance`` writes ``docs/compliance.md``; a test compares it. The test run prints the same rows with
their results.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "compliance.md"

Rule = tuple[str, str]

RULES: dict[Rule, str] = {
    ("RFC 6749", "3.1"): "A request or answer with a repeated parameter is malformed",
    ("RFC 6749", "4.1"): "The authorization code grant, from end to end",
    ("RFC 6749", "4.1.1"): "What an authorization request holds",
    ("RFC 6749", "4.1.2"): "A code is used once",
    ("RFC 6749", "4.1.2.1"): "Errors of the authorization server; a denial",
    ("RFC 6749", "4.1.3"): "The token request repeats the redirect URI and authenticates the client",
    ("RFC 6749", "5.1"): "What a token response holds",
    ("RFC 6749", "6"): "Refreshing an access token",
    ("RFC 6749", "10.3"): "Access tokens are kept confidential",
    ("RFC 6749", "10.4"): "Refresh tokens are kept confidential, and go to their issuer alone",
    ("RFC 6749", "10.6"): "The redirect URI can't be manipulated",
    ("RFC 6749", "10.10"): "Credentials can't be guessed",
    ("RFC 6749", "10.12"): "Cross-site request forgery",
    ("RFC 6749", "10.14"): "Code injection: what comes in is validated and sanitised",
    ("RFC 6749", "10.15"): "Open redirectors",
    ("RFC 7009", "2.1"): "A token that is no longer needed is revoked, the refresh token first",
    ("RFC 7636", "1"): "An intercepted code is worth nothing without the verifier",
    ("RFC 7636", "4.1"): "How a code verifier is made",
    ("RFC 7636", "4.3"): "The challenge goes with the authorization request",
    ("RFC 7636", "4.5"): "The verifier goes with the token request",
    ("RFC 7636", "4.6"): "The server verifies it (the sandbox and the fake)",
    ("RFC 7636", "Appendix B"): "The example for S256",
    ("RFC 9110", "10.2.3"): "Retry-After in seconds or as a date",
    ("RFC 9110", "15.2"): "Interim answers come before the final one",
    ("RFC 9207", "2.4"): "The issuer in the answer is validated",
    ("RFC 9700", "2.6"): "Authorization responses travel over TLS",
    ("RFC 9700", "4.1"): "Insufficient redirect URI validation: the client's URI is fixed",
    ("RFC 9700", "4.2.1"): "Leakage from the client's pages",
    ("RFC 9700", "4.2.4"): "Referrer policy, one-time code and state",
    ("RFC 9700", "4.3.1"): "Codes in the browser's history",
    ("RFC 9700", "4.3.2"): "Access tokens in the browser's history",
    ("RFC 9700", "4.4"): "Mix-up",
    ("RFC 9700", "4.5"): "Authorization code injection",
    ("RFC 9700", "4.6"): "Access token injection",
    ("RFC 9700", "4.7"): "Cross-site request forgery: the state, bound to user and browser",
    ("RFC 9700", "4.7.1"): "The binding to the browser holds against planted cookies",
    ("RFC 9700", "4.8"): "PKCE downgrade",
    ("RFC 9700", "4.8.2"): "The server refuses a downgrade (the fake)",
    ("RFC 9700", "4.9.1"): "Access token phishing by a counterfeit resource server",
    ("RFC 9700", "4.11.1"): "The client is no open redirector",
    ("RFC 9700", "4.12"): "307 redirects carry no credentials on",
    ("RFC 9700", "4.13"): "TLS-terminating reverse proxies",
    ("RFC 9700", "4.14"): "Refresh token protection: stored encrypted, sent to the token endpoint alone",
    ("RFC 9700", "4.14.2"): "Rotation (the fake)",
    ("RFC 9700", "4.16"): "Clickjacking",
    ("RFC 9700", "4.17"): "In-browser communication: the pages run no script and listen to nothing",
    ("OWASP ASVS 5.0", "10.1.1"): "Tokens go only to components that need them",
    ("OWASP ASVS 5.0", "10.1.2"): "Answers are accepted in the session and transaction that asked for them",
    ("OWASP ASVS 5.0", "14.2.2"): "Caches keep nothing that is confidential",
    ("OWASP ASVS 5.0", "16.2.5"): "Logs and error reports hold no credentials",
}

NOT_OURS: dict[Rule, tuple[str, str]] = {
    ("RFC 9700", "4.2.2"): (
        "Leakage from the authorization server",
        "its pages decide; ours give it no address of ours (4.2.4)",
    ),
    ("RFC 9700", "4.9.2"): ("Compromised resource server", "thanks.io's own API; its tokens are plain bearer tokens"),
    ("RFC 9700", "4.10"): (
        "Misuse of stolen access tokens",
        "sender-constrained or audience-restricted tokens have to be offered by the server: thanks.io does not",
    ),
    ("RFC 9700", "4.11.2"): ("The authorization server as open redirector", "concerns the authorization server"),
    ("RFC 9700", "4.15"): (
        "Client impersonating resource owner",
        "concerns servers that issue tokens to a client for itself",
    ),
}


def _marks(decorators: list[ast.expr]) -> Iterator[Rule]:
    for node in decorators:
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.compliance":
            standard, section = (ast.literal_eval(argument) for argument in node.args)
            yield standard, section


def _tests_in(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    inner.decorator_list += node.decorator_list
                    yield f"{node.name}::{inner.name}", inner
        elif isinstance(node, ast.FunctionDef):
            yield node.name, node


@cache
def proofs() -> dict[Rule, list[str]]:
    """Rule -> the tests that prove it, as ``integration/test_x.py::test_y``, from the source of all tests."""
    found: dict[Rule, list[str]] = {}
    for file in sorted(TESTS.glob("**/test_*.py")):
        for name, function in _tests_in(ast.parse(file.read_text(encoding="utf-8"))):
            for rule in _marks(function.decorator_list):
                found.setdefault(rule, []).append(f"{file.relative_to(TESTS).as_posix()}::{name}")
    return found


def by_number(rule: Rule) -> tuple[str, list[int], str]:
    """Sort 4.2 before 4.10."""
    return rule[0], [int(part) for part in re.findall(r"\d+", rule[1])], rule[1]


def words_of(test: str) -> str:
    """``integration/test_x.py::test_y_is_z`` as a person reads it."""
    file, *names = test.split("::")
    return f"{names[-1].removeprefix('test_').replace('_', ' ')} (`{Path(file).stem}`)"


def page() -> str:
    """The text of ``docs/compliance.md``."""
    found = proofs()
    lines = [
        "# Compliance",
        "",
        "The rules of the standards that the tests prove. Each test bears the mark of its rules. Running all",
        "tests prints this table with the results. `python -m tests.compliance` writes this page, and a test",
        "compares it with the marks. [Security](security.md) tells what holds, attack by attack.",
    ]
    standard = ""
    for rule in sorted(found | NOT_OURS, key=by_number):
        if rule[0] != standard:
            standard = rule[0]
            lines += ["", f"## {standard}", "", "| section | what it says | tests |", "|---|---|---|"]
        if rule in found:
            lines.append(f"| {rule[1]} | {RULES[rule]} | {'<br>'.join(map(words_of, found[rule]))} |")
        else:
            words, reason = NOT_OURS[rule]
            lines.append(f"| {rule[1]} | {words} | none: {reason} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
