r"""LaTeX: a table as a tabular, and a document that shows every table of a folder.

    to_latex(frame)                                     # pandas' Styler, and what it lacks
    write_latex_document(Path("reports/demo/tables"))   # tables.tex there: pdflatex tables.tex

A table needs \usepackage{booktabs, array}, and longtable where it is longer than a page. It
compiles under pdflatex with the standard fonts.
"""

import importlib.util
import re
import unicodedata
from pathlib import Path

import pandas as pd

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_text
from data_preprocess.base.tables import cells, numeric

DOCUMENT = "tables.tex"
LINES_OF_A_PAGE = 30  # a longer table is a longtable, which breaks over pages
LONG_TEXT = 36  # characters; a column with a longer cell wraps its text ...
WRAPPED = 24  # ... after about so many characters ...
PARAGRAPH = r">{\raggedright\arraybackslash}p{4.2cm}"  # ... in a column like this

_SIGNS = {
    "|": r"\textbar{}",  # these three are other characters in LaTeX's first font encoding
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\symbol{34}",  # some languages' packages give it a meaning
    "`": r"\`{}",
    "–": "--", "—": "---", "‘": "`", "’": "'", "“": "``", "”": "''", "…": r"\ldots{}",
} | {
    sign: f"${latex}$"
    for sign, latex in {
        "±": r"\pm", "×": r"\times", "·": r"\cdot", "÷": r"\div", "−": "-", "≤": r"\le",
        "≥": r"\ge", "≠": r"\ne", "≈": r"\approx", "∞": r"\infty", "→": r"\to",
        "←": r"\leftarrow", "↑": r"\uparrow", "↓": r"\downarrow", "∩": r"\cap", "∪": r"\cup",
        "√": r"\surd", "✓": r"\surd", "°": r"^\circ", "²": "^2", "³": "^3", "Δ": r"\Delta",
        "Σ": r"\Sigma", "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "ε": r"\epsilon",
        "λ": r"\lambda", "μ": r"\mu", "µ": r"\mu", "π": r"\pi", "σ": r"\sigma", "τ": r"\tau",
    }.items()
}  # fmt: skip
# pdflatex's standard fonts have, beside ASCII, letters below U+0180 with one of these accents
_ACCENTS = set("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327")
_LETTERS = "ßæœøłıÆŒØŁ"
_UNSAFE = re.compile(r'[^ -~]|[|<>"`]')
_MINUS = re.compile(r"(?<![\w.)\]-])-(?=\.?\d)")  # before a number, and not after a word or number
_LONG_WORD = re.compile(rf"\S{{{WRAPPED},}}")
_BREAKS = re.compile(r"\\_|[/=]")  # where a narrow column may break a long word
_TABLE = re.compile(r"\\begin\{(tabular|longtable)\}")

_PREAMBLE = r"""\documentclass{article}
\usepackage[a3paper, landscape, margin=1.5cm]{geometry}
\usepackage{array, booktabs, graphicx, longtable}
% A table at its own size, or as wide as the page where it is wider.
\newsavebox{\tablebox}
\newcommand{\fittable}[1]{\sbox{\tablebox}{\input{#1}}%
  \ifdim\wd\tablebox>\linewidth\resizebox{\linewidth}{!}{\usebox{\tablebox}}%
  \else\usebox{\tablebox}\fi}
\setlength{\parindent}{0pt}
\setlength{\LTleft}{0pt}
\begin{document}\small
"""


def to_latex(frame: pd.DataFrame) -> str:
    """A table with booktabs' rules: a tabular, or a longtable where it is longer than a page.

    Cells are plain text: what means something to LaTeX is escaped. A character that the standard
    fonts lack, as in an expression of another script, is shown by its number, such as U+4E2D: the
    document compiles, and nothing vanishes. Without jinja2, which pandas writes it with: "".
    """
    if importlib.util.find_spec("jinja2") is None:  # an environment for scoring alone
        return ""
    rows = cells(frame)
    widths = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
    columns = [
        PARAGRAPH if width > LONG_TEXT else "r" if right else "l"
        for width, right in zip(widths or [0] * frame.shape[1], numeric(frame), strict=True)
    ]
    lines = sum(max([1, *(-(-len(cell) // WRAPPED) for cell in row)]) for row in rows)
    style = pd.DataFrame(rows, columns=frame.columns, dtype=object).style.hide(axis="index")
    style.format(_shown, escape="latex").format_index(_shown, escape="latex", axis="columns")
    kind = "longtable" if lines > LINES_OF_A_PAGE else None
    latex = style.to_latex(column_format="".join(columns), environment=kind, hrules=True)
    # A row that starts with one of these would be an option of the line end or rule before it.
    return re.sub(r"^(?=\[|\*)", "{}", latex, flags=re.MULTILINE)


def _shown(text: str) -> str:
    """What pandas has escaped, on one line and with the signs that it leaves alone."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    text = _MINUS.sub("−", re.sub("-(?=-)", "-{}", text))  # two hyphens stay two
    text = _UNSAFE.sub(_sign, text)
    return _LONG_WORD.sub(lambda word: _BREAKS.sub(r"\g<0>\\allowbreak{}", word[0]), text)


def _sign(found: re.Match) -> str:
    character = found[0]
    if character in _SIGNS:
        return _SIGNS[character]
    letter, *accents = unicodedata.normalize("NFD", character)
    accented = letter.isalpha() and letter.isascii() and character < "\u0180"
    known = (accented and _ACCENTS.issuperset(accents)) or character in _LETTERS
    return character if known else f"U+{ord(character):04X}"


def write_latex_document(folder: Path) -> Path:
    """Write <folder>/tables.tex, a document of every table (*.tex) in the folder; → its path.

    Compile it in that folder: pdflatex tables.tex, twice where a table is long, since only then the
    head stands above its columns. `main` comes first, the rest by name. Wide tables are drawn
    smaller, long ones run over pages; a title is the file's name.
    """
    tables = {
        path.stem: found[1]
        for path in sorted(folder.glob("*.tex"), key=lambda path: (path.stem != "main", path.stem))
        if path.name != DOCUMENT and (found := _TABLE.match(path.read_text(encoding="utf-8")))
    }
    if not tables:
        raise UserError(
            f"{folder}: no table (*.tex) to show. Make them: dghin report run={folder.parent.name}"
        )
    commands = {"tabular": "fittable", "longtable": "input"}
    parts = [
        f"\\section*{{{name.replace('_', ' ')}}}\n\\{commands[kind]}{{{name}}}\n"
        for name, kind in tables.items()
    ]
    write_text(folder / DOCUMENT, "\n".join([_PREAMBLE, *parts, "\\end{document}\n"]))
    return folder / DOCUMENT
