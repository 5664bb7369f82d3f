r"""LaTeX: a table as a tabular, and a document that shows every table of a folder.

    write_latex_document(Path("reports/demo/tables"))   # tables.tex there: pdflatex tables.tex

A table needs \usepackage{booktabs, array}, and longtable where it is longer than a page. It
compiles under pdflatex with the standard fonts.
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from data_preprocess.base.common import UserError, write_text

DOCUMENT = "tables.tex"
LINES_OF_A_PAGE = 30  # a longer table is a longtable, which breaks over pages
LONG_TEXT = 36  # characters; a column with a longer cell is a paragraph that wraps ...
PARAGRAPH, WRAPPED = "4.2cm", 24  # ... as wide as this, and as so many characters
SHARE_OF_TEXT = 22  # characters that a text column of a longtable counts as, at most
CHARACTERS_OF_A_LINE = 150  # of small print, on a page that lies

_CHARACTERS = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",  # these three are other characters in LaTeX's first font encoding
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\symbol{34}",  # some languages' packages give it a meaning
    "`": r"\textasciigrave{}",
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "\u00a0": "~",  # a space that does not break
    "\u202f": r"\,",
    "\u200b": "{}",  # without width
}
_MATHEMATICS = {
    "±": r"\pm", "×": r"\times", "·": r"\cdot", "÷": r"\div", "−": "-", "≤": r"\le",
    "≥": r"\ge", "≠": r"\ne", "≈": r"\approx", "∞": r"\infty", "→": r"\to", "←": r"\leftarrow",
    "↑": r"\uparrow", "↓": r"\downarrow", "↔": r"\leftrightarrow", "∩": r"\cap", "∪": r"\cup",
    "∈": r"\in", "√": r"\surd", "°": r"^\circ", "∆": r"\Delta", "Δ": r"\Delta", "Σ": r"\Sigma",
    "∑": r"\Sigma", "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta",
    "ε": r"\epsilon", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu", "µ": r"\mu", "π": r"\pi",
    "ρ": r"\rho", "σ": r"\sigma", "τ": r"\tau", "χ": r"\chi", "✓": r"\surd",
}  # fmt: skip
_SCRIPTS = {"<sub>": "_", "<super>": "^"}  # how Unicode names what ₀ and ² are made of
# what pdflatex's standard fonts have beside ASCII: letters below U+0180 with one of these accents
_ACCENTS = "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327"
_LATIN = "ßæœøłıÆŒØŁ¡¿§¶©£"
_MINUS = re.compile(r"(?<![\w.)\]-])-(?=\.?\d)")  # before a number, and not after a word or number
_BREAKS = re.compile(r"\\_|[/=]")  # where a narrow column may break a word
_TABLE = re.compile(r"\\begin\{(tabular|longtable)\}")

_PREAMBLE = r"""\documentclass{article}
\usepackage[a4paper, landscape, margin=1.5cm]{geometry}
\usepackage[utf8]{inputenc}
\usepackage{array, booktabs, graphicx, longtable}
% A table at its own size, or as wide as the page where it is wider.
\newsavebox{\tablebox}
\newcommand{\fittable}[1]{\sbox{\tablebox}{\input{#1}}%
  \ifdim\wd\tablebox>\linewidth\resizebox{\linewidth}{!}{\usebox{\tablebox}}%
  \else\usebox{\tablebox}\fi}
\setlength{\parindent}{0pt}
\begin{document}
"""
# A longtable counts itself, as it begins; tables do not float, so that they keep their order.
_SHORT = r"""\begin{center}
\refstepcounter{table}Table~\thetable: %s\\[1ex]
\fittable{%s}
\end{center}
"""
_LONG = r"""\begin{center}
Table~\the\numexpr\value{table}+1\relax: %s
\end{center}\nopagebreak
{\scriptsize\setlength{\tabcolsep}{3pt}\setlength{\LTpre}{0pt}\input{%s}}
"""


def latex_table(head: Sequence[str], body: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A tabular with booktabs' rules, or a longtable: column names, cells, which stand right.

    Cells are plain text: what means something to LaTeX is escaped here. A tabular is as wide as it
    is; a longtable fits the line, and its cells wrap.
    """
    lines = [[escape(cell) for cell in line] for line in (head, *body)]
    widths = [max(map(len, column)) for column in zip(*body, strict=True)] or [0] * len(head)
    heights = [max([1, *(-(-len(cell) // WRAPPED) for cell in line)]) for line in body]
    if sum(heights) > LINES_OF_A_PAGE:
        kind, columns = "longtable", _fitting_columns(head, widths, right)
        lines = [[_BREAKS.sub(r"\g<0>\\allowbreak{}", cell) for cell in line] for line in lines]
    else:
        kind, columns = "tabular", "".join(map(_column, widths, right))
    top, *rest = map(_line, lines)
    repeated = ["\\endhead"] if kind == "longtable" else []  # the head, on every page
    parts = [f"\\begin{{{kind}}}{{{columns or 'l'}}}", "\\toprule", top, "\\midrule", *repeated]
    return "\n".join([*parts, *rest, "\\bottomrule", f"\\end{{{kind}}}", ""])


def _column(width: int, right: bool) -> str:
    if width > LONG_TEXT:
        return f">{{\\raggedright\\arraybackslash}}p{{{PARAGRAPH}}}"
    return "r" if right else "l"


def _fitting_columns(head: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    """Columns that are together no wider than the line: numbers get what they need, text wraps."""
    words = [max(map(len, re.split(r"[ _]", name)), default=0) for name in head]
    shares = [
        max(width, word) + 1 if number else min(max(width, word) + 2, SHARE_OF_TEXT)
        for width, word, number in zip(widths, words, right, strict=True)
    ]
    total = max(sum(shares), CHARACTERS_OF_A_LINE)
    return "".join(
        f">{{\\{'raggedleft' if number else 'raggedright'}\\arraybackslash}}"
        f"p{{\\dimexpr {share / total:.4f}\\linewidth-2\\tabcolsep\\relax}}"
        for share, number in zip(shares, right, strict=True)
    )


def _line(cells: Sequence[str]) -> str:
    line = " & ".join(cells)
    if line.startswith(("[", "*")):  # or it would be an option of the \\ or the rule before
        line = "{}" + line
    return f"{line} \\\\"


def escape(text: str) -> str:
    """Plain text as LaTeX that shows it; line ends become spaces.

    A character that the standard fonts lack, as in an expression of another script, is shown by
    its number, such as U+4E2D: the document compiles, and nothing vanishes.
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    text = _MINUS.sub("−", re.sub("-(?=-)", "-\u200b", text))  # two hyphens stay two
    return "".join(map(_character, text))


def _character(character: str) -> str:
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    if character in _MATHEMATICS:
        return f"${_MATHEMATICS[character]}$"
    if character.isspace():
        return " "
    if not character.isprintable():
        return ""
    decomposition = unicodedata.decomposition(character)
    plain = unicodedata.normalize("NFKC", character).replace("−", "-")
    for script, sign in _SCRIPTS.items():
        if decomposition.startswith(script) and plain.isascii():
            return f"${sign}{{{plain}}}$"
    if plain.isascii():
        return plain if plain == character else escape(plain)
    letter, *accents = unicodedata.normalize("NFD", character)
    accented = character < "\u0180" and letter.isascii() and "".join(accents) in _ACCENTS
    return character if accented or character in _LATIN else f"U+{ord(character):04X}"


def write_latex_document(folder: Path) -> Path:
    """Write <folder>/tables.tex, a document of every table (*.tex) in the folder; → its path.

    Compile it in that folder: pdflatex tables.tex. `main` comes first, the rest by name. Wide
    tables are drawn smaller, long ones run over pages; a caption is the file's name.
    """
    tables = {
        path.stem: found[1]
        for path in sorted(folder.glob("*.tex"), key=lambda path: (path.stem != "main", path.stem))
        if path.name != DOCUMENT and (found := _TABLE.match(path.read_text(encoding="utf-8")))
    }
    if not tables:
        raise UserError(
            f"{folder}: no table (*.tex) to show. Make them: python -m dghin.report.run_report "
            f"run={folder.parent.name}"
        )
    parts = [
        (_LONG if kind == "longtable" else _SHORT) % (escape(name.replace("_", " ")), name)
        for name, kind in tables.items()
    ]
    write_text(folder / DOCUMENT, "\n".join([_PREAMBLE, *parts, "\\end{document}\n"]))
    return folder / DOCUMENT
