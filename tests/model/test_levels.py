"""The levels' linear short cuts equal the plain formulas."""

import pytest
import torch
import torch.nn.functional as F

from dghin.model.dghin import DGHIN
from dghin.model.levels import (
    LEAST_CHANNELS,
    Head,
    ShallowLevel,
    convolve_enlarged,
    coordinates,
    enlarging_window,
    window_inside,
    with_coordinates,
)

torch.manual_seed(0)


def test_convolving_an_enlarged_map_equals_interpolate_and_convolve():
    x, weight = torch.randn(2, 3, 4, 5).double(), torch.randn(6, 3, 3, 3).double()
    plain = F.conv2d(F.interpolate(x, (8, 10), mode="bilinear"), weight, padding=1)
    assert torch.allclose(convolve_enlarged(x, weight, (8, 10)), plain, atol=1e-12)


def test_the_shallow_level_equals_convolving_all_three_parts_together():
    level = ShallowLevel(3, 4).double().eval()
    visual, context = torch.randn(2, 3, 5, 6).double(), torch.randn(2, 3).double()
    tiled = F.normalize(context, dim=1)[:, :, None, None].expand(-1, -1, 5, 6)
    image = with_coordinates(F.normalize(visual, dim=1))
    whole = torch.cat([image[:, :3], tiled, image[:, 3:]], dim=1)
    convolution, norm, activation = level
    plain = activation(norm(convolution(whole)))
    assert torch.allclose(level(level.see(visual), context), plain, atol=1e-12)


def test_a_window_at_the_border_has_places_outside():
    inside = window_inside(torch.zeros(1, 1, 3, 4))
    assert inside.shape == (12, 9)
    assert inside.sum(1).reshape(3, 4)[1, 1] == 9 and inside[0].sum() == 4


def test_a_narrow_head_keeps_channels_enough_to_mark_anything():
    assert Head(32)[2].in_channels == LEAST_CHANNELS
    assert Head(512)[2].in_channels == 32


@pytest.mark.parametrize(("small", "large"), [((2, 3), (4, 6)), ((3, 5), (7, 8)), ((4, 1), (4, 2))])
def test_convolving_an_enlarged_map_without_enlarging_it(small, large):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 5, *small), torch.randn(6, 5, 3, 3)
    enlarged = F.interpolate(x, large, mode="bilinear", align_corners=False)
    found = convolve_enlarged(x, weight, large)
    torch.testing.assert_close(found, F.conv2d(enlarged, weight, padding=1), atol=1e-5, rtol=1e-5)


def test_coordinates():
    x = with_coordinates(torch.zeros(2, 3, 4, 4))
    assert x.shape == (2, 11, 4, 4)
    x_min, y_min, x_max, y_max, x_centre, y_centre, height, width = x[0, 3:]
    assert x_min[:, 0].tolist() == [-1, -0.5, 0, 0.5]  # "x" runs down the rows
    assert y_max[0].tolist() == [-0.5, 0, 0.5, 1]
    torch.testing.assert_close(x_centre, (x_min + x_max) / 2)
    torch.testing.assert_close(y_centre, (y_min + y_max) / 2)
    assert (height == 0.25).all() and (width == 0.25).all()
    assert x_max.max() == 1 and y_min.min() == -1


def test_what_is_made_once_is_what_would_be_made_now(tiny_config):
    """Coordinates and enlarging tables are buffers for the usual sides, and made for others."""
    torch.manual_seed(0)
    model = DGHIN(tiny_config.model).eval()
    made = {name for name, _ in model.named_buffers()} - {*model.state_dict()}
    assert {"levels.0.coordinates", "decoder.merge.0.table"} <= made
    x, weight = torch.randn(1, 4, 3, 3), torch.randn(2, 4, 3, 3)
    table = enlarging_window(3, 6)
    assert torch.equal(convolve_enlarged(x, weight, (6, 6), table),
                       convolve_enlarged(x, weight, (6, 6)))  # fmt: skip
    assert torch.equal(with_coordinates(x, coordinates(3, 3)), with_coordinates(x))
    assert torch.equal(with_coordinates(x, coordinates(2, 3)), with_coordinates(x))
    for level, side in zip((model.shallow_level, *model.levels), (16, 8, 4, 2), strict=True):
        assert torch.equal(level.coordinates, coordinates(side, side))


@pytest.mark.parametrize("share", [0.03, 0.5])
@pytest.mark.parametrize("width", [32, 512])
def test_a_head_starts_at_a_share_of_the_referents_pixels(share, width):
    """On any map: the last norm makes of it what it is. Half of the channels speak for either."""
    torch.manual_seed(0)
    head = Head(width)
    head.start_at(share)
    found = head(torch.randn(4, width, 16, 16)).softmax(dim=1)[:, 1]
    assert found.median().item() == pytest.approx(share, rel=0.5)
    difference = (head[2].weight[0] - head[2].weight[1]).flatten()
    assert ((difference > 0).sum() == len(difference) // 2) or share == 0.5
