"""The documentation: `make docs` builds it into build/docs, and any warning fails."""

from importlib.metadata import version as version_of

project = "Consistency Lab"
author = "The Consistency Lab authors"
version = release = version_of("consistency-lab")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
default_role = "literal"  # `names` in docstrings are code

html_theme = "furo"
html_title = "Consistency Lab"
exclude_patterns = ["_build"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
suppress_warnings = ["ref.python", "myst.xref_missing"]  # modules link to files of the repository, which is not here
