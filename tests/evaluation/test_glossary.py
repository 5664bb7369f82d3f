"""The glossary explains every protocol that scores are given under."""

from dghin.evaluation.glossary import glossary_table
from dghin.evaluation.metrics import PROTOCOLS


def test_every_protocol_is_explained():
    table = glossary_table()
    text = " ".join(map(str, table.to_numpy().ravel()))
    assert all(name in text for name in PROTOCOLS)
    assert table.notna().all().all() and not table.duplicated().any()
