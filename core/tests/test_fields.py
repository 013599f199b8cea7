"""How a form comes back that was filled in wrongly."""

import re

from django import forms
from django.template.loader import render_to_string


class Order(forms.Form):
    cart = forms.CharField()
    day = forms.DateField()
    hours = forms.IntegerField()


def drawn(form: Order) -> str:
    return render_to_string("components/form_fields.html", {"form": form})


def focused(html: str) -> list[str]:
    return re.findall(r'<input[^>]*name="(\w+)"[^>]* autofocus', html)


def test_form_that_was_wrong_announces_each_error_and_focuses_the_first() -> None:
    html = drawn(Order({"cart": "7", "day": "soon", "hours": "many"}))

    assert focused(html) == ["day"]
    assert html.count('<div role="alert">') == 2


def test_form_that_was_not_sent_takes_the_focus_nowhere() -> None:
    html = drawn(Order())

    assert focused(html) == []
    assert "alert" not in html
