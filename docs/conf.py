"""How Sphinx makes the pages: `make docs`. Nothing is fetched, and no page loads anything from elsewhere."""

import gc
import sys
from pathlib import Path

# Millions of nodes are made here, and next to none of them is garbage before the end.
gc.disable()

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]

from dispycos import config  # noqa: E402 - it stands beside this folder

project = "dispycos"
author = "The dispycos authors"
project_copyright = author
version = release = config.RELEASE

# myst_parser reads Markdown; commands and docstrings are ours, in extensions/.
extensions = ["myst_parser", "sphinx.ext.autodoc", "commands", "docstrings"]
exclude_patterns = ["extensions", "style"]

# Headings can be linked to as on any page of Markdown: design.md#rules.
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
python_display_short_literal_types = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"dispycos {release}"
html_static_path = ["style"]
html_css_files = ["pages.css"]
html_favicon = "../dispycos/httpd/data/icon.svg"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "navigation_with_keys": True,
    # By links of the page itself, without a request for an icon.
    "light_css_variables": {"color-brand-primary": "#1a5fb4", "color-brand-content": "#1a5fb4"},
    "dark_css_variables": {"color-brand-primary": "#7cb7ff", "color-brand-content": "#7cb7ff"},
}
pygments_style = "default"
pygments_dark_style = "github-dark"
