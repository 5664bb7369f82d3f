"""Tables in LaTeX: their structure always, and that they compile where pdflatex is installed."""

import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from data_preprocess.base.errors import UserError
from dghin.report.tables.latex import LINES_OF_A_PAGE, to_latex, write_latex_document
from dghin.report.tables.scores import write_table

ODD = [
    "50% & {x}_1 #2 $3 ~^\\",
    "[val]",
    " [*",
    "*",
    "–",
    "red — “left” ‘one’ `x` \"y\" 's'… <unk> | -- ---",
    "± × − ≥ ≤ → Δ Σ ∩ ∪ ° µ ₀ x² 10⁻³ ½ ﬁ",
    "é ü ß Ø Œ ç ł ñ Đ Ŋ ạ",
    "中文 😀 \u200b\u00a0\u202f\x07",
    "a line\nand\n\nanother",
    "",
]


def wide_frame():
    values = np.linspace(-90, 90, 4 * 16).reshape(4, 16)
    frame = pd.DataFrame(values, columns=[f"Pr@0.{i}, 95 % [±]" for i in range(16)])
    frame.iloc[1, 2] = np.nan
    frame.insert(0, "Split_%", ["[val]", "*testA", "testB", "threshold=0.35"])
    return frame


def odd_frame():
    return pd.DataFrame({"[a|b]": ODD, "n": range(len(ODD)), "long": "words_of/text, " * 3})


def long_frame(rows=3 * LINES_OF_A_PAGE):
    frame = pd.DataFrame({"Δ n": np.arange(rows) - 9.5})
    return frame.assign(**{"Why not": "no: " + "protocol not stated; " * 4, "Net": "swin_base_384"})


FRAMES = {
    "main": wide_frame,
    "odd_names": odd_frame,
    "literature": long_frame,
    "no_rows": lambda: pd.DataFrame({"a": [], "b": []}),
}


def body(latex):
    """The head and the rows; a longtable has another head and foot before."""
    lines = latex.split("\\endfirsthead")[-1].splitlines()
    return [line for line in lines if line.endswith("\\\\") and "multicolumn" not in line]


def ampersands(line):
    return line.replace("\\&", "").count("&")


@pytest.mark.parametrize("name", FRAMES)
def test_every_row_has_a_cell_for_every_column(name):
    frame = FRAMES[name]()
    lines = body(to_latex(frame))
    assert len(lines) == len(frame) + 1
    assert {ampersands(line) for line in lines} == {len(frame.columns) - 1}


@pytest.mark.parametrize("name", FRAMES)
def test_no_row_begins_with_what_the_line_end_before_would_take(name):
    assert not any(line.lstrip().startswith(("[", "*")) for line in body(to_latex(FRAMES[name]())))


def test_columns_and_kind_follow_the_content():
    assert to_latex(wide_frame()).startswith("\\begin{tabular}{l" + "r" * 16 + "}\n")
    paragraph = ">{\\raggedright\\arraybackslash}p{4.2cm}"
    assert to_latex(odd_frame()).startswith(f"\\begin{{tabular}}{{{paragraph}r{paragraph}}}\n")
    table = to_latex(long_frame().assign(Path="a_path/that_is_not_broken"))
    assert table.startswith(f"\\begin{{longtable}}{{r{paragraph}ll}}\n")
    assert table.count("\\endhead") == 1 and "a\\_\\allowbreak{}path/\\allowbreak{}that" in table


@pytest.mark.parametrize(
    "plain, latex",
    [
        ("-1.5", "$-$1.5"),
        ("-.5 (-2)", "$-$.5 ($-$2)"),
        ("4-5 Swin-B 2-3", "4-5 Swin-B 2-3"),
        ("–", "--"),
        ("a---b", "a-{}-{}-b"),
        ("71.2 ± 0.4", "71.2 $\\pm$ 0.4"),
        ("480×480", "480$\\times$480"),
        ("x² w₀", "x$^2$ wU+2080"),
        ("a_b 5%", "a\\_b 5\\%"),
        ("é ß 中 ą", "é ß U+4E2D U+0105"),
        ("\\alpha ~", "\\textbackslash alpha \\textasciitilde"),
        ("a\n\nb", "a b"),
        ("threshold=0.35, Pr@0.5", "threshold=0.35, Pr@0.5"),
    ],
)
def test_plain_text_becomes_latex_that_shows_it(plain, latex):
    assert to_latex(pd.DataFrame({"a": [plain]})).splitlines()[4] == f"{latex} \\\\"


def test_a_document_shows_every_table_once_and_main_first(tmp_path):
    for name in ("by_length", "main"):
        write_table(wide_frame(), tmp_path, name)
    write_table(long_frame(), tmp_path, "a_long_one")
    (tmp_path / "picture.tex").write_text("\\begin{tikzpicture}", encoding="utf-8")
    for _ in range(2):  # the document itself is none of its tables
        path = write_latex_document(tmp_path)
    text = path.read_text(encoding="utf-8")
    places = [text.index(f"{{{name}}}") for name in ("main", "a_long_one", "by_length")]
    assert path.name == "tables.tex" and places == sorted(places)
    assert "by length" in text and "picture" not in text and "{tables}" not in text
    assert text.count("\n\\fittable{") == 2 and text.count("\\input{a_long_one}") == 1


def test_a_folder_without_tables_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no table .* dghin report"):
        write_latex_document(tmp_path)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_document_compiles_and_misses_no_character(tmp_path):
    for name, make in FRAMES.items():
        write_table(make(), tmp_path, name)
    path = write_latex_document(tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", path.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 0
    assert "Missing character" not in (tmp_path / "tables.log").read_text(errors="replace")
    wide = [line for line in done.stdout.splitlines() if line.startswith("Overfull \\hbox")]
    assert all(float(line.split("(")[1].split("pt")[0]) < 12 for line in wide), wide
