"""Every request there is, made of the URL configuration, the OpenAPI document, the admin's registry and the pages."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.contrib import admin
from django.db import models
from django.urls import Resolver404, URLPattern, get_resolver, resolve, reverse
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from carts.models import Cart, Rental
from tenants.enums import RoleCode
from tenants.kinds import kinds
from tenants.models import Role, User
from tests.addresses import named
from tests.matrix import cells, declared
from tests.matrix.cells import FREE, KINDS, NOBODYS_ID, TEXT, Ask, own
from tests.matrix.estate import Side
from tests.matrix.pages import TYPED, Form, Page, Pairs, query_of

UNNAMED = "admin:None"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
# Bodies that the document alone doesn't say how to fill: one of two fields, values that must fit each other.
BODIES: dict[tuple[str, str], Callable[[Side], Any]] = {
    ("POST", "api-cart-assign"): lambda side: {"cart_number": side.row(Cart).cart_number},
    ("POST", "api-cart-return"): lambda side: {"cart_id": str(side.row(Rental).cart_id)},
    ("POST", "api-otp-request"): lambda side: {"phone": TYPED["phone"], "region": "IL"},
    ("POST", "api-otp-verify"): lambda side: {
        "challenge": str(NOBODYS_ID),
        "phone": TYPED["phone"],
        "region": "IL",
        "code": "123456",
    },
    ("POST", "api-register"): lambda side: {"email": "typed@example.com", "password": PASSWORD, "name": "Typed"},
    ("POST", "api-login"): lambda side: {"email": "typed@example.com", "password": PASSWORD},
    ("POST", "api-token-list"): lambda side: {"name": "Typed", "scopes": ["carts:view"], "expires_at": _soon()},
}
PASSWORD = "grey-Otter-4711"
# What is chosen where a form offers it, because the first choices don't fit each other: a role, and where it is held.
CHOSEN: dict[str, Callable[[Side], str]] = {
    "role": lambda side: RoleCode.BRANCH_MANAGER,
    "place": lambda side: f"branch:{side.branch.pk}",
    "scopes": lambda side: "carts:view",
    "locker_id": lambda side: "9",
}
# Kinds looked for by name; the others are looked for in the same way.
SEARCHED = {Cart, Rental, User}
# Where somebody came from, which pages pass on.
CARRIED = {"_changelist_filters", "next", "_popup", "_to_field"}
# What every form gets on top, for the buttons that ask before they act.
ALSO = (("confirmed", "1"), ("post", "yes"), ("reason", "Typed"), ("note", "Typed"), ("version", "1.2.3"))


@cache
def pages() -> dict[str, URLPattern]:
    """Every address but the admin's and REST's, by name."""
    rest = set(rest_names())
    return {name: pattern for name, pattern in named(get_resolver()) if name not in rest}


@cache
def rest_names() -> tuple[str, ...]:
    return tuple(name for name, _ in named(get_resolver("config.api")))


@cache
def admin_names() -> tuple[tuple[str, URLPattern], ...]:
    """Every address of the admin, third-party pages too."""
    found = named(get_resolver(), admin=True)
    return tuple((name, pattern) for name, pattern in found if name.startswith("admin:"))


def parameters(pattern: URLPattern) -> list[str]:
    return list(pattern.pattern.converters) or list(pattern.pattern.regex.groupindex)


def unknown_parameters() -> list[str]:
    """Names in addresses that neither stand for a row nor for nothing."""
    every = [*named(get_resolver(), admin=True)]
    names = {name for _, pattern in every for name in parameters(pattern)}
    return sorted(names - set(KINDS) - set(FREE) - {"object_id", "content_type_id"})


def unknown_ids() -> list[str]:
    """Names of ids and e-mail addresses in queries and bodies that are not said to stand for anything."""
    found = set()
    for _, _, operation in operations():
        found |= {each["name"] for each in operation.get("parameters", ()) if _names_somebody(each["schema"])}
        content = operation.get("requestBody", {}).get("content", {})
        found |= set(_ids_in(content.get("application/json", {}).get("schema", {}), ""))
    return sorted(found - set(KINDS) - set(FREE))


def _ids_in(schema: dict[str, Any], name: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = _named_schema(schema)
    for inner in (each for several in ("allOf", "oneOf", "anyOf") for each in schema.get(several, ())):
        yield from _ids_in(inner, name)
    for key, inner in schema.get("properties", {}).items():
        if not inner.get("readOnly"):
            yield from _ids_in(inner, key)
    if "items" in schema:
        yield from _ids_in(schema["items"], name.removesuffix("s"))
    if _names_somebody(schema):
        yield name


def _names_somebody(schema: dict[str, Any]) -> bool:
    return schema.get("format") in ("uuid", "email")


def _params(pattern: URLPattern, side: Side, rows: type[models.Model] | None = None) -> dict[str, Any] | None:
    found = {}
    for name in parameters(pattern):
        value = own(name, side, rows)
        found[name] = FREE.get(name, value) if value is None else value
    return None if any(value is None for value in found.values()) else found


def page_asks(side: Side) -> Iterator[Ask]:
    """Each page with each method, empty-handed."""
    for name, pattern in sorted(pages().items()):
        params = _params(pattern, side)
        assert params is not None, f"{name}: a row for each of {parameters(pattern)} (estate.py)"
        for method in METHODS:
            yield Ask(name, method, params)
    for thing in kinds().values():
        if thing.model in side.rows:
            asked = ("permission", f"{thing.resource}:view"), ("kind", thing.name)
            about = ("thing", str(side.row(thing.model).pk))
            yield Ask("people:access", "GET", query=(*asked, about), rows=thing.model)
            if thing.model in SEARCHED:
                yield Ask("people:access", "GET", query=(*asked, ("thing_q", TEXT)))
    yield Ask("people:person-export", "POST", query=(("q", TEXT),), body=(("format", "csv"),))
    whom = ("person", str(side.manager.pk))
    yield Ask("people:access", "GET", query=(("permission", "carts:view"), whom, ("anywhere", "1")))
    yield Ask("people:access", "GET", query=(("person_q", TEXT),))


def admin_asks(side: Side) -> Iterator[Ask]:
    """Each page of the admin with the methods that differ there: Django serves the others as GET."""
    for name, pattern in admin_names():
        if name == UNNAMED:
            continue
        rows = model_of(name)
        every = rows_of_site() if name == "admin:view_on_site" else [rows]
        for model in every:
            for params in _admin_params(name, pattern, side, model):
                for method in ("GET", "POST"):
                    yield Ask(name, method, params, rows=model)
    for method in ("GET", "POST"):
        yield Ask(UNNAMED, method, path="/admin/nothing-here")
        for model in (each for each in rows_of_site() if each in side.rows):
            path = f"/{unnamed_of(model).replace('<path:object_id>', '{object_id}')}"
            yield Ask(UNNAMED, method, {"object_id": side.row(model).pk}, rows=model, path=path)


def unnamed_of(model: type[models.Model]) -> str:
    """The route of a model's own address without a name."""
    return declared.UNNAMED_OF_A_MODEL.format(app_label=model._meta.app_label, model_name=model._meta.model_name)


