"""How Sphinx builds this manual: `sphinx-build -W docs docs/_build`."""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = "trio_sctp"
author = "the trio_sctp authors"
copyright = f"2026, {author}"
release = version = installed_version("trio-sctp")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "benchmark-results.md"]  # the latter is part of benchmarks.md
html_theme = "furo"
html_title = f"trio_sctp {version}"

default_role = "py:obj"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_class_signature = "separated"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
