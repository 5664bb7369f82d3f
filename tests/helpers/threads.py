"""Threads of the tests: a process's share of the cores, set before torch and NumPy are imported."""

import os
import sys

from data_preprocess.base.workers import cores

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))  # processes that run tests
SHARE = max(1, cores() // WORKERS)


def set_share() -> None:
    """For this process and those that it starts; who asks for fewer gets fewer.

    pytest-xdist's first process, which runs no tests, sets all cores, and its workers inherit it.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    os.environ["OMP_NUM_THREADS"] = str(min(int(asked), SHARE) if asked.isdecimal() else SHARE)


def give_back() -> None:
    """Take from torch what a test has given it beyond the share."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() > SHARE:
        torch.set_num_threads(SHARE)
