"""The bus as a page: plain forms, no script."""

from html import escape
from typing import Any

from simulators.rs485.faults import Kind

REFRESH_S = 3


def render_page(state: dict[str, Any], *, live: bool) -> str:
    """`live`: comes again by itself, which empties a form half filled in."""
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_S}">' if live else ""
    other = '<a href="/?still">hold still</a>' if live else '<a href="/">live</a>'
    boards = "".join(_render_board(board) for board in state["boards"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
{refresh}<title>RS485 bus</title><link rel="stylesheet" href="/page.css"></head>
<body><header><h1>RS485 bus</h1><p>{escape(state["pty"])} · {state["baud"]} baud · wire time {state["mode"]} ·
{state["firings"]} firings · seed {state["seed"]} · {other}</p></header>
<main>{boards}{_render_faults(state)}
<section><h2>Last events</h2><ol class="log">{_render_events(state["events"])}</ol></section>
<section><h2>Last frames</h2><ol class="log">{_render_frames(state["frames"])}</ol></section></main></body></html>"""


def _render_board(board: dict[str, Any]) -> str:
    locks = "".join(_render_lock(board["address"], lock) for lock in board["locks"])
    counters = " · ".join(f"{name.replace('_', ' ')} {count}" for name, count in sorted(board["counters"].items()))
    return f"""<section><h2>Board {board["address"]} <small>{escape(board["kind"])} · {board["baud"]} baud
{escape(" ".join(board["options"]))}</small></h2><p class="quiet">{escape(counters) or "not spoken to yet"}</p>
<ul class="locks">{locks}</ul></section>"""


def _render_lock(address: int, lock: dict[str, Any]) -> str:
    mark = "●" if lock["hook"] == "closed" else "○"
    words = [lock["hook"], "cart in" if lock["present"] else "cart out"]
    words += [word for word in ("jammed", "held") if lock[word]]
    if lock["reads"] != lock["hook"]:
        words.append(f"reads {lock['reads']}")
    verbs = ["push", "free" if lock["jammed"] or lock["reads"] != lock["hook"] else "jam"]
    if lock["hook"] == "open" and lock["present"]:
        verbs.insert(0, "pull")
    path = f"/boards/{address}/locks/{lock['number']}"
    buttons = "".join(f'<button formaction="{path}/{verb}">{verb}</button>' for verb in verbs)
    return f"""<li class="{lock["hook"]}"><strong>{mark} {lock["number"]}</strong> <span>{", ".join(words)}</span>
<small>fired {lock["firings"]} times</small><form method="post" class="row">{buttons}</form></li>"""


def _render_faults(state: dict[str, Any]) -> str:
    kinds = "".join(f"<option>{kind.value}</option>" for kind in Kind)
    boards = "".join(f"<option>{board['address']}</option>" for board in state["boards"])
    armed = "".join(
        f"<li>{escape(fault['kind'])}, board {_or(fault['board'], 'any')}, lock {_or(fault['lock'], 'any')}, "
        f"{_or(fault['times'], 'always')} times, p {fault['probability']:g}</li>"
        for fault in state["faults"]
    )
    return f"""<section><h2>Misbehave</h2><form method="post" action="/faults" class="row">
<label>What <select name="kind">{kinds}</select></label>
<label>Board <select name="board"><option value="">any</option>{boards}</select></label>
<label>Lock <input name="lock" inputmode="numeric" size="3" placeholder="any"></label>
<label>Times <input name="times" size="6" value="1" title="a number, or always"></label>
<button>Arm</button><button formaction="/faults/clear">Clear all</button>
<button formaction="/reset">Reset bus</button></form>
<ul class="log">{armed or "<li>none armed</li>"}</ul></section>"""


def _render_events(events: list[dict[str, Any]]) -> str:
    hidden = {"n", "at", "monotonic", "event"}
    return "".join(
        f"<li><time>{event['at'][11:23]}</time> {escape(event['event'].replace('_', ' '))} "
        + escape(", ".join(f"{name} {value}" for name, value in event.items() if name not in hidden))
        + "</li>"
        for event in reversed(events)
    )


def _render_frames(frames: list[dict[str, Any]]) -> str:
    return "".join(f"<li><b>{escape(frame['from'])}</b> <code>{frame['hex']}</code></li>" for frame in reversed(frames))


def _or(value: object, word: str) -> str:
    return word if value is None else str(value)
