"""Sphinx: ``sphinx-build docs docs/_build``."""

import sys
from configparser import ConfigParser
from pathlib import Path

import django
from django.conf import settings

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent)]

metadata = ConfigParser()
metadata.read(HERE.parent / "setup.cfg", encoding="utf-8")

# The reference is made from the docstrings: the app has to be importable, and no more.
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "thanksio_connect"],
    FIELD_ENCRYPTION_KEY="dGhlIGRvY3VtZW50YXRpb24gZW5jcnlwdHMgbm90aGk=",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

project = "thanksio_connect"
author = "The thanksio_connect authors"
copyright = author
release = metadata["metadata"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "diagrams", "terminal"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
autodoc_member_order = "bysource"
autodoc_default_options = {"show-inheritance": True}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
html_theme = "furo"
html_title = f"thanksio_connect {release}"
html_static_path = ["_static"]
exclude_patterns = ["_build"]
