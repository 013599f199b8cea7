"""Accounts and rights in Mosquitto's dynamic-security format, and the commands that change them.

What the fallback broker decides with. Implements the commands the product sends, with Mosquitto 2.0's words for errors;
groups are not supported. Source: mosquitto 2.0 `plugins/dynamic-security` and its `README.md`.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.stack.layout import write_private

ITERATIONS = 101  # Mosquitto's own number: passwords here are long and random, not chosen by people
Json = dict[str, Any]


class CommandRefused(Exception):
    """A command that changes nothing; the message is the answer's `error`."""


def hash_password(password: str) -> Json:
    """The three fields Mosquitto keeps: PBKDF2-SHA512 in base64."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return {
        "password": base64.b64encode(digest).decode(),
        "salt": base64.b64encode(salt).decode(),
        "iterations": ITERATIONS,
    }


def matches(pattern: str, topic: str) -> bool:
    """Whether `pattern` covers `topic`, which may itself be a filter (`#` is covered by `#` alone)."""
    if topic.startswith("$") != pattern.startswith("$"):
        return False
    wanted, levels = pattern.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or levels[index] == "#" or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


class Rights:
    """The rights file in memory; every change is written through before it is answered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        state = json.loads(path.read_text())
        self._defaults: dict[str, bool] = state["defaultACLAccess"]
        self._clients: dict[str, Json] = {client["username"]: client for client in state["clients"]}
        self._roles: dict[str, Json] = {role["rolename"]: role for role in state["roles"]}
        self._kicked: set[str] = set()

    def authenticate(self, *, username: str | None, password: str | None, client_id: str | None) -> bool:
        client = self._clients.get(username or "")
        if client is None or client.get("disabled") or not client.get("password") or password is None:
            return False
        if client.get("clientid") not in (None, client_id):
            return False
        salt = base64.b64decode(client["salt"])
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, client["iterations"])
        return hmac.compare_digest(digest, base64.b64decode(client["password"]))

    def may_send(self, username: str | None, topic: str) -> bool:
        return self._allows(username, topic, "publishClientSend", pattern_type="publishClientSend")

    def may_receive(self, username: str | None, topic: str) -> bool:
        return self._allows(username, topic, "publishClientReceive", pattern_type="publishClientReceive")

    def may_subscribe(self, username: str | None, topic_filter: str) -> bool:
        return self._allows(username, topic_filter, "subscribe", "subscribeLiteral", pattern_type="subscribePattern")

    def _allows(
        self, username: str | None, topic: str, default: str, literal_type: str | None = None, *, pattern_type: str
    ) -> bool:
        client = self._clients.get(username or "")
        if client is None or client.get("disabled"):
            return False
        # Highest priority first, roles before the rules inside them; ties in the order of names, as Mosquitto has it.
        roles = sorted(client.get("roles", []), key=lambda role: (-role.get("priority", -1), role["rolename"]))
        for role in roles:
            for acl in sorted(self._roles[role["rolename"]]["acls"], key=lambda acl: -acl.get("priority", -1)):
                literal = acl["acltype"] == literal_type and acl["topic"] == topic
                if literal or (acl["acltype"] == pattern_type and matches(acl["topic"], topic)):
                    return bool(acl["allow"])
        # Defaults never open $CONTROL.
        return self._defaults.get(default, False) and not topic.startswith("$CONTROL")

    def execute(self, payload: bytes | bytearray) -> tuple[bytes, set[str]]:
        """Run a batch. Returns the answer for `…/response` and the usernames whose sessions must end."""
        self._kicked = set()
        try:
            commands = json.loads(payload)["commands"]
            assert isinstance(commands, list)
        except (ValueError, KeyError, TypeError, AssertionError):
            return json.dumps(
                {"responses": [{"command": "Unknown command", "error": "Payload not valid JSON"}]}
            ).encode(), set()
        responses = [self._answer(command) for command in commands]
        self._save()
        return json.dumps({"responses": responses}).encode(), self._kicked

    def _answer(self, command: object) -> Json:
        if not isinstance(command, dict) or not isinstance(command.get("command"), str):
            return {"command": "Unknown command", "error": "Missing command"}
        answer: Json = {"command": command["command"]}
        if isinstance(command.get("correlationData"), str):
            answer["correlationData"] = command["correlationData"]
        handler = self._handlers().get(command["command"])
        try:
            if handler is None:
                raise CommandRefused("Unknown command")
            data = handler(command)
        except CommandRefused as refusal:
            answer["error"] = str(refusal)
        except (TypeError, ValueError, AttributeError):
            answer["error"] = "Invalid command"
        else:
            if data is not None:
                answer["data"] = data
        return answer

    def _handlers(self) -> dict[str, Callable[[Json], Json | None]]:
        return {
            "createClient": self._create_client,
            "modifyClient": self._modify_client,
            "setClientPassword": self._modify_client,
            "setClientId": self._modify_client,
            "deleteClient": self._delete_client,
            "enableClient": lambda command: self._set_disabled(command, False),
            "disableClient": lambda command: self._set_disabled(command, True),
            "addClientRole": self._add_client_role,
            "removeClientRole": self._remove_client_role,
            "getClient": lambda command: {"client": _public(self._client(command))},
            "listClients": lambda command: _listed("clients", self._clients, command),
            "createRole": self._create_role,
            "modifyRole": self._modify_role,
            "deleteRole": self._delete_role,
            "addRoleACL": self._add_role_acl,
            "removeRoleACL": self._remove_role_acl,
            "getRole": lambda command: {"role": self._role(command)},
            "listRoles": lambda command: _listed("roles", self._roles, command),
            "setDefaultACLAccess": self._set_defaults,
            "getDefaultACLAccess": lambda _: {
                "acls": [{"acltype": acltype, "allow": allow} for acltype, allow in self._defaults.items()]
            },
        }

    def _create_client(self, command: Json) -> None:
        username = _text(command, "username")
        if username in self._clients:
            raise CommandRefused("Client already exists")
        self._clients[username] = {"username": username, "roles": [], **self._client_fields(command)}

    def _modify_client(self, command: Json) -> None:
        client = self._client(command)
        client.update(self._client_fields(command))
        self._kicked.add(client["username"])

    def _client_fields(self, command: Json) -> Json:
        changed: Json = {
            name: _text(command, name) for name in ("clientid", "textname", "textdescription") if name in command
        }
        if "roles" in command:
            changed["roles"] = [self._role_entry(role) for role in command["roles"]]
        if "password" in command:
            changed.update(hash_password(_text(command, "password")))
        return changed

    def _delete_client(self, command: Json) -> None:
        username = self._client(command)["username"]
        del self._clients[username]
        self._kicked.add(username)

    def _set_disabled(self, command: Json, disabled: bool) -> None:
        client = self._client(command)
        client["disabled"] = disabled
        if disabled:
            self._kicked.add(client["username"])

    def _add_client_role(self, command: Json) -> None:
        client, entry = self._client(command), self._role_entry(command)
        client["roles"] = [role for role in client["roles"] if role["rolename"] != entry["rolename"]] + [entry]
        self._kicked.add(client["username"])

    def _remove_client_role(self, command: Json) -> None:
        client, name = self._client(command), self._role(command)["rolename"]
        client["roles"] = [role for role in client["roles"] if role["rolename"] != name]
        self._kicked.add(client["username"])

    def _create_role(self, command: Json) -> None:
        name = _text(command, "rolename")
        if name in self._roles:
            raise CommandRefused("Role already exists")
        self._roles[name] = {"rolename": name, "acls": [_acl(acl) for acl in command.get("acls", [])]}

    def _modify_role(self, command: Json) -> None:
        role = self._role(command)
        if "acls" in command:
            role["acls"] = [_acl(acl) for acl in command["acls"]]
        self._kick_holders(role)

    def _delete_role(self, command: Json) -> None:
        role = self._role(command)
        self._kick_holders(role)
        del self._roles[role["rolename"]]
        for client in self._clients.values():
            client["roles"] = [entry for entry in client["roles"] if entry["rolename"] != role["rolename"]]

    def _add_role_acl(self, command: Json) -> None:
        role, acl = self._role(command), _acl(command)
        if any((known["acltype"], known["topic"]) == (acl["acltype"], acl["topic"]) for known in role["acls"]):
            raise CommandRefused("ACL with this topic already exists")
        role["acls"].append(acl)
        self._kick_holders(role)

    def _remove_role_acl(self, command: Json) -> None:
        role, wanted = self._role(command), (_text(command, "acltype"), _text(command, "topic"))
        kept = [acl for acl in role["acls"] if (acl["acltype"], acl["topic"]) != wanted]
        if len(kept) == len(role["acls"]):
            raise CommandRefused("ACL not found")
        role["acls"] = kept
        self._kick_holders(role)

    def _set_defaults(self, command: Json) -> None:
        for acl in command.get("acls", []):
            if acl.get("acltype") in self._defaults and isinstance(acl.get("allow"), bool):
                self._defaults[acl["acltype"]] = acl["allow"]

    def _kick_holders(self, role: Json) -> None:
        for client in self._clients.values():
            if any(entry["rolename"] == role["rolename"] for entry in client["roles"]):
                self._kicked.add(client["username"])

    def _client(self, command: Json) -> Json:
        client = self._clients.get(_text(command, "username"))
        if client is None:
            raise CommandRefused("Client not found")
        return client

    def _role(self, command: Json) -> Json:
        role = self._roles.get(_text(command, "rolename"))
        if role is None:
            raise CommandRefused("Role not found")
        return role

    def _role_entry(self, command: Json) -> Json:
        return {"rolename": self._role(command)["rolename"], "priority": int(command.get("priority", -1))}

    def _save(self) -> None:
        state = {
            "defaultACLAccess": self._defaults,
            "clients": list(self._clients.values()),
            "groups": [],
            "roles": list(self._roles.values()),
        }
        write_private(self._path, json.dumps(state, indent=1))


ACL_TYPES = frozenset(
    {
        "publishClientSend",
        "publishClientReceive",
        "subscribeLiteral",
        "subscribePattern",
        "unsubscribeLiteral",
        "unsubscribePattern",
    }
)


def _text(command: Json, name: str) -> str:
    value = command.get(name)
    if not isinstance(value, str) or not value:
        raise CommandRefused(f"Invalid/missing {name}")
    return value


def _acl(command: Json) -> Json:
    acltype = _text(command, "acltype")
    if acltype not in ACL_TYPES:
        raise CommandRefused("Invalid/missing acltype")
    return {
        "acltype": acltype,
        "topic": _text(command, "topic"),
        "priority": int(command.get("priority", -1)),
        "allow": bool(command.get("allow", False)),
    }


def _public(client: Json) -> Json:
    return {name: value for name, value in client.items() if name not in ("password", "salt", "iterations")}


def _listed(name: str, known: dict[str, Json], command: Json) -> Json:
    offset, count = int(command.get("offset", 0)), int(command.get("count", -1))
    page = sorted(known)[offset : None if count < 0 else offset + count]
    items = [_public(known[key]) for key in page] if command.get("verbose") else page
    return {"totalCount": len(known), name: items}