def _admin_params(
    name: str, pattern: URLPattern, side: Side, model: type[models.Model] | None
) -> Iterator[dict[str, Any]]:
    params = _params(pattern, side, model)
    if params is None and model is not None and (row := model._base_manager.first()):
        params = {**dict.fromkeys(parameters(pattern), "none"), "object_id": row.pk}
    if params is None:
        return
    if "button" not in params or model is None:
        yield params
        return
    for button in admin.site._registry[model].all_buttons():
        yield {**params, "button": button.name}


def admin_lists(side: Side) -> Iterator[Ask]:
    """Lists searched, ordered and narrowed by each related row, also where no link leads there."""
    for each in admin.site._registry.values():
        name = f"admin:{each.opts.app_label}_{each.opts.model_name}_changelist"
        rows = each.model
        if each.search_fields or getattr(each, "uuid_fields", ()):
            yield Ask(name, "GET", query=(("q", TEXT),), rows=rows)
        for column in each.opts.get_fields():
            target = column.related_model
            if not target or target not in side.rows or not column.concrete:
                continue
            lookup = f"{column.name}__{target._meta.pk.name}__exact"
            yield Ask(name, "GET", query=((lookup, str(side.row(target).pk)),), rows=rows)
            texts = {"name", "email", "topic"} & {found.name for found in target._meta.concrete_fields}
            for text in sorted(texts)[:1]:
                yield Ask(name, "GET", query=((f"{column.name}__{text}__startswith", TEXT),), rows=rows)
        yield Ask(name, "GET", query=(("o", "2.-1"), ("_facets", "True")), rows=rows)
        for related in each.autocomplete_fields:
            asked = (("app_label", each.opts.app_label), ("model_name", each.opts.model_name), ("field_name", related))
            yield Ask("admin:autocomplete", "GET", query=(("term", TEXT), *asked))
            yield Ask("admin:autocomplete", "GET", query=(("term", ""), *asked))
    yield Ask("admin:search", "GET", query=(("s", TEXT),))
    yield Ask("admin:search", "GET", query=(("s", TEXT), ("extended", "1")))


