"""What is typed on the people pages. Each is made for its asker, who is offered only what they may give."""

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.errors import Text
from tenants.directory import Places, places, places_to_give, roles_to_give
from tenants.enums import RoleCode
from tenants.models import Branch, Chain, Role, User

PLATFORM = "platform"
Choices = list[tuple[Text, Any]]


def place_choices(found: Places) -> Choices:
    """Chains with their branches below them, as a select shows them."""
    chains = {chain.pk: chain for chain in found.chains}
    groups: dict[Any, tuple[Text, Choices]] = {
        pk: (chain.name, [(f"chain:{pk}", _("%(chain)s, every branch") % {"chain": chain.name})])
        for pk, chain in chains.items()
    }
    for branch in found.branches:
        group = groups.setdefault(branch.chain_id, (branch.chain.name, []))
        group[1].append((f"branch:{branch.pk}", branch.name))
    shown: Choices = [(PLATFORM, _("The whole platform"))] if found.everywhere else []
    return [*shown, *groups.values()]


class PlaceField(forms.ChoiceField):
    """A chain, a branch or the platform; cleans to the row, or None for the platform."""

    def offer(self, found: Places) -> None:
        """Let these be chosen, and nothing else."""
        self.rows: dict[str, Chain | Branch | None] = {f"chain:{chain.pk}": chain for chain in found.chains}
        self.rows |= {f"branch:{branch.pk}": branch for branch in found.branches}
        if found.everywhere:
            self.rows[PLATFORM] = None
        choices = place_choices(found)
        self.choices = [("", _("Choose a place")), *choices] if len(self.rows) > 1 else choices

    def clean(self, value: Any) -> Chain | Branch | None:
        return self.rows[super().clean(value)]


def in_place(place: Chain | Branch | None) -> dict[str, Any]:
    """A place as services take it."""
    return {
        "chain": place if isinstance(place, Chain) else None,
        "branch": place if isinstance(place, Branch) else None,
    }


class _RoleAndPlace(forms.Form):
    role = forms.ModelChoiceField(label=_("Role"), queryset=Role.objects.none(), to_field_name="code", empty_label=None)
    place = PlaceField(label=_("Where"))

    def _offer(self, roles: Iterable[Role], found: Places) -> None:
        role, place = self.fields["role"], self.fields["place"]
        assert isinstance(role, forms.ModelChoiceField)
        assert isinstance(place, PlaceField)
        role.queryset = Role.objects.filter(pk__in=[each.pk for each in roles])
        place.offer(found)


class GiveRoleForm(_RoleAndPlace):
    """A role for somebody, perhaps for a time."""

    until = forms.DateField(
        label=_("Until and with"),
        required=False,
        help_text=_("Empty: for good."),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, *args: Any, asker: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offer(roles_to_give(asker), places_to_give(asker))

    def clean_until(self) -> datetime | None:
        """The end of that day."""
        day = self.cleaned_data["until"]
        if day is None:
            return None
        if not 2000 <= day.year <= 2999:
            raise forms.ValidationError(_("Give a day that can be reckoned with."))
        end = timezone.make_aware(datetime.combine(day, time.min)) + timedelta(days=1)
        if end <= timezone.now():
            raise forms.ValidationError(_("That day is over."))
        return end


class InviteForm(_RoleAndPlace):
    """A role for whoever reads the mail of an address."""

    email = forms.EmailField(label=_("E-mail"), widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    name = forms.CharField(
        label=_("Name"), max_length=255, required=False, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )

    field_order = ("email", "name", "role", "place")

    def __init__(self, *args: Any, asker: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offer(roles_to_give(asker), places_to_give(asker))


class SeeAsForm(_RoleAndPlace):
    """A role to look at the product with; customers' too."""

    def __init__(self, *args: Any, asker: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offer(roles_to_give(asker, besides={RoleCode.SUPPORT_ACCESS}), places(asker, "branches:view"))


class WhyForm(forms.Form):
    """A reason that others will read."""

    reason = forms.CharField(label=_("Why?"), max_length=200, widget=forms.Textarea(attrs={"rows": 3}))


class SupportAccessForm(forms.Form):
    """Which chain, why and for how long."""

    chain = forms.ModelChoiceField(label=_("Chain"), queryset=Chain.objects.none(), empty_label=_("Choose a chain"))
    reason = forms.CharField(
        label=_("Why?"),
        max_length=300,
        help_text=_("The managers of the chain read it."),
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    lasts = forms.TypedChoiceField(
        label=_("For how long?"),
        coerce=lambda minutes: timedelta(minutes=int(minutes)),
        initial="60",
        choices=[
            ("15", _("15 minutes")),
            ("60", _("1 hour")),
            ("240", _("4 hours")),
            ("480", _("8 hours")),
        ],
    )

    def __init__(self, *args: Any, asker: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chain = self.fields["chain"]
        assert isinstance(chain, forms.ModelChoiceField)
        chain.queryset = Chain.objects.filter(pk__in=[each.pk for each in places(asker, "support_access:open").chains])
