"""The pages behind buttons: ask, do, show. And what stands around an object's form."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from core.admin.buttons import Button, Link, Press, ShownOnce, offered_buttons, offered_links
from core.admin.links import list_url
from core.admin.requester import may
from core.errors import DomainError, Text
from core.keys import key_of_form
from core.transitions import IllegalTransition
from core.views import say

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    AnyAdmin = ModelAdmin[Any]
else:
    AnyAdmin = object


MOST_NAMES = 20


@dataclass(frozen=True, slots=True)
class Panel:
    """A small table below an object's form: its latest related rows. `more` leads to all of them."""

    title: Text
    headers: Sequence[Text]
    rows: Sequence[Sequence[object]]
    more: str = ""


class ButtonPages(AnyAdmin):
    """Buttons, links and panels of an admin."""

    buttons: ClassVar[Sequence[Button]] = ()
    links: ClassVar[Sequence[Link]] = ()

    def describe(self, obj: Any) -> str:
        """One line that tells an object from others, for search results and questions."""
        return str(obj)

    def get_panels(self, request: HttpRequest, obj: Any) -> Iterable[Panel]:
        """Tables below the form of an object."""
        return ()

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.press_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_press"
        return [path("<path:object_id>/do/<slug:button>/", view, name=name), *super().get_urls()]

    def all_buttons(self) -> tuple[Button, ...]:
        """This admin's own and those other apps offered."""
        return (*self.buttons, *offered_buttons(self.model))

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if obj is not None and not context.get("is_popup"):
            context["press_key"] = uuid4().hex
            context["press_buttons"] = [
                {"button": button, "url": self._press_url(obj, button)}
                for button in self.all_buttons()
                if may(request, button.permission, obj) and button.when(obj)
            ]
            context["page_links"] = [*self._page_links(request, obj), *self._list_links(request, obj)]
            context["panels"] = list(self.get_panels(request, obj))
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _press_url(self, obj: Any, button: Button) -> str:
        opts = self.opts
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_press", args=[obj.pk, button.name])

    def _page_links(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        links = (*self.links, *offered_links(self.model))
        found = [(link, link.url(obj)) for link in links if not link.permission or may(request, link.permission, obj)]
        return [{"label": link.label, "url": url, "icon": link.icon} for link, url in found if url]

    def _list_links(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        """Lists that can be narrowed to this object."""
        return [
            {
                "label": capfirst(str(other.opts.verbose_name_plural)),
                "url": f"{list_url(other.model)}?{lookup}={obj.pk}",
                "icon": getattr(other, "icon", "table_rows"),
            }
            for other in self.admin_site._registry.values()
            if (lookup := _filter_to(other, self.model)) and other.has_view_permission(request)
        ]

    def press_view(self, request: HttpRequest, object_id: str, button: str) -> HttpResponseBase:
        """GET asks (and shows the form); POST does it once."""
        obj = self.get_object(request, unquote(object_id))
        pressed = next((each for each in self.all_buttons() if each.name == button), None)
        if obj is None or pressed is None:
            raise Http404
        if not (self.has_view_permission(request, obj) and may(request, pressed.permission, obj)):
            raise PermissionDenied
        back = redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", obj.pk)
        if not pressed.when(obj):
            messages.error(request, _("This can't be done now."))
            return back
        form = pressed.form(request.POST if request.method == "POST" else None) if pressed.form else None
        if request.method == "POST" and (form is None or form.is_valid()):
            try:
                shown = pressed.run(_press(request, obj, form))
            except (DomainError, IllegalTransition) as error:
                if form is None:
                    messages.error(request, _refusal(error))
                    return back
                form.add_error(None, _refusal(error))
            else:
                if isinstance(shown, HttpResponseBase):
                    return shown
                if shown is not None:
                    return self._show_once(request, obj, shown)
                messages.success(request, str(pressed.done))
                return back
        return self._ask(request, pressed, [obj], form, back.url)

    def _show_once(self, request: HttpRequest, obj: Any, shown: ShownOnce) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, "original": obj, **shown.context}
        return TemplateResponse(request, shown.template, context)  # `admin_view` makes it no-store

    def _ask(
        self, request: HttpRequest, button: Button, things: Sequence[Any], form: forms.Form | None, back: str
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": button.label,
            "opts": self.opts,
            "original": things[0] if len(things) == 1 else None,
            "button": button,
            "things": things,
            "names": [self.describe(thing) for thing in things[:MOST_NAMES]],
            "form": form,
            "back": back,
            "press_key": key_of_form(request, "press_key"),
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "action": request.POST.get("action", ""),
        }
        status = 400 if form is not None and form.errors else 200
        return TemplateResponse(request, "admin/press.html", context, status=status)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Buttons marked `bulk`, on lists, for those who hold their permission anywhere."""
        offered = {
            f"do_{button.name}": (_bulk_action(button), f"do_{button.name}", button.label)
            for button in self.all_buttons()
            if button.bulk and may(request, button.permission)
        }
        return {**super().get_actions(request), **offered}

    def press_many(self, request: HttpRequest, button: Button, things: Sequence[Any]) -> HttpResponse | None:
        """Ask once, with the count; then do it to each and tell how many were refused."""
        form = button.form(request.POST if "confirmed" in request.POST else None) if button.form else None
        if "confirmed" not in request.POST or (form is not None and not form.is_valid()):
            return self._ask(request, button, things, form, request.get_full_path())
        done = 0
        refusals: list[str] = []
        for thing in things:
            if not (may(request, button.permission, thing) and button.when(thing)):
                refusals.append(f"{self.describe(thing)}: {gettext('not possible')}")
                continue
            try:
                button.run(_press(request, thing, form))
            except (DomainError, IllegalTransition) as error:
                refusals.append(f"{self.describe(thing)}: {_refusal(error)}")
            else:
                done += 1
        if done:
            text = ngettext("%(label)s: %(count)d done.", "%(label)s: %(count)d done.", done)
            messages.success(request, text % {"label": button.label, "count": done})
        for refusal in refusals[:5]:
            messages.error(request, refusal)
        return None


def _bulk_action(button: Button) -> Callable[[ButtonPages, HttpRequest, QuerySet[Any]], HttpResponse | None]:
    def action(admin: ButtonPages, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return admin.press_many(request, button, list(queryset[:500]))

    return action


def _press(request: HttpRequest, thing: Any, form: forms.Form | None) -> Press:
    key = key_of_form(request, "press_key")[:64]
    return Press(thing=thing, actor=request.user, key=f"{key}:{thing.pk}", data=form.cleaned_data if form else {})


def _refusal(error: DomainError | IllegalTransition) -> str:
    return say(error) if isinstance(error, DomainError) else gettext("This can't be done now.")


def _filter_to(other: Any, model: type[models.Model]) -> str:
    """The parameter that narrows another admin's list to one `model`; "" when its list has no such filter."""
    for entry in other.list_filter:
        name = entry[0] if isinstance(entry, tuple | list) else entry
        if not isinstance(name, str) or "__" in name:
            continue
        field = other.opts.get_field(name)
        if field.remote_field and field.remote_field.model is model:
            return f"{name}__{field.target_field.name}__exact"
    return ""