def rows_of_site() -> list[type[models.Model]]:
    return list(admin.site._registry)


def model_of(name: str) -> type[models.Model] | None:
    for model in admin.site._registry:
        if name.startswith(f"admin:{model._meta.app_label}_{model._meta.model_name}_"):
            return model
    return None


def offered(ask: Ask, html: str, side: Side) -> Iterator[Ask]:
    """What a page offers to send: its forms and the links that narrow lists, each kind once."""
    page = Page(html, ask.address)
    unknown = sorted(page.addresses - set(KINDS))
    assert unknown == [], f"{ask}: say in tests/matrix/cells.py, KINDS, whose {unknown} may be"
    for form in page.forms:
        if (found := _asked(form.action)) is None:
            continue
        name, params = found
        rows = model_of(name)
        if form.method != "POST":
            yield Ask(name, "GET", params, query=tuple(_searched(form.fields)), rows=rows)
            continue
        for fields in _filled(form, side):
            yield Ask(name, "POST", params, query=tuple(query_of(form.action)), body=tuple(fields), rows=rows)
    for link in page.links:
        query = [(key, value) for key, value in query_of(link) if key not in CARRIED]
        if query and (found := _asked(link)):
            yield Ask(found[0], "GET", found[1], query=tuple(query), rows=model_of(found[0]))


def kind_of(ask: Ask) -> tuple[Any, ...]:
    """Asks of one kind differ in values alone."""
    fields = ask.body if isinstance(ask.body, tuple) else ()
    action = [value for name, value in fields if name == "action"]
    names = (*(name for name, _ in ask.query), "", *(name for name, _ in fields), *action)
    return ask.name, ask.method, ask.params.get("button"), names


def _asked(url: str) -> tuple[str, dict[str, Any]] | None:
    try:
        match = resolve(urlsplit(url).path)
    except Resolver404:
        return None
    if not match.url_name or match.url_name == "set_language":
        return None
    params = {name: str(value) for name, value in match.kwargs.items() if name != "extra_context"}
    return match.view_name, params


def _searched(fields: Pairs) -> Iterator[tuple[str, str]]:
    for name, value in fields:
        yield name, TEXT if value in ("Typed", TYPED.get(name)) else value


def _filled(form: Form, side: Side) -> Iterator[Pairs]:
    """A form as it is; once for each action where it offers several."""
    fields = [(name, value) for name, value in form.fields if name != "csrfmiddlewaretoken"]
    for name, (app, model, column) in form.asked_for.items():
        target = apps.get_model(app, model)._meta.get_field(column).related_model
        row = side.row(target) if target in side.rows else Role.objects.get(code=RoleCode.BRANCH_MANAGER)
        if isinstance(row, target):
            fields = [(n, str(row.pk) if n == name and not v else v) for n, v in fields]
    for name, choose in CHOSEN.items():
        typed = name in dict(fields) and name not in form.choices
        if typed or choose(side) in form.choices.get(name, ()):
            fields = [*((n, v) for n, v in fields if n != name), (name, choose(side))]
    actions = [choice for choice in form.choices.get("action", []) if choice]
    also = [(name, value) for name, value in ALSO if name not in dict(fields)]
    if not actions and {"chain", "branch"} <= set(form.asked_for):
        # In a chain or in a branch, never both.
        yield [(n, v) for n, v in (*fields, *also) if n != "chain"]
        yield [(n, v) for n, v in (*fields, *also) if n != "branch"]
    elif not actions:
        yield [*fields, *also]
    for action in actions:
        yield [*((n, v) for n, v in fields if n != "action"), ("action", action), *also]


