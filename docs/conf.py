"""Sphinx: ``sphinx-build docs docs/_build``."""

from configparser import ConfigParser
from pathlib import Path

metadata = ConfigParser()
metadata.read(Path(__file__).resolve().parents[1] / "setup.cfg", encoding="utf-8")

project = "thanksio_connect"
author = "The thanksio_connect authors"
copyright = author
release = metadata["metadata"]["version"]

extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"thanksio_connect {release}"
exclude_patterns = ["_build"]
