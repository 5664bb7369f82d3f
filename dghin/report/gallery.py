"""A gallery: small copies of a run's figures on one Markdown page, which GitHub and editors show.

    dghin report run=demo gallery=reports/demo/gallery
    dghin report run=demo gallery=docs/gallery   the one that this repository holds

Notebook 06 makes it, too. Pictures are WebP of at most WIDTH pixels' width.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_text

PAGE = "README.md"
TITLE = "# Gallery of the run "  # so its page begins
WIDTH, QUALITY = 960, 80
FIGURES = {  # in the order of the page; those that a run lacks are left out
    "samples_train": "The data: objects of the training split, outlined, with their expressions.",
    "dependency_1": "The word graph: arrows run from each word to the one it depends on; colours "
    "are parts of speech.",
    "masks_best": "The best masks of a test split, by rule: photo, truth, prediction, and where "
    "they differ.",
    "masks_median": "Median masks: as many expressions do better as do worse.",
    "masks_wrong_object": "A failure: the mask lies on another object, as the words were misread.",
    "masks_partial": "A failure: a part of the object only.",
    "masks_leak": "A failure: the object is marked, and more beside it: over its border "
    "or on other things.",
    "word_attention": "Words over the image: the share of each word piece in each patch, in "
    "percent.",
    "word_effects": "What each word does: the same expression read without it, and what the mask "
    "loses and takes up.",
    "visual_graph_trained": "The patch graph: from which patches the marked one gathers, at three "
    "levels.",
    "controls": "How far the answer follows the words: from the score with the real expression to "
    "the one under a control.",
    "by_kind": "Scores by kind of expression, with counts and 95 % intervals.",
    "learning_curves": "The training: losses and the score on the validation split.",
}


def write_gallery(folder: Path, output: Path | None = None) -> Path:
    """The gallery of a run's folder; → its page.

    output: the folder it becomes (default: `gallery` in the run's); one that is there is replaced.
    """
    figures = folder / "figures"
    there = {name: figures / f"{name}.png" for name in FIGURES}
    there = {name: path for name, path in there.items() if path.is_file()}
    if not there:
        raise UserError(
            f"{figures}: none of the figures of a gallery. Make them: "
            f"dghin reproduce run={folder.name}"
        )
    output = output or folder / "gallery"
    if output.exists() and not is_gallery(output):
        raise UserError(
            f"{output.absolute()}: is there, and no gallery alone; it would be lost. Name another "
            "folder: gallery=FOLDER."
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".gallery-", dir=output.parent))
    try:
        made.chmod(0o755)  # mkdtemp makes it private
        for name, path in there.items():
            shrink(path, made / f"{name}.webp")
        write_text(made / PAGE, page(folder.name, list(there)))
        if output.exists():
            shutil.rmtree(output)
        made.rename(output)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return output / PAGE


def is_gallery(folder: Path) -> bool:
    """Whether a folder holds a gallery and nothing else: only such a one may be replaced."""
    try:
        beginning = (folder / PAGE).read_text(encoding="utf-8")[: len(TITLE)]
        others = [p for p in folder.iterdir() if p.name != PAGE and p.suffix != ".webp"]
    except (OSError, UnicodeDecodeError):
        return False
    return beginning == TITLE and not others


def shrink(source: Path, target: Path) -> None:
    """A picture as WebP, no wider than WIDTH."""
    with Image.open(source) as picture:
        small = picture.convert("RGB")
    if small.width > WIDTH:
        height = round(small.height * WIDTH / small.width)
        small = small.resize((WIDTH, height), Image.Resampling.LANCZOS)
    small.save(target, quality=QUALITY, method=6)


def page(run: str, names: Sequence[str]) -> str:
    """The Markdown of the page."""
    parts = [
        f"{TITLE}`{run}`",
        "Made by the notebooks; chosen by rule and seed, not by hand. "
        f"`dghin report run={run} gallery=FOLDER` makes it anew.",
    ]
    parts += [f"![{FIGURES[name]}]({name}.webp)\n\n*{FIGURES[name]}*" for name in names]
    return "\n\n".join(parts) + "\n"
