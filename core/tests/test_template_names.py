"""A misspelt name in a template of ours is found by whichever test draws it."""

import pytest
from django.template import engines
from django.template.loader import render_to_string


def test_name_that_no_context_holds_fails_the_test() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"“kind”, which .*components/badge\.html reads"):
        render_to_string("components/badge.html", {"word": "Free"})


def test_name_below_a_value_that_has_none_fails_the_test() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"“hop\.label”, which .*components/stepper\.html reads"):
        render_to_string("components/stepper.html", {"hops": [{"state": "now", "seconds": None}]})


def test_templates_of_libraries_may_do_without() -> None:
    drawn = engines["django"].from_string("[{{ nobody.gives.this }}] {{ nor.this|length }}").render({})

    assert drawn == "[] 0"
