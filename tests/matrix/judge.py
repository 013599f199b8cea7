"""Sends requests and judges the answers. Nothing a request does lasts: each runs in a savepoint that is undone."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from zipfile import ZipFile
from zlib import crc32

from django.apps import apps
from django.core import mail
from django.db import connection, transaction
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext

from core.places import paths
from tenants.models import User
from tests.matrix.askers import Asker
from tests.matrix.cells import TEXT, Ask, Sent, Swap
from tests.matrix.estate import Side

SENT_AWAY = ("/auth/sign-in", "/auth/second-factor", "/auth/2fa", "/auth/confirm", "/admin/login/")
CHANGES = ("INSERT", "UPDATE", "DELETE", "WITH", "TRUNCATE", "COPY")
# They tell of the request, or are counted by it: not of what it asked for.
UNTOLD = {"x-request-id", "date", "content-length", "set-cookie", "server-timing", "ratelimit", "ratelimit-policy"}
MAY_BE_DOWN = {"healthz"}  # no bridge, no beat in these tests
# Of three roles that are refused one compares an address and method in each run of all tests; those who may ask always
# compare, and `MATRIX=whole` has everybody do it.
TURNS = 3
Rows = frozenset[tuple[str, str]]  # (model, row as text)
SHORT = 3  # a number of so few digits stands in other numbers too
_VARYING = (
    (re.compile(r'(name="csrfmiddlewaretoken" value=|X-CSRFToken&quot;: &quot;|X-CSRFToken": ")"?\w+'), "‹csrf›"),
    (re.compile(r"\b[A-Za-z0-9]{64}\b"), "‹csrf›"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "‹uuid›"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "‹hex›"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?"), "‹time›"),
    (re.compile(r"\d\d:\d\d:\d\d"), "‹time›"),
    (re.compile(r"\d+\s(second|minute|hour|day|week)s?"), "‹time›"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole: `text` with what the next page would say on top; and what it cost."""

    status: int
    headers: Mapping[str, str]
    text: str
    queries: tuple[str, ...]
    error: str = ""

    @property
    def location(self) -> str:
        return self.headers.get("location", "")

    @property
    def refused(self) -> bool:
        """Sent away, told that it is not there, or asked to sign in first."""
        asked = self.location.startswith(SENT_AWAY)
        return self.status in (401, 403, 404) or (self.status in (302, 303) and asked)


