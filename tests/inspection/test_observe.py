"""Inspection: it changes nothing, and what it shows is what the network computed."""

import numpy as np
import pytest
import torch

from data_preprocess.base.errors import UserError
from dghin.data.batches import collate, model_inputs
from dghin.data.dataset import open_split
from dghin.evaluation.answers import AT_ONCE
from dghin.inspection.observe import observe
from dghin.inspection.predictor import Predictor
from dghin.inspection.word_effects import effects_table, word_effects
from dghin.model.graphs import TextGraph, edge_weights
from dghin.report.figures.word_effects import word_effects_figure


def test_observing_changes_nothing(tiny_model, tiny_config):
    dataset = open_split(tiny_config, "val")
    inputs = model_inputs(collate([dataset[0], dataset[1]], share_images=False))
    with torch.inference_mode():
        plain = tiny_model(**inputs)
        with observe(tiny_model) as seen:
            observed = tiny_model(**inputs)
    assert torch.equal(plain.mask, observed.mask)
    assert seen.word_attention(1).shape == (2, 17, 8, 8)
    torch.testing.assert_close(seen.word_attention(2, graph=True).sum(1), torch.ones(2, 4, 4))
    rows = seen.visual_rows(1, [0, 9])
    assert rows.shape == (2, 2, 8, 8) and seen.grid(3) == (2, 2)
    torch.testing.assert_close(rows.sum((-1, -2)), torch.ones(2, 2))
    with pytest.raises(ValueError, match="level 0"):
        seen.visual_rows(0, [0])
    with pytest.raises(ValueError, match=r"patches \[64\]: level 1 has 64, from 0 to 63"):
        seen.visual_rows(1, [64])
    assert not any(m._forward_pre_hooks for m in tiny_model.modules())


def test_a_prediction_holds_its_own_expression(predictor, photo):
    texts = ["the left cat", "a dog in a red coat"]
    both = predictor.predict(photo, texts, inspect=True)
    plain = predictor.predict(photo, texts)
    for number, (text, result) in enumerate(zip(texts, both, strict=True)):
        assert np.array_equal(result.mask, plain[number].mask) and plain[number].seen is None
        alone = predictor.predict(photo, text, inspect=True).seen
        for level in (1, 2, 3):
            for graph in (False, True):
                found = result.seen.word_attention(level, graph)
                assert found.shape[0] == 1
                torch.testing.assert_close(found, alone.word_attention(level, graph))
            rows = result.seen.visual_rows(level, [0, 3])
            torch.testing.assert_close(rows, alone.visual_rows(level, [0, 3]))
            assert rows.shape == (1, 2, *result.seen.grid(level))


def test_the_visual_rows_are_the_ones_that_the_network_multiplied(predictor, photo):
    """G X Wc with the asked rows, put together, is what the fused attention gave."""
    seen = predictor.predict(photo, "cat", inspect=True).seen
    graph = predictor.model.levels[2].visual_graph
    (visual,) = seen.inputs[3, "visual_graph"]
    rows = seen.visual_rows(3, range(4)).flatten(2)  # (1, 4, 4)
    with torch.no_grad():
        x = graph.activation(rows @ graph.value(graph.nodes(visual))).transpose(1, 2)
        expected = torch.nn.functional.normalize(x.view_as(visual), dim=1) + visual
        torch.testing.assert_close(graph(visual), expected, atol=1e-5, rtol=1e-4)


def test_edge_weights_are_those_of_the_graph_convolution(encoder):
    """A convolution without weights over unit vectors gives its own matrix."""
    adjacency = torch.from_numpy(encoder("the woman in the red coat").adjacency)[None]
    layer = TextGraph(17).convolution
    with torch.no_grad():
        layer.lin.weight.copy_(torch.eye(17))
        layer.bias.zero_()
        found = layer(torch.eye(17)[None], adjacency.transpose(1, 2))
    torch.testing.assert_close(edge_weights(adjacency), found)


def test_edges_run_from_child_to_head(predictor, photo):
    result = predictor.predict(photo, "the red cat", inspect=True)
    edges = result.seen.edges(result.language.adjacency)
    between = {(e.child, e.head): e.weight for e in edges if e.child != e.head}
    assert set(between) == {(1, 3), (2, 3)}  # "the" and "red" hang below "cat"
    assert between[1, 3] == pytest.approx(1 / np.sqrt(3))  # cat: itself and two children
    assert {e.child for e in edges if e.child == e.head} == set(range(17))


def test_what_was_left_out_is_named(tiny_config, encoder, photo):
    import dataclasses

    from dghin.model.dghin import DGHIN

    config = dataclasses.replace(
        tiny_config.model, text_graph=False, visual_graph=False, interaction="entity"
    )
    seen = Predictor(DGHIN(config).eval(), encoder).predict(photo, "a cat", inspect=True).seen
    assert seen.edges(np.eye(17)) == [] and seen.word_attention(1).shape == (1, 17, 8, 8)
    with pytest.raises(UserError, match="visual_graph, level 1: this network was built without"):
        seen.visual_rows(1, [0])
    with pytest.raises(UserError, match="graph_attention, level 2"):
        seen.word_attention(2, graph=True)


def test_effects_are_masks_without_a_word(predictor, photo):
    effects = word_effects(predictor, photo, "the  left cat")
    assert [effect.word for effect in effects] == ["the", "left", "cat"]
    assert [effect.rest for effect in effects] == ["left cat", "the cat", "the left"]
    for effect in effects:
        alone = predictor.predict(photo, effect.rest).mask
        assert np.array_equal(effect.without.mask, alone)
        back = (effect.whole.mask & ~effect.lost) | effect.gained
        assert np.array_equal(back, alone) and 0 <= effect.iou <= 1
    table = effects_table(effects)
    assert table["Word"].tolist() == ["the", "left", "cat"]
    first = effects[0]
    if first.whole.mask.any():
        expected = 100 * first.lost.sum() / first.whole.mask.sum()
        assert table["Lost"].iloc[0] == pytest.approx(expected)
    assert word_effects(predictor, photo, "cat") == [] and effects_table([]).empty


def test_a_panel_for_every_word(predictor, photo):
    effects = word_effects(predictor, photo, "the red cat left of the dog")
    figure = word_effects_figure(np.asarray(photo), effects)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    shown = [title.partition("\n")[0] for title in titles]
    assert shown == [f"without “{word}”" for word in "the red cat left of the dog".split()]
    with pytest.raises(ValueError, match="no effects"):
        word_effects_figure(np.asarray(photo), [])


def test_many_words_go_through_in_batches_of_bounded_size(predictor, photo, monkeypatch):
    """And what reads the same to the network is answered, and kept, once."""
    words = ["red", "cat"] * 30
    sizes, encode = [], predictor.encoder.encode
    monkeypatch.setattr(
        predictor.encoder, "encode", lambda texts: (sizes.append(len(texts)), encode(texts))[1]
    )
    effects = word_effects(predictor, photo, " ".join(words))
    assert [effect.word for effect in effects] == words and max(sizes) <= AT_ONCE
    assert effects[-1].without.mask is effects[-2].without.mask
    assert np.array_equal(
        effects[-1].whole.mask, effects[-1].without.mask
    )  # past the last position
    assert [len(effect.without.language.pieces) for effect in effects] == [59] * 60


def test_a_word_whose_rest_cannot_be_read_has_no_effect(predictor, photo):
    effects = word_effects(predictor, photo, "cat \u200b")
    assert [effect.word for effect in effects] == ["\u200b"]
