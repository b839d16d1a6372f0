"""No catalogue is behind the sources, none is broken, and pages come out in each language."""

import re
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from django.template.loader import render_to_string
from django.utils import translation

from tests.unit.catalogues import Catalogue, Sources, in_python, in_template, read_po
from thanksio_connect.exceptions import InvalidState, Throttled
from thanksio_connect.views.problems import problem_of

REPOSITORY = Path(__file__).resolve().parents[2]
# Language -> number of plural forms (Unicode CLDR, as Django's own catalogues have them).
LANGUAGES = {"ar": 6, "de": 2, "es": 3, "fr": 3, "ja": 1, "pt_BR": 2, "zh_Hans": 1}
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\{\w*\}")
TAG = re.compile(r"</?[a-z][^>]*>")
UPDATE = "run `bash .ci/catalogues`, translate what is new, and run it again"

APP = Sources(REPOSITORY / "thanksio_connect")
# What the demo prints, and the sandbox, which stands for a foreign service, are English; Django names the languages.
PRODUCT = Sources(REPOSITORY / "example_project", apart=("demo", "management", "sandbox", "settings.py"))
CATALOGUES = [Catalogue(APP, language) for language in sorted(LANGUAGES)]
CATALOGUES += [Catalogue(PRODUCT, language) for language in ("ar", "de")]

each_catalogue = pytest.mark.parametrize("catalogue", CATALOGUES, ids=str)
each_language = pytest.mark.parametrize("language", sorted(LANGUAGES))


def app_words(language):
    return Catalogue(APP, language).compiled


def placeholders(text):
    return Counter(PLACEHOLDER.findall(text))


def forms_for_one_number(catalogue):
    """The plural forms that stand for a single number, and may say it in words (Arabic's none, one and two)."""
    uses = Counter(catalogue.compiled.plural(number) for number in range(1000))
    return {form for form, count in uses.items() if count == 1}


def test_no_catalogue_goes_untested():
    found = {path for sources in (APP, PRODUCT) for path in (sources.folder / "locale").iterdir()}
    assert found == {catalogue.sources.folder / "locale" / catalogue.language for catalogue in CATALOGUES}


@each_catalogue
def test_catalogue_has_each_message_of_the_sources_and_no_other(catalogue):
    listed = {entry.key for entry in catalogue.messages}
    wanted = catalogue.sources.messages
    assert (wanted - listed, listed - wanted) == (set(), set()), UPDATE


