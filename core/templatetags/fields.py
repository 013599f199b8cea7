"""How the controls of forms are drawn."""

from django import template
from django.forms import BoundField
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def control(field: BoundField) -> SafeString:
    """The field's control. The first one that is wrong has the cursor, so that what is wrong with it is read out."""
    first_wrong = next((each.name for each in field.form if each.errors), None)
    return field.as_widget(attrs={"autofocus": True} if field.name == first_wrong else {})
