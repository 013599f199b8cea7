"""Who may ask what: every address of the product and each method it takes. A new address is declared here.

Words: `anybody`; `flow` (part of signing in: where it leads depends on how far one is); `person` (signed in, by
whatever way); `self` (signed in as oneself, for one's own account; pages may ask to prove it first); `staff`;
`device` (with its own token); `renter` (a customer of the branch); `owner` (whose rental it is); `renting` (a person,
but no program whose token does not carry it); or a permission, which holds on things of a branch unless `@chain` or
`@platform` says where it is needed. `|` means that one is enough. A permission of a list says who may open it, which
may show nothing.
"""

from dataclasses import dataclass

ANYBODY, FLOW, PERSON, SELF = "anybody", "flow", "person", "self"
STAFF, DEVICE, RENTER, OWNER, RENTING = "staff", "device", "renter", "owner", "renting"
GET, POST, PUT, PATCH, DELETE = "GET", "POST", "PUT", "PATCH", "DELETE"
FLOWS = {GET: FLOW, POST: FLOW}

PAGES: dict[str, dict[str, str]] = {
    "home": {GET: FLOW},
    "healthz": {GET: FLOW},
    "set_language": {POST: ANYBODY},
    "api-schema": {GET: ANYBODY},
    "api-docs": {GET: ANYBODY},
    # Signing in, and one's own account: allauth's.
    "account_login": FLOWS,
    "account_signup": FLOWS,
    "account_logout": FLOWS,
    "account_inactive": {GET: FLOW},
    "account_reauthenticate": FLOWS,
    "account_request_login_code": FLOWS,
    "account_confirm_login_code": FLOWS,
    "account_email": FLOWS,
    "account_email_verification_sent": FLOWS,
    "account_change_password": FLOWS,
    "account_set_password": FLOWS,
    "account_reset_password": FLOWS,
    "account_confirm_password_reset_code": FLOWS,
    "account_complete_password_reset": FLOWS,
    "account_password_reset_completed": {GET: FLOW},
    "mfa_index": {GET: FLOW},
    "mfa_authenticate": FLOWS,
    "mfa_reauthenticate": FLOWS,
    "mfa_activate_totp": FLOWS,
    "mfa_deactivate_totp": FLOWS,
    "mfa_generate_recovery_codes": FLOWS,
    "mfa_list_webauthn": {GET: FLOW},
    "mfa_add_webauthn": FLOWS,
    "mfa_reauthenticate_webauthn": FLOWS,
    "mfa_login_webauthn": FLOWS,
    "mfa_remove_webauthn": FLOWS,
    "mfa_edit_webauthn": FLOWS,
    "google_login": FLOWS,
    "google_callback": {GET: FLOW},
    "socialaccount_login_cancelled": {GET: FLOW},
    "socialaccount_login_error": {GET: FLOW},
    "socialaccount_connections": FLOWS,
    "tenants:home": {GET: PERSON},
    "tenants:second-factor": {GET: FLOW},
    "tenants:sign-in-link": FLOWS,
    "tenants:sign-out": {POST: FLOW},
    "tenants:invitation": FLOWS,
    "tenants:leave": {POST: FLOW},
    # One's own account.
    "tenants:security": {GET: SELF},
    "tenants:sessions": {GET: SELF},
    "tenants:sessions-end-others": {POST: SELF},
    "tenants:session-end": {POST: SELF},
    "tenants:app-session-end": {POST: SELF},
    "tenants:profile": {GET: SELF, POST: SELF},
    "tenants:tokens": {GET: SELF},
    "tenants:token-create": {GET: SELF, POST: SELF},
    "tenants:token-revoke": {GET: SELF, POST: SELF},
    "tenants:my-data": {GET: SELF},
    "tenants:my-data-download": {POST: SELF},
    "tenants:my-data-delete": {POST: SELF},
    "tenants:phone": {GET: FLOW, POST: FLOW},
    "tenants:phone-code": {GET: FLOW, POST: FLOW},
    "tenants:phone-resend": {POST: FLOW},
    "tenants:see-as": {GET: SELF, POST: SELF},
    "tenants:act-as": {GET: "users:impersonate", POST: "users:impersonate"},
    # A tenant's people.
    "people:person-list": {GET: "users:view"},
    "people:person-export": {POST: "users:view"},
    "people:person-invite": {GET: "grants:add", POST: "grants:add"},
    "people:invitation-resend": {POST: "grants:add"},
    "people:invitation-withdraw": {POST: "grants:add"},
    "people:person-detail": {GET: "users:view"},
    "people:person-close": {POST: "users:change"},
    "people:person-reopen": {POST: "users:change"},
    "people:grant-give": {POST: "grants:add"},
    "people:grant-take": {POST: "grants:delete"},
    "people:access": {GET: PERSON},
    "people:audit": {GET: "audit:view"},
    "people:audit-export": {POST: "audit:view"},
    "people:support-access": {
        GET: "support_access:view@chain | support_access:open@chain",
        POST: "support_access:open@chain",
    },
    "people:support-access-end": {POST: "support_access:end@chain | self"},
    # Customers.
    "carts:cart": {GET: ANYBODY},
    "carts:phone": {GET: ANYBODY, POST: ANYBODY},
    "carts:code": {GET: FLOW, POST: FLOW},
    "carts:resend": {POST: FLOW},
    "carts:unlock": {POST: FLOW},
    "carts:rental-detail": {GET: OWNER},
    "carts:rental-return": {POST: OWNER},
    "carts:rental-did-not-open": {POST: OWNER},
    "carts:customer-history": {GET: ANYBODY},
    # Managers.
    "carts:branch-list": {GET: PERSON},
    "carts:branch-detail": {GET: "carts:view"},
    "carts:branch-posters": {GET: "carts:view"},
    "carts:cart-detail": {GET: "carts:view"},
    "carts:cart-unlock": {POST: "carts:command"},
    "carts:cart-lock": {POST: "carts:command"},
    "carts:cart-maintenance": {POST: "carts:change"},
    "carts:cart-restore": {POST: "carts:change"},
    "carts:rental-end": {GET: "rentals:close", POST: "rentals:close"},
}

