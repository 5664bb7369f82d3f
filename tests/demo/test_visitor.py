"""Whose answers come too late: by the numbers of photos alone."""

from dghin.demo.views import Given
from dghin.demo.visitor import Session, Visitor


def test_a_photo_after_which_another_was_chosen_is_not_waited_for():
    visitor = Visitor()
    for number in (2, 1):  # notes may come in any order
        visitor.choose(number)
    assert visitor.chose_another(1) and not visitor.chose_another(2)


def test_a_question_is_about_the_photo_that_is_shown():
    visitor = Visitor(Session(2, Given(0)))
    assert visitor.sees_another(1) and not visitor.sees_another(2)


def test_without_a_photo_a_question_is_never_late():
    """It is answered: give a photo first. So it is after a server's restart, which knows none."""
    assert not Visitor().sees_another(7)
