"""Reports as HTML, JUnit, Markdown, a badge or terminal text, and several reports as a matrix."""