REST: dict[str, dict[str, str]] = {
    "api-otp-request": {POST: FLOW},
    "api-otp-verify": {POST: FLOW},
    "api-token-refresh": {POST: FLOW},
    "api-register": {POST: FLOW},
    "api-register-verify": {POST: FLOW},
    "api-login": {POST: FLOW},
    "api-logout": {POST: FLOW},
    "api-me": {GET: PERSON, PATCH: SELF},
    "api-token-list": {GET: SELF, POST: SELF},
    "api-token-detail": {DELETE: SELF},
    "api-access-explain": {GET: PERSON},
    "api-audit-list": {GET: "audit:view"},
    "api-chain-list": {GET: PERSON, POST: "chains:add@platform"},
    "api-chain-detail": {
        GET: "chains:view@chain",
        PUT: "chains:change@chain",
        DELETE: "chains:delete@chain",
    },
    "api-branch-list": {GET: PERSON, POST: "branches:add@chain"},
    "api-branch-detail": {GET: "branches:view | renter"},
    "api-branch-stats": {GET: "rentals:view"},
    "api-device-list": {GET: PERSON},
    "api-device-register": {POST: FLOW},
    "api-heartbeat": {POST: DEVICE},
    "api-device-detail": {GET: "devices:view"},
    "api-device-heartbeat": {POST: DEVICE},
    "api-device-config": {GET: DEVICE},
    "api-device-token": {POST: DEVICE},
    "api-device-status": {GET: "devices:view"},
    "api-device-firmware": {PUT: "devices:change"},
    "api-device-telemetry": {GET: "devices:view"},
    "api-branch-telemetry": {GET: "branches:view | renter"},
    "api-chain-telemetry": {GET: "chains:view@chain"},
    "api-cart-list": {GET: "branches:view | renter"},
    "api-cart-detail": {GET: "carts:view | renter"},
    "api-cart-assign": {POST: RENTING},
    "api-cart-return": {POST: "rentals:return | owner"},
    "api-rental-active": {GET: "branches:view | renter"},
    "api-rental-history": {GET: "branches:view | renter"},
    "api-rental-stats": {GET: "rentals:view"},
}

SOCKETS: dict[str, str] = {
    "ws/branches/<uuid:branch_id>": "carts:view",
    "ws/rentals/<uuid:rental_id>": OWNER,
    "ws/me": PERSON,
}

# The admin's pages are declared by what they are of: `resource:view` and so on. These are the site's own.
ADMIN: dict[str, dict[str, str]] = {
    "admin:index": {GET: STAFF},
    "admin:login": FLOWS,
    "admin:logout": {POST: FLOW},
    "admin:password_change": {GET: STAFF},
    "admin:password_change_done": {GET: STAFF},
    "admin:autocomplete": {GET: FLOW},
    "admin:search": {GET: STAFF},
    "admin:jsi18n": {GET: STAFF},
    "admin:view_on_site": {GET: FLOW},
    "admin:app_list": {GET: FLOW},
    "admin:None": {GET: FLOW},
}
# Those of the admin that have no name, by route: one of each model, which leads to the page of a row, and whatever is
# no page. Another one without a name is not declared.
UNNAMED_OF_A_MODEL = "admin/{app_label}/{model_name}/<path:object_id>/"
UNNAMED_OF_THE_SITE = "admin/(?P<url>.*)$"