@cache
def document() -> dict[str, Any]:
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return schema


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name of the address, method, operation) of the OpenAPI document."""
    routes = {
        re.sub(r"<\w+:(\w+)>", r"{\1}", f"/api/{pattern.pattern}"): name
        for name, pattern in named(get_resolver("config.api"))
    }
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            if method.upper() in METHODS:
                yield routes[path], method.upper(), operation


def rest_asks(side: Side) -> Iterator[Ask]:
    """Each operation with a body where it takes one; each address with the methods it doesn't take."""
    taken = set()
    for name, method, operation in operations():
        taken.add((name, method))
        params = _rest_params(name, side)
        body = _body(name, method, operation, side)
        yield Ask(name, method, params, body=body, json=True)
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query":
                yield Ask(name, method, params, query=((parameter["name"], _queried(parameter, side)),), json=True)
    for thing in kinds().values():
        if thing.model in side.rows:
            about = ("kind", thing.name), ("id", str(side.row(thing.model).pk)), ("user", str(side.manager.pk))
            asked = ("permission", f"{thing.resource}:view")
            yield Ask("api-access-explain", "GET", query=(asked, *about), json=True, rows=thing.model)
    for name in rest_names():
        for method in METHODS:
            if (name, method) not in taken:
                yield Ask(name, method, _rest_params(name, side), json=True)


def _rest_params(name: str, side: Side) -> dict[str, Any]:
    pattern = dict(named(get_resolver("config.api")))[name]
    params = _params(pattern, side)
    assert params is not None, name
    return params


def _queried(parameter: dict[str, Any], side: Side) -> Any:
    schema, name = parameter["schema"], parameter["name"]
    if (value := own(name, side)) is not None:
        return str(value)
    if "enum" in schema:
        return schema["enum"][0]
    return {"integer": "1", "number": "1", "boolean": "true"}.get(
        schema.get("type", ""), "2030-01-01T00:00:00Z" if schema.get("format") == "date-time" else TEXT
    )


def _named_schema(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _body(name: str, method: str, operation: dict[str, Any], side: Side) -> Any:
    if (method, name) in BODIES:
        return BODIES[method, name](side)
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    return (
        _example(schema, side, "", new=method == "POST")
        if schema
        else ({} if method in ("POST", "PUT", "PATCH") else None)
    )


def _example(schema: dict[str, Any], side: Side, name: str, *, new: bool) -> Any:
    """A value that fits a schema; for names that stand for a row, the own one's."""
    if "$ref" in schema:
        return _example(_named_schema(schema), side, name, new=new)
    for several in ("allOf", "oneOf", "anyOf"):
        if several in schema:
            return _example(schema[several][0], side, name, new=new)
    if schema.get("type") == "object" or "properties" in schema:
        return {
            key: _example(inner, side, key, new=new)
            for key, inner in schema.get("properties", {}).items()
            if not inner.get("readOnly")
        }
    if schema.get("type") == "array":
        return [_example(schema["items"], side, name.removesuffix("s"), new=new)]
    if not (name in cells.TYPED or (new and name in TYPED)) and (value := own(name, side)) is not None:
        return _plain(value)
    if "enum" in schema:
        return schema["enum"][0]
    return _of_type(schema, name)


def _of_type(schema: dict[str, Any], name: str) -> Any:
    kind, form = schema.get("type"), schema.get("format")
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    if kind == "boolean":
        return True
    formats = {
        "uuid": str(NOBODYS_ID),
        "date-time": "2031-02-03T04:05:06Z",
        "email": "typed@example.com",
        "decimal": "1.5",
    }
    return formats.get(str(form), TYPED.get(name, "Typed"))


def _soon() -> str:
    return (timezone.now() + timedelta(days=30)).isoformat()


def _plain(value: Any) -> Any:
    return value if isinstance(value, int) else str(value)


def rest_address(name: str, side: Side) -> str:
    return reverse(name, kwargs=_rest_params(name, side))
