"""Sphinx configuration: Markdown by MyST; warnings are errors (see tests/docs/test_docs.py)."""

project = "Plimsoll"
author = "The Plimsoll authors"
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "Plimsoll"
exclude_patterns = ["_build", "results/*"]
