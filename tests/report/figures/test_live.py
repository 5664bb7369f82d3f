"""Learning curves that grow while a training runs."""

import json
import textwrap
from pathlib import Path

import nbformat
import papermill
import pytest

from dghin.report.figures.live import DONE, WAITING, LiveCurves

ROOT = Path(__file__).parents[3]


def line(i):
    return json.dumps({"kind": "train", "iteration": i, "loss": 1 / i, "seg": 1, "lr": 1e-3}) + "\n"


class Shown:
    """In place of a display: what it was given."""

    def __init__(self):
        self.all = []

    def display(self, what):
        self.all.append(what)

    update = display


@pytest.fixture
def curves_of(monkeypatch, tmp_path):
    monkeypatch.setattr("dghin.report.figures.live.DisplayHandle", Shown)
    return lambda every: LiveCurves(tmp_path / "log.jsonl", every)


def test_it_draws_when_the_log_has_grown(curves_of, tmp_path):
    with curves_of(0.0) as curves:
        curves()  # no log yet
        (tmp_path / "log.jsonl").write_text('{"kind": "start", "iteration": 0}\n')
        curves()  # no losses yet
        assert len(curves.handle.all) == 1
        for i in (1, 2):
            with open(tmp_path / "log.jsonl", "a") as file:
                file.write(line(i) + '{"half')
            curves()
            curves()  # nothing new
            text = (tmp_path / "log.jsonl").read_text().removesuffix('{"half')
            (tmp_path / "log.jsonl").write_text(text)
    first, *pictures, last = curves.handle.all
    assert first.data == WAITING and last.data == DONE
    assert len(pictures) == 2 and all(p.data.startswith(b"\x89PNG") for p in pictures)


def test_it_draws_no_more_often_than_asked(curves_of, tmp_path):
    with curves_of(3600.0) as curves:
        for i in range(1, 5):
            with open(tmp_path / "log.jsonl", "a") as file:
                file.write(line(i))
            curves()
    assert len(curves.handle.all) == 3


def test_lines_of_an_earlier_life_are_not_drawn_anew(curves_of, tmp_path):
    (tmp_path / "log.jsonl").write_text(line(1))
    with curves_of(0.0) as curves:
        curves()
        assert len(curves.handle.all) == 1


def test_after_a_failure_the_picture_stays(curves_of, tmp_path):
    with pytest.raises(RuntimeError), curves_of(3600.0) as curves:
        (tmp_path / "log.jsonl").write_text(line(1))
        raise RuntimeError
    assert curves.handle.all[-1].data.startswith(b"\x89PNG")


def test_in_a_notebook_the_picture_is_replaced(tmp_path):
    """Under papermill: one output, the curves while it runs."""
    source = f"""
    from dghin.report.figures.live import LiveCurves
    path = {str(tmp_path / "log.jsonl")!r}
    with LiveCurves(path, 0.0) as curves:
        for i in range(1, 4):
            with open(path, "a") as file:
                print('{{"kind": "train", "iteration": %d, "loss": 1, "lr": 1}}' % i, file=file)
            curves()
        raise RuntimeError("as a training that fails")
    """
    cell = nbformat.v4.new_code_cell(textwrap.dedent(source))
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(notebook, tmp_path / "in.ipynb")
    with pytest.raises(papermill.PapermillExecutionError):
        papermill.execute_notebook(
            str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb"), cwd=str(ROOT),
            progress_bar=False,
        )  # fmt: skip
    executed = nbformat.read(tmp_path / "out.ipynb", 4)
    outputs = [x for c in executed.cells if c.cell_type == "code" for x in c.outputs]
    shown = [output for output in outputs if output.output_type == "display_data"]
    assert len(shown) == 1 and "image/png" in shown[0].data
