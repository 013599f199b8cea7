"""What customers and managers type."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from core.errors import InvalidInput
from tenants.phones import ascii_digits, countries, normalise_phone


class PhoneForm(forms.Form):
    """A mobile number with its country; `cleaned_data["e164"]` is the one spelling."""

    country = forms.ChoiceField(label=_("Country"), choices=[])
    phone = forms.CharField(label=_("Mobile number"), max_length=20)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(region, f"{region} {prefix}") for region, prefix in countries()]
        field = self.fields["country"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def clean(self) -> dict[str, Any]:
        """Bring the number to E.164."""
        data = super().clean() or {}
        if "phone" in data and "country" in data:
            try:
                data["e164"] = normalise_phone(data["phone"], data["country"])
            except InvalidInput as error:
                for message in error.errors["phone"]:
                    self.add_error("phone", str(message))
        return data


class CodeForm(forms.Form):
    """The code from the SMS; digits of any script."""

    code = forms.CharField(label=_("6-digit code"), max_length=12)

    def clean_code(self) -> str:
        """Six ASCII digits, however they were typed."""
        digits = ascii_digits(self.cleaned_data["code"])
        if len(digits) != 6:
            raise forms.ValidationError(_("The code has six digits."))
        return digits


class NoteForm(forms.Form):
    """Why a cart is taken out of service."""

    note = forms.CharField(label=_("What is wrong with it?"), max_length=200, widget=forms.Textarea(attrs={"rows": 3}))


class ReasonForm(forms.Form):
    """Why staff end a rental."""

    reason = forms.CharField(label=_("Why do you end it?"), max_length=200)
