"""What managers type."""

from django import forms
from django.utils.translation import gettext_lazy as _


class NoteForm(forms.Form):
    """Why a cart is taken out of service."""

    note = forms.CharField(label=_("What is wrong with it?"), max_length=200, widget=forms.Textarea(attrs={"rows": 3}))


class ReasonForm(forms.Form):
    """Why staff end a rental."""

    reason = forms.CharField(label=_("Why do you end it?"), max_length=200)
