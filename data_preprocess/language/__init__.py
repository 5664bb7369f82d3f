"""Expressions as the network reads them: word ids, part of speech, dependency edges."""

from typing import Any

__all__ = ["LanguageEncoder"]


def __getattr__(name: str) -> Any:
    """LanguageEncoder is imported on first use: what reads features only does without it."""
    if name in __all__:
        from .encoder import LanguageEncoder

        return LanguageEncoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
