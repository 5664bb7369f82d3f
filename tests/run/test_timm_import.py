"""timm is imported whatever torch torchvision was built for."""

from dghin.run.timm_import import timm


def test_timm_is_whole():
    assert "efficientnet_lite0" in timm.list_models("efficientnet_lite0")
    assert timm.models.swin_transformer.SwinTransformerStage
