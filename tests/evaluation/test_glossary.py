"""The glossary explains every protocol that scores are given under."""

from dghin.evaluation.glossary import glossary_table
from dghin.evaluation.metrics import PROTOCOLS


def test_every_protocol_is_explained():
    table = glossary_table()
    text = " ".join(map(str, table.to_numpy().ravel()))
    assert all(name in text for name in PROTOCOLS)
    assert table.notna().all().all() and not table.duplicated().any()


def test_protocols_name_the_methods_that_use_them():
    used = glossary_table().set_index("Name")["Used by"]
    for name in ("EVF-SAM", "LISA", "GSVA", "GLaMM", "Sa2VA"):
        assert name in used["strict"] and name not in used["resized"]
    assert "LAVT (at 480 × 480)" in used["resized"]
    assert "ReLA scores at 480 × 480" in used["resized"] and "polygons" in used["resized"]
