"""Tests that run beside each other take no more threads than there are cores."""

import os
import re
from pathlib import Path

import pytest
import torch
from helpers.threads import SHARE, WORKERS, give_back

from data_preprocess.base.workers import cores

ROOT = Path(__file__).parent.parent


def test_a_process_has_its_share_and_so_have_those_that_it_starts():
    assert WORKERS * SHARE <= max(cores(), WORKERS)
    assert torch.get_num_threads() <= SHARE
    assert int(os.environ["OMP_NUM_THREADS"]) <= SHARE


def test_what_a_test_takes_is_given_back():
    torch.set_num_threads(SHARE + 1)
    give_back()
    assert torch.get_num_threads() == SHARE


@pytest.mark.parametrize("file", ["Makefile", ".ci/run"])
def test_several_processes_of_tests_have_one_thread_each(file):
    lines = re.findall(r"^.*-m pytest.* -n .*$", (ROOT / file).read_text("utf-8"), re.M)
    assert lines and all("OMP_NUM_THREADS=1 " in line for line in lines), lines
