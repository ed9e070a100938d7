"""The small part of Markdown that questions and summaries use, as HTML.

Paragraphs, ``- `` lists, code blocks between lines of three backticks, tables, and inside a line
```code```, ``**strong**``, ``*emphasis*``. Everything else is text: nothing in it can become an HTML tag.
"""

from __future__ import annotations

import html
import re

FENCE = "```"
INLINE = re.compile(r"`([^`]+)`|\*\*(?=\S)(.+?)(?<=\S)\*\*|(?<![\w*])\*(?=[^\s*])([^*]+?)(?<=[^\s*])\*(?![\w*])")


def to_html(text: str) -> str:
    """A text of paragraphs, lists, tables and code.

    Examples
    --------
    >>> to_html("Two *ranks* call `Send`.\\n\\n- a < b\\n- c")
    '<p>Two <em>ranks</em> call <code>Send</code>.</p><ul><li>a &lt; b</li><li>c</li></ul>'
    """
    parts = []
    for index, part in enumerate(re.split(rf"^{FENCE}\w*\n?", text.strip(), flags=re.MULTILINE)):
        if index % 2:
            parts.append(f"<pre><code>{html.escape(part.rstrip(), quote=False)}</code></pre>")
        else:
            parts += [_block(block) for block in re.split(r"\n\s*\n", part.strip()) if block.strip()]
    return "".join(parts)


def to_inline_html(text: str) -> str:
    """A text within a line: code, strong and emphasis only.

    Examples
    --------
    >>> to_inline_html("`2 * p` is **not** 2 * p or p * 2")
    '<code>2 * p</code> is <strong>not</strong> 2 * p or p * 2'
    """
    parts, end = [], 0
    for found in INLINE.finditer(text):
        parts.append(html.escape(text[end : found.start()], quote=False))
        code, strong, emphasis = found.groups()
        if code is not None:
            parts.append(f"<code>{html.escape(code, quote=False)}</code>")
        else:
            name, inner = ("strong", strong) if strong is not None else ("em", emphasis)
            parts.append(f"<{name}>{to_inline_html(inner)}</{name}>")
        end = found.end()
    return "".join(parts) + html.escape(text[end:], quote=False)


def _block(block: str) -> str:
    lines = block.strip().splitlines()
    if lines[0].startswith("- "):
        items = re.split(r"^- ", block.strip(), flags=re.MULTILINE)[1:]
        return "<ul>" + "".join(f"<li>{_line(item)}</li>" for item in items) + "</ul>"
    if lines[0].startswith("|") and len(lines) > 1 and set(lines[1]) <= set("|-: "):
        head, *rows = (lines[0], *lines[2:])
        body = "".join(f"<tr>{_cells(row, 'td')}</tr>" for row in rows)
        return f"<table><thead><tr>{_cells(head, 'th')}</tr></thead><tbody>{body}</tbody></table>"
    return f"<p>{_line(block)}</p>"


def _cells(row: str, tag: str) -> str:
    return "".join(f"<{tag}>{to_inline_html(cell.strip())}</{tag}>" for cell in row.strip().strip("|").split("|"))


def _line(text: str) -> str:
    return to_inline_html(" ".join(text.split()))