@pytest.mark.skipif(shutil.which("xgettext") is None, reason="needs GNU gettext (xgettext)")
@pytest.mark.parametrize("sources", [APP, PRODUCT], ids=lambda sources: sources.folder.name)
def test_makemessages_finds_the_same_messages(sources, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(sources.folder, copy, ignore=shutil.ignore_patterns("locale", "__pycache__", *sources.apart))
    (copy / "locale").mkdir()
    command = [sys.executable, "-m", "django", "makemessages", "--keep-pot", "--no-location", "--locale", "de"]
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")  # makemessages needs none, and would not find it there
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    found = {entry.key for entry in read_po((copy / "locale" / "django.pot").read_text(encoding="utf-8"))}
    assert found - {("", "", "")} == sources.messages


@each_catalogue
def test_every_message_is_translated_and_none_is_a_guess(catalogue):
    for entry in catalogue.entries:
        assert not entry.flags & {"fuzzy", "obsolete"}, entry.key
        assert all(form.strip() for form in entry.forms), entry.key
        assert len(entry.forms) == (LANGUAGES[catalogue.language] if entry.key[2] else 1), entry.key


@each_catalogue
def test_translations_keep_placeholders_tags_and_the_name(catalogue):
    single = forms_for_one_number(catalogue)
    for entry in catalogue.messages:
        _, message, plural = entry.key
        for number, form in enumerate(entry.forms):
            missing = placeholders(plural or message) - placeholders(form)
            foreign = placeholders(form) - placeholders(plural or message)
            assert not foreign, form
            assert not missing or (plural and number in single), form
            assert Counter(TAG.findall(form)) == Counter(TAG.findall(message)), form
            assert ("thanks.io" in form) == ("thanks.io" in message), form
            assert form == form.strip(), form
            assert message.endswith(":") == form.endswith((":", "：")), form
            assert message.endswith("?") == form.endswith(("?", "？", "؟")), form
            assert message.endswith(".") == form.endswith((".", "。")), form


@each_catalogue
def test_the_compiled_catalogue_is_that_of_the_source(catalogue):
    expected = {}
    for entry in catalogue.entries:
        context, message, plural = entry.key
        name = f"{context}\x04{message}" if context else message
        for number, form in enumerate(entry.forms):
            expected[(name, number) if plural else name] = form
    assert catalogue.compiled._catalog == expected, "run `bash .ci/catalogues`"


@each_catalogue
def test_the_header_says_the_language_and_nothing_that_churns(catalogue):
    [header] = [entry.forms[0] for entry in catalogue.entries if not entry.key[1]]
    fields = dict(line.split(": ", 1) for line in header.splitlines())
    assert fields["Language"] == catalogue.language
    assert fields["Content-Type"] == "text/plain; charset=UTF-8"
    assert fields["Plural-Forms"].startswith(f"nplurals={LANGUAGES[catalogue.language]};")
    assert not {"POT-Creation-Date", "PO-Revision-Date", "Last-Translator"} & set(fields)
    used = {catalogue.compiled.plural(number) for number in (*range(200), 1_000_000)}
    assert used == set(range(LANGUAGES[catalogue.language]))


@pytest.mark.parametrize("sources", [APP, PRODUCT], ids=lambda sources: sources.folder.name)
def test_arabic_reads_from_the_right_and_isolates_what_comes_from_elsewhere(sources):
    for entry in Catalogue(sources, "ar").messages:
        for form in entry.forms:
            if form == entry.key[1]:
                continue  # a name
            text = PLACEHOLDER.sub("", form)
            strong = [kind for kind in map(unicodedata.bidirectional, text) if kind in ("L", "R", "AL")]
            assert strong[0] == "AL", form
            for name in re.findall(r"%\(\w+\)s", form):
                assert f"\u2068{name}\u2069" in form, form
            assert form.count("\u2068") + form.count("\u2066") == form.count("\u2069"), form


@pytest.mark.parametrize("sources", [APP, PRODUCT], ids=lambda sources: sources.folder.name)
def test_modules_translate_lazily_what_they_say_at_import(sources):
    for file in sources.files(".py"):
        for call in in_python(file.read_text(encoding="utf-8")):
            assert call.is_lazy or not call.at_import, f"{file.name}:{call.line}"


def test_templates_say_nothing_past_gettext():
    for file in APP.files(".html"):
        text = re.sub(r"{% comment %}.*?{% endcomment %}", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        text = re.sub(r"{% blocktranslate.*?{% endblocktranslate %}", "", text, flags=re.DOTALL)
        text = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}", "", text)
        assert re.findall(r"[^\W\d_]+", re.sub(r"<[^>]*>", "", text)) == [], file.name
        assert re.findall(r'(?:title|alt|aria-label|placeholder)="[^"]*\w', text) == [], file.name


@each_language
def test_a_page_is_rendered_in_the_language_and_its_direction(language):
    context = {"connect_url": "/connect/", "connection_url": "/", "next_url": "", "connection": None}
    with translation.override(translation.to_language(language)):
        html = render_to_string("thanksio_connect/connect.html", context)
    direction = "rtl" if language == "ar" else "ltr"
    assert f'<html lang="{translation.to_language(language)}" dir="{direction}">' in html
    words = app_words(language)
    for message in ("Connect thanks.io", "Continue to thanks.io", "Cancel"):
        assert words.gettext(message) != message
        assert words.gettext(message) in html
        assert f">{message}<" not in html


@each_language
def test_the_page_of_the_way_back_has_its_direction_too(language):
    with translation.override(translation.to_language(language)):
        html = render_to_string("thanksio_connect/callback_bounce.html", {"continue_url": "/"})
    assert f'dir="{"rtl" if language == "ar" else "ltr"}"' in html
    assert app_words(language).gettext("Coming back from thanks.io") in html


@each_language
def test_problems_are_told_in_the_language_of_the_request(language):
    for error in (InvalidState(code="missing_state"), Throttled(), RuntimeError()):
        problem = problem_of(error)
        english = str(problem.title), str(problem.sentence)
        with translation.override(translation.to_language(language)):
            assert str(problem.title) == app_words(language).gettext(english[0]) != english[0]
            assert str(problem_of(error).sentence) == app_words(language).gettext(english[1]) != english[1]


def test_plurals_follow_the_language():
    for language, number, text in (
        ("de", 1, "1 Verbindung ist jetzt fällig."),
        ("fr", 0, "0 connexion est à renouveler maintenant."),
        ("es", 1_000_000, "1000000 de conexiones están pendientes ahora."),
        ("ar", 2, "عمليتا ربط مستحقتان الآن."),
        ("ar", 5, "هناك 5 عمليات ربط مستحقة الآن."),
        ("ar", 11, "هناك 11 عملية ربط مستحقة الآن."),
        ("ja", 3, "3件の連携が更新期限になりました。"),
    ):
        with translation.override(language):
            words = translation.ngettext(
                "%(count)d connection is due now.", "%(count)d connections are due now.", number
            )
        assert words % {"count": number} == text


def test_the_readers_read():
    page = """{% load i18n %}{% translate "A 'b'" %}{% translate 'c' context "d" %}
    {% blocktranslate trimmed count n=n %}one {{ n }}
    {% plural %}many {{ n }}{% endblocktranslate %}<b>{{ _("e") }}</b>"""
    assert in_template(page) == {("", "A 'b'", ""), ("d", "c", ""), ("", "one %(n)s", "many %(n)s"), ("", "e", "")}
    module = (
        "from django.utils.translation import gettext as _, ngettext_lazy as n\n"
        "_('a' 'b')\n"
        "def f(x=n('c', 'd', 1)):\n"
        "    _('e')\n"
    )
    calls = {call.key: (call.is_lazy, call.at_import) for call in in_python(module)}
    assert calls == {("", "ab", ""): (False, True), ("", "c", "d"): (True, True), ("", "e", ""): (False, False)}
    with pytest.raises(ValueError, match="literal"):
        list(in_python('from django.utils.translation import gettext\ngettext(f"{x}")'))
