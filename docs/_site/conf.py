"""Configuration of Sphinx; `nox -s docs` runs it.

The source is the repository itself: a Markdown file is a page under the path that it has here, and so is openapi.yaml. Links
between files are links between pages, and each file reads as well without the site.
"""
# ruff: noqa: A001 - these are Sphinx's names

import re
import sys
from pathlib import Path

import llama_index.core  # noqa: F401 - autodoc would import it with TYPE_CHECKING set, which it does not survive

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

project = author = "openrouter-rerank"
copyright = "its authors, MIT licence"
_version = re.search(
    r'VERSION = "([^"]+)"', (ROOT / "wrapper/openrouter_rerank/version.py").read_text("utf-8")
)
release = version = _version[1] if _version else ""

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "contract", "docstrings"]
source_suffix = {".md": "markdown", ".yaml": "contract"}
include_patterns = ["*.md", "openapi.yaml", "contracts/dialects/*.yaml", "docs/**.md"]
exclude_patterns = [
    path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in {"contracts", "docs"}
]
root_doc = "docs/index"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
highlight_options = {"python": {"stripnl": True}}  # a doctest ends with a blank line
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

# docstrings write code in single backticks
default_role = "literal"
suppress_warnings = [
    "ref.python"
]  # two packages have a Usage, and a docstring's names go to neither in that case
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True

html_title = "openrouter-rerank"
html_theme = "furo"
pygments_dark_style = "github-dark"
templates_path = ["templates"]
html_additional_pages = {"index": "first.html"}
html_static_path = ["static"]
html_favicon = "static/icon.svg"
html_css_files = ["site.css"]
html_js_files = ["rules.js"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