# Writes that no request of the matrix gets through, and why; they are let through in the tests of what they do.
_BY_MAIL, _BY_HAND = "the code or token is in a mail", "a code of an app, or a key's answer, is made in a person's hand"
NEVER_VALID: dict[str, str] = {
    **dict.fromkeys(("account_confirm_login_code", "account_confirm_password_reset_code"), _BY_MAIL),
    **dict.fromkeys(("tenants:invitation", "tenants:sign-in-link", "api-register-verify"), _BY_MAIL),
    **dict.fromkeys(("tenants:phone-code", "carts:code", "api-otp-verify"), "the code is in a text message"),
    **dict.fromkeys(("mfa_activate_totp", "mfa_add_webauthn", "mfa_login_webauthn", "mfa_authenticate"), _BY_HAND),
    **dict.fromkeys(("mfa_reauthenticate", "mfa_reauthenticate_webauthn"), _BY_HAND),
    "account_login": "nobody here has a password",
    "api-login": "the same",
    "api-token-refresh": "each token works once",
    "api-device-register": "the code to enrol with is shown once",
    "api-cart-return": "the lock says when a cart is back",
    "admin:tenants_grant_add": "roles are chosen there by those who see all of them; others use the people pages",
    "admin:django_celery_beat_periodictask_add": "the platform's: one of three kinds of schedules has to be chosen",
    "api-chain-detail": "a chain with branches stays",
}
# Writes for which another permission must be held: the one their body names, or one of whoever has to be outranked.
NAMES = {
    **dict.fromkeys(("tenants:token-create", "api-token-list"), "carts:view"),
    **dict.fromkeys(("people:person-close", "people:person-reopen"), "carts:change"),
}

# What is no chain's or branch's when it is new: it is added by those who may everywhere.
ADDED_EVERYWHERE = {
    "tenants.Chain",
    "tenants.Role",
    "tenants.User",
    "django_celery_beat.PeriodicTask",
    "django_celery_beat.IntervalSchedule",
    "django_celery_beat.CrontabSchedule",
    "django_celery_beat.ClockedSchedule",
}


@dataclass(frozen=True, slots=True)
class Open:
    """What an address tells on purpose to whoever holds what stands in it; everything else is judged as elsewhere.

    `fields`: names in the address, the query or the body in which somebody else's thing may be answered otherwise than
    nobody's; `work`: those in which it may only cost other queries; `says` and `changes`: models whose rows may be told
    of, or changed, whosever they are.
    """

    why: str
    fields: frozenset[str] = frozenset()
    says: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    work: frozenset[str] = frozenset()


CLOSED = Open("nothing is open")
_SHOP = frozenset({"tenants.chain", "tenants.branch", "carts.cart"})
_RENTED = frozenset(
    {
        "carts.cart",
        "carts.rental",
        "devices.command",
        "core.outboxmessage",
        "core.statechange",
        "core.auditentry",
        "tenants.grant",
    }
)
_ON_THE_CART = Open("a cart's QR code is read by whoever stands before it", frozenset({"public_code"}), _SHOP)
OPEN_TO_ALL = {
    **dict.fromkeys(("carts:cart", "carts:phone", "carts:code", "carts:resend"), _ON_THE_CART),
    "carts:unlock": Open("people rent wherever they stand", frozenset({"public_code"}), _SHOP, _RENTED),
    "api-cart-assign": Open(
        "people rent wherever they stand; the number is painted on the cart", frozenset({"cart_number"}), _SHOP, _RENTED
    ),
    "api-register-verify": Open(
        "whoever asked for an account alone knows its random id; a guess at its code is counted",
        frozenset({"registration"}),
        changes=frozenset({"tenants.registration"}),
    ),
    **dict.fromkeys(
        ("account_login", "account_request_login_code", "account_reset_password"),
        Open("known addresses are found in another table than looked for last", work=frozenset({"login", "email"})),
    ),
    "admin:tenants_user_change": Open(
        "an address and a number are one person's, of all chains", frozenset({"email", "phone"})
    ),
    "account_signup": Open("an account is made where there is none", work=frozenset({"email"})),
}
