"""Django's forms of rows, under names that can be annotated: their generics exist only for the type checker."""

from typing import TYPE_CHECKING, Any

from django.forms import ModelChoiceField

if TYPE_CHECKING:
    from django.forms import BaseInlineFormSet, ModelForm

    AnyModelForm = ModelForm[Any]
    AnyInlineFormSet = BaseInlineFormSet[Any, Any, AnyModelForm]
else:
    from django.forms import ModelForm as AnyModelForm
    from unfold.forms import PaginationInlineFormSet as AnyInlineFormSet

__all__ = ["AnyModelForm", "OwnRowsFormSet"]


class OwnRowsFormSet(AnyInlineFormSet):
    """Rows on the page of what they belong to. Another's key is as unknown as nobody's.

    Django alone takes each key there is, changes nothing and says that it is done.
    """

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        key = form.fields[form._meta.model._meta.pk.name]
        if isinstance(key, ModelChoiceField):
            key.queryset = self.get_queryset()
