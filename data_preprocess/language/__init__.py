"""Expressions as the network reads them: word ids, part of speech, dependency edges."""

from .encoder import LanguageEncoder

__all__ = ["LanguageEncoder"]
