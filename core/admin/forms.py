"""Django's ModelForm under a name that can be annotated: its generics exist only for the type checker."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.forms import ModelForm

    AnyModelForm = ModelForm[Any]
else:
    from django.forms import ModelForm as AnyModelForm

__all__ = ["AnyModelForm"]