@dataclass(slots=True)
class Judge:
    """One asker's requests, counted; what is wrong is gathered in `wrong`.

    `turn` (0 to `TURNS` - 1): of what is refused compare only the addresses whose turn it is; None: all of them.
    """

    asker: Asker
    cells: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    area: str = ""
    turn: int | None = None
    _nobodys: dict[str, Answer] = field(default_factory=dict)
    _others: list[Side] = field(default_factory=list)
    _swaps: dict[Side, Swap] = field(default_factory=dict)
    _canaries: dict[frozenset[str], dict[Side, tuple[str, ...]]] = field(default_factory=dict)
    _rows: dict[Side, tuple[str, tuple[Any, ...], Rows]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._others = [side for side in self.asker.others if side is not self.asker.own]
        self._swaps = {side: Swap(self.asker.own, side) for side in self._others}
        for side in self.asker.others:
            sql, values = _rows_of(side, whole_chain=side.chain.pk != self.asker.own.chain.pk)
            self._rows[side] = (sql, values, _run(sql, values))

    def own(self, ask: Ask) -> Answer:
        """A request for what is their own; nobody else's may be in the answer or be changed by it."""
        # Who belongs nowhere asks for things of a side that is not theirs either, and may hear what they said.
        ask = _filled(ask, self.asker.own)
        said = [*ask.params.values(), *(value for _, value in ask.query)]
        return self._send(ask, {str(value): "‹id›" for value in said if value})

    def has_turn(self, ask: Ask) -> bool:
        """Whether what is refused at an address is compared by this role in this run."""
        return self.turn is None or (crc32(f"{ask.method} {ask.name}".encode()) + self.turn) % TURNS == 0

    def can_compare(self, ask: Ask) -> bool:
        """Whether anything in a request can be swapped for somebody else's."""
        return any(next(self._swaps[other](ask), None) for other in self._others)

    def compare(self, ask: Ask, *, thoroughly: bool = True) -> None:
        """The same request with somebody else's in it, and with nobody's: the answers must be the same.

        Not `thoroughly`, for methods that are not taken: with one side, and all of the address at once.
        """
        for other in self._others if thoroughly else self._others[-1:]:
            swapped = list(self._swaps[other](ask))
            for with_theirs, with_nobodys, sent, names in swapped if thoroughly else swapped[-1:]:
                theirs = self._send(_filled(with_theirs, self.asker.own), sent)
                opened = self.asker.open_at(ask.name)
                if names & opened.fields:
                    continue
                key = repr((with_nobodys.address, with_nobodys.method, with_nobodys.body))
                if key not in self._nobodys:
                    self._nobodys[key] = self._send(_filled(with_nobodys, self.asker.own), sent)
                nobodys = self._nobodys[key]
                for said in differences(theirs, nobodys, sent, work=not names & opened.work):
                    self._blame(with_theirs, f"tells {other.canary} from nobody: {said}")

    def _send(self, ask: Ask, sent: Sent) -> Answer:
        self.cells[self.area] = self.cells.get(self.area, 0) + 1
        mail.outbox = []
        with self.asker.same_cookies(), undone():
            answer = ask_now(self.asker.program if ask.json else self.asker.browser, ask)
            self._look_for_changes(ask, answer)
        if answer.status >= 500 and ask.name not in MAY_BE_DOWN:
            self._blame(ask, f"answers {answer.status} {answer.error}")
        self._look_for_canaries(ask, answer, sent)
        return answer

    def _look_for_changes(self, ask: Ask, answer: Answer) -> None:
        if not any(query.lstrip("( ").startswith(CHANGES) for query in answer.queries):
            return
        changes = self.asker.open_at(ask.name).changes
        for side, (sql, values, before) in self._rows.items():
            # Whoever rents somewhere belongs there too.
            changed = [row for row in _run(sql, values) ^ before if row[0] not in changes and not self._is_me(*row)]
            if changed:
                self._blame(ask, f"changes something of {side.canary}: {' '.join(min(changed))[:300]}")

    def _is_me(self, model: str, row: str) -> bool:
        me = self.asker.user
        return me is not None and model == me._meta.label_lower and str(me.pk) in row

    def _look_for_canaries(self, ask: Ask, answer: Answer, sent: Sent) -> None:
        mails = "".join(f"{each.to}{each.subject}{each.body}" for each in mail.outbox)
        said = _without(f"{answer.text}{answer.headers}{mails}", sent).lower()
        says = self.asker.open_at(ask.name).says
        if says not in self._canaries:
            self._canaries[says] = self.asker.canaries(says)
        for side, canaries in self._canaries[says].items():
            if found := [canary for canary in canaries if canary in said]:
                at = said.index(found[0])
                self._blame(ask, f"says something of {side.canary}: …{said[max(0, at - 80) : at + 60]!r}")

    def _blame(self, ask: Ask, what: str) -> None:
        self.wrong.append(f"{self.asker.name}: {ask}: {what}")


def differences(theirs: Answer, nobodys: Answer, sent: Sent, *, work: bool = True) -> Iterator[str]:
    """In what two answers differ, but for what was sent and what differs every time; `work`: in their queries too."""
    if theirs.status != nobodys.status:
        yield f"status {theirs.status} and {nobodys.status}"
        return
    one, other = settled(theirs.text, sent), settled(nobodys.text, sent)
    if one != other:
        at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
        yield f"body …{one[max(0, at - 40) : at + 60]!r} and …{other[max(0, at - 40) : at + 60]!r}"
    headers = [{k: settled(v, sent) for k, v in a.headers.items() if k not in UNTOLD} for a in (theirs, nobodys)]
    if headers[0] != headers[1]:
        yield f"headers {sorted(set(headers[0].items()) ^ set(headers[1].items()))}"
    if work and len(theirs.queries) != len(nobodys.queries):
        longer = max(theirs.queries, nobodys.queries, key=len)
        yield f"{len(theirs.queries)} and {len(nobodys.queries)} queries, the last {longer[-1][:200]!r}"


def settled(text: str, sent: Sent) -> str:
    """Without what differs every time."""
    text = _without(text, sent)
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    for value in (each for each in sent if len(each) <= SHORT):
        text = re.sub(rf"(?<![0-9]){re.escape(value)}(?![0-9])", sent[value], text)
    return text


def _without(text: str, sent: Sent) -> str:
    for value in sorted((each for each in sent if len(each) > SHORT), key=len, reverse=True):
        text = text.replace(value, sent[value]).replace(value.upper(), sent[value])
    return text


def _filled(ask: Ask, side: Side) -> Ask:
    """Where nobody put somebody else's text in, the own stands."""
    if not any(value == TEXT for _, value in ask.query):
        return ask
    query = tuple((name, side.canary if value == TEXT else value) for name, value in ask.query)
    return Ask(ask.name, ask.method, ask.params, query, ask.body, ask.json, ask.rows, ask.path)


def ask_now(client: Client, ask: Ask) -> Answer:
    """Send one request and read the answer to its end."""
    headers = {"X-Request-Id": "the-matrix"} | ({"Idempotency-Key": "matrix-1"} if ask.json else {})
    kwargs: dict[str, Any] = {"headers": headers}
    if ask.body is not None and ask.json:
        kwargs |= {"data": ask.body, "content_type": "application/json"}
    elif ask.body is not None:
        data: dict[str, list[str]] = {}
        for name, value in ask.body:
            data.setdefault(name, []).append(str(value))
        kwargs["data"] = data
    connection.queries_log.clear()
    with CaptureQueriesContext(connection) as queries:
        response = getattr(client, ask.method.lower())(ask.address, **kwargs)
        content = b"".join(response.streaming_content) if response.streaming else response.content
    said = getattr(getattr(response, "wsgi_request", None), "_messages", None)
    messages = "".join(f"\n{each}" for each in getattr(said, "_queued_messages", ()))
    headers = {name.lower(): value for name, value in response.items()}
    sql = tuple(query["sql"] for query in queries.captured_queries)
    error = repr(response.exc_info[1])[:300] if getattr(response, "exc_info", None) else ""
    return Answer(response.status_code, headers, _readable(content) + messages, sql, error)


def _readable(content: bytes) -> str:
    """The text of an answer; of a spreadsheet, that of its parts."""
    if content.startswith(b"PK"):
        with ZipFile(BytesIO(content)) as book:
            content = b"\n".join(book.read(name) for name in sorted(book.namelist()))
    return content.decode("utf-8", "replace")


@contextmanager
def undone() -> Iterator[None]:
    """A savepoint that is rolled back; durable blocks inside take it for a test's own."""
    block = transaction.atomic()
    block._from_testcase = True  # type: ignore[attr-defined]
    hooks = connection.run_on_commit
    with block:
        yield
        transaction.set_rollback(True)
    connection.run_on_commit = hooks


def _rows_of(side: Side, *, whole_chain: bool) -> tuple[str, tuple[Any, ...]]:
    """One statement that reads every row of a side, and whatever was put into its branch, its chain or by its people's
    names since.
    """
    parts: list[str] = []
    values: list[Any] = []
    people = [row.pk for row in side.rows[User]]
    for model in apps.get_models():
        condition = Q(pk__in=[row.pk for row in side.rows.get(model, ())])
        for column in model._meta.concrete_fields:
            if column.related_model is User:
                condition |= Q(**{f"{column.attname}__in": people})
        for path in paths(model, "branch_path"):
            if path != "branches":
                condition |= Q(**{path: side.branch.pk})
        for path in paths(model, "chain_path") if whole_chain else ():
            condition |= Q(**{path: side.chain.pk})
        if len(condition) == 1 and model not in side.rows:
            continue  # nobody's rows
        keys, parameters = model._base_manager.filter(condition).order_by().values("pk").query.sql_with_params()
        table, key = model._meta.db_table, model._meta.pk.column
        name = model._meta.label_lower
        parts.append(f'SELECT \'{name}\' AS model, t::text AS row FROM "{table}" t WHERE t."{key}" IN ({keys})')
        values.extend(parameters)
    return " UNION ALL ".join(parts), tuple(values)


def _run(sql: str, values: tuple[Any, ...]) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return frozenset(cursor.fetchall())
