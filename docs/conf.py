"""How Sphinx makes the site; `nox -s docs` runs it."""
# ruff: noqa: INP001, A001 - Sphinx reads this file, and these are its names

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "_site"))

project = author = "openrouter-rerank"
copyright = "its authors, MIT licence"
_version = re.search(r'VERSION = "([^"]+)"', (ROOT / "wrapper/openrouter_rerank/version.py").read_text("utf-8"))
release = version = _version[1] if _version else ""

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "sphinx_copybutton",
    "contract",
    "docstrings",
    "links",
    "rules",
]
exclude_patterns = ["_site"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

# docstrings write code in single backticks
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# the adapters are read without their frameworks
autodoc_mock_imports = ["haystack", "langchain_core", "llama_index", "opentelemetry"]
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True

nitpicky = True
nitpick_ignore_regex = [
    # other projects have their own sites, and a build asks no other host for their lists of names
    (r"py:.*", r"(attrs|collections|contextlib|datetime|enum|httpcore|httpx|msgspec|os|pathlib|pytest|ssl|types|typing)\..*"),
    # type variables, and what only annotations name
    (r"py:class", r"(.*\.)?(T|C|Arguments|Defaults|Callbacks|Threads|Tasks)"),
    (r"py:.*", r"(haystack|langchain_core|llama_index|opentelemetry|starlette)\..*"),
]  # fmt: skip

html_title = "openrouter-rerank"
html_theme = "furo"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
