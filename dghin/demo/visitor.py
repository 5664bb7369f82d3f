"""Which photo a visitor of the page sees, so that no answer is about another one.

A photo can be chosen while an older one is still read, and a question can be on its way meanwhile.
So the photos that are chosen in a tab of a browser are numbered there, each event carries the
number of the photo it is about, and the page answers one event at a time. What comes late is
dropped: the reading of a photo after which another one was chosen, and a question about a photo
that is no longer shown.
"""

from dataclasses import dataclass

from .views import Given


@dataclass(frozen=True)
class Session:
    """What one visitor sees: a photo, its number in the visitor's tab, what was last asked of it.

    given: None where no photo was given yet, or where it could not be read.
    """

    number: int = 0
    given: Given | None = None
    text: str = ""


@dataclass(eq=False)
class Visitor:
    """One tab's session, and the number of the photo chosen last, which may still be unread."""

    session: Session = Session()
    chosen: int = 0

    def choose(self, number: int) -> None:
        """Take note of a photo that was chosen; notes may come in any order."""
        self.chosen = max(self.chosen, number)

    def chose_another(self, number: int) -> bool:
        """Whether a photo was chosen after the one of this number, so that nobody waits for it."""
        return number < self.chosen

    def sees_another(self, number: int) -> bool:
        """Whether another photo is shown than the one of this number."""
        return self.session.given is not None and self.session.number != number
