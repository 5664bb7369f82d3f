"""timm is imported whatever torch torchvision was built for."""

import subprocess
import sys

import pytest

from dghin.run.timm_import import timm


def test_timm_is_whole():
    assert "efficientnet_lite0" in timm.list_models("efficientnet_lite0")
    assert timm.models.swin_transformer.SwinTransformerStage


@pytest.mark.slow
def test_models_of_transformers_can_be_imported_after_it():
    program = "import dghin.run.timm_import; from transformers import CLIPSegProcessor, Sam3Model"
    subprocess.run([sys.executable, "-c", program], check=True)
