"""The network's parts as they are shown: shapes from hooks, formulas beside their code."""

import inspect

from data_preprocess.language.parts_of_speech import NAMES
from dghin.data.dataset import open_split
from dghin.inspection.parts import FORMULAS, formula_cards, paper_parts, parts_of, walk, words_table


def test_a_network_without_memory_has_the_real_ones_shapes(tiny_model, tiny_config):
    """Every part is a row once, and its parameters are those of the modules."""
    real = walk(tiny_model, open_split(tiny_config, "val"), 0)
    assert paper_parts(tiny_config.model).equals(real)
    assert sorted(real["Part"]) == sorted(name for name, _ in parts_of(tiny_model))
    assert real["Parameters"].sum() == sum(p.numel() for p in tiny_model.parameters())
    found = real.set_index("Part")
    assert found.loc["level 1: visual_graph", "Gives"] == "1 × 16 × 8 × 8"
    assert found.loc["head", "Gives"] == "1 × 2 × 16 × 16"
    assert found.loc["level 1: text_graph", "Reads"] == "1 × 17 × 16, 1 × 17 × 17"
    assert not any(part._forward_hooks for part in tiny_model.modules())


def test_words_with_their_heads(encoder):
    table = words_table(encoder("the red circle"), NAMES)
    assert list(table["Word piece"]) == ["the", "red", "circle"]
    assert list(table["Head"]) == ["circle", "circle", "root"]


def test_formulas_stand_beside_the_code_that_runs():
    text = formula_cards()
    for part, formula in FORMULAS.items():
        assert f"$${formula}$$" in text
        assert inspect.getsource(part.forward).strip().splitlines()[-1].strip() in text
