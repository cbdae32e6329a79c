"""What pytest leaves alone here: the site's own code, which only Sphinx imports."""
# ruff: noqa: INP001 - pytest reads this file

collect_ignore_glob = ["conf.py", "_site/*"]
