"""What a page offers: its forms with what they would send, and its links that narrow a list."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin, urlsplit

Pairs = list[tuple[str, str]]

# What somebody would type, by the name of the field, else by its type.
TYPED = {
    "slug": "typed-slug",
    "code": "TYPED-1",
    "mac_address": "0A:0B:0C:0D:0E:0F",
    "phone": "+972521234567",
    "time_zone": "UTC",
    "name": "Typed",
    "version": "1.2.3",
    "cart_number": "4711",
    "locker_id": "9",
    # A program's: who has an address is none.
    "client_id": "",
}
# A date and a time that are typed into two fields.
SPLIT = {"_0": "date", "_1": "time"}
TYPED_BY_TYPE = {
    "email": "typed@example.com",
    "number": "7",
    "date": "2031-02-03",
    "datetime-local": "2031-02-03T04:05",
    "time": "04:05",
    "password": "Typed-pass-4711",
}


@dataclass(slots=True)
class Form:
    """A form as a browser would send it, the empty fields filled in."""

    method: str
    action: str
    fields: Pairs = field(default_factory=list)
    choices: dict[str, list[str]] = field(default_factory=dict)
    # Fields whose choices are asked for while somebody types: (app, model, field) of the admin's autocomplete.
    asked_for: dict[str, tuple[str, str, str]] = field(default_factory=dict)


class Page(HTMLParser):
    """Reads one page."""

    def __init__(self, html: str, path: str) -> None:
        super().__init__()
        self._path = path
        self.forms: list[Form] = []
        self.links: list[str] = []
        # Names of fields for an e-mail address or a phone number.
        self.addresses: set[str] = set()
        self._outside: dict[str, Form] = {}
        self._form: Form | None = None
        self._select: tuple[Form, str, bool] | None = None
        self._chosen: list[str] = []
        self._textarea: tuple[Form, str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        for name in ("href", "hx-get"):
            if found.get(name, "").startswith(("/", "?", ".")):
                self.links.append(urljoin(self._path, found[name]))
        for name in ("hx-post", "formaction"):
            if found.get(name, "").startswith("/") and tag != "form":
                self.forms.append(Form("POST", found[name], list(self._form.fields) if self._form else []))
        if tag == "form":
            self._open_form(found)
        form = self._outside.get(found.get("form", ""), self._form)
        if form is None:
            return
        if tag == "input":
            self._input(form, found)
        elif tag == "select" and "name" in found:
            self._select, self._chosen = (form, found["name"], "multiple" in found), []
            form.choices[found["name"]] = []
            if "data-field-name" in found:
                form.asked_for[found["name"]] = (
                    found["data-app-label"],
                    found["data-model-name"],
                    found["data-field-name"],
                )
        elif tag == "option" and self._select:
            value = found.get("value", "")
            form.choices[self._select[1]].append(value)
            if "selected" in found:
                self._chosen.append(value)
        elif tag == "textarea" and "name" in found:
            self._textarea = (form, found["name"])
            form.fields.append((found["name"], "Typed"))
        elif tag == "button" and found.get("name") and found.get("type", "submit") == "submit":
            form.fields.append((found["name"], found.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select" and self._select:
            form, name, multiple = self._select
            values = [value for value in form.choices[name] if value]
            chosen = [value for value in self._chosen if value] or (values[:1] if values and not multiple else [])
            form.fields.extend((name, value) for value in chosen or ([""] if not multiple else []))
            self._select = None

    def _open_form(self, found: dict[str, str]) -> None:
        action = urljoin(self._path, found.get("action") or found.get("hx-post") or self._path)
        self._form = Form(found.get("method", "get").upper() if "hx-post" not in found else "POST", action)
        self.forms.append(self._form)
        if found.get("id"):
            self._outside[found["id"]] = self._form

    def _input(self, form: Form, found: dict[str, str]) -> None:
        name, kind, value = found.get("name", ""), found.get("type", "text"), found.get("value", "")
        if not name or kind in ("file", "image", "reset", "button"):
            return
        if kind in ("checkbox", "radio") and "checked" not in found and name != "_selected_action":
            form.choices.setdefault(name, []).append(value or "on")
            return
        if kind in ("email", "tel"):
            self.addresses.add(name)
        if not value and kind not in ("hidden", "submit", "checkbox"):
            last = name.rpartition("-")[2]
            value = (
                TYPED_BY_TYPE[SPLIT[last[-2:]]]
                if last[-2:] in SPLIT
                else TYPED.get(last, TYPED_BY_TYPE.get(kind, "Typed"))
            )
        form.fields.append((name, value))


def query_of(url: str) -> Pairs:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)
