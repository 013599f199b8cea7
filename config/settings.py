"""Settings, every value from the environment with a safe development default.

A secret `NAME` may also be given as a file, named in `NAME_FILE`. What production must not start without is checked in
`config.checks`.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.FileAwareEnv()

ENVIRONMENT: str = env.str("ENVIRONMENT", "development")
if ENVIRONMENT not in ("development", "staging", "production"):
    raise ImproperlyConfigured(f"ENVIRONMENT must be development, staging or production, not {ENVIRONMENT!r}")
PRODUCTION = ENVIRONMENT == "production"
DEBUG: bool = env.bool("DEBUG", False)
DEVELOPMENT_SECRET = "development-only-not-a-secret-0123456789abcdefghijklmnopq"  # noqa: S105 (production refuses it)
SECRET_KEY: str = env.str("SECRET_KEY", DEVELOPMENT_SECRET)
# {key id: secret}: the first signs, all verify, so that keys rotate with overlap.
JWT_KEYS: dict[str, str] = json.loads(env.str("JWT_KEYS", json.dumps({"dev": SECRET_KEY})))
JWT_ISSUER: str = env.str("JWT_ISSUER", "cartwise")
# {key id: base64 of 32 bytes}: the first encrypts fields and sessions, all decrypt. `manage.py rotate_keys` moves on.
DEVELOPMENT_FIELD_KEYS = {
    "dev": base64.b64encode(hashlib.sha256(f"fields:{DEVELOPMENT_SECRET}".encode()).digest()).decode()
}
FIELD_KEYS: dict[str, str] = json.loads(env.str("FIELD_KEYS", "{}")) or DEVELOPMENT_FIELD_KEYS
PUBLIC_URL: str = env.str("PUBLIC_URL", "http://127.0.0.1:8000")
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[PUBLIC_URL])
VAR_DIR = Path(env.str("VAR_DIR", str(BASE_DIR / "var")))
# Who was erased, one line each, ids alone. Kept outside the database, so that a restored backup can be told again.
ERASURE_JOURNAL: str = env.str("ERASURE_JOURNAL", str(VAR_DIR / "erasures.jsonl"))

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "core.admin.apps.BackOfficeAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "template_partials",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "channels",
    "corsheaders",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.google",
    "config.apps.CompositionConfig",
    "core",
    "tenants",
    "devices",
    "carts",
]

MIDDLEWARE = [
    "core.middleware.ProxiesMiddleware",
    "core.middleware.RequestIdMiddleware",
    "core.middleware.SecurityHeadersMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "core.middleware.PlausibleMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "tenants.cloudflare.CloudflareAccessMiddleware",
    "core.rates.RatesMiddleware",
    "core.origins.OriginMiddleware",
    "tenants.middleware.RequesterMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

_database: dict[str, Any] = dict(env.db_url("DATABASE_URL", "postgresql://cartwise@127.0.0.1:5432/cartwise"))
_database["ENGINE"] = "django.db.backends.postgresql"
# Every process has threads that live long; each keeps its connection.
_database["CONN_MAX_AGE"] = None
_database["CONN_HEALTH_CHECKS"] = True
_database["OPTIONS"] = {
    **_database.get("OPTIONS", {}),
    "application_name": env.str("PROCESS_NAME", "cartwise"),
    # A statement is planned twice and then kept prepared: planning the joins behind an unlock costs more than running
    # them. A pooler in front of PostgreSQL must know prepared statements (PgBouncer does from 1.21).
    "server_side_binding": True,
    "prepare_threshold": 2,
}
# The web's threads are few: none waits longer for a statement or for somebody's lock. Set by its entry points.
if timeout_ms := env.int("DATABASE_TIMEOUT_MS", 0):
    timeouts = f"-c statement_timeout={timeout_ms} -c lock_timeout={timeout_ms}"
    _database["OPTIONS"]["options"] = f"{_database['OPTIONS'].get('options', '')} {timeouts}".strip()
if name := env.str("TEST_DATABASE_NAME", ""):
    _database["TEST"] = {"NAME": name}
DATABASES = {"default": _database}
# The role the application runs as where another one migrates and owns the tables; that one gives it its rights.
DATABASE_APP_ROLE: str = env.str("DATABASE_APP_ROLE", "")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL: str = env.str("REDIS_URL", "redis://127.0.0.1:6379/0")
REDIS_KEY_PREFIX: str = env.str("REDIS_KEY_PREFIX", "cartwise")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": REDIS_KEY_PREFIX,
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": f"{REDIS_KEY_PREFIX}.live"},
    }
}

CELERY_BROKER_URL: str = env.str("CELERY_BROKER_URL", REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 100
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": f"{REDIS_KEY_PREFIX}."}
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
DJANGO_CELERY_BEAT_TZ_AWARE = True

# mqtt(s)://user:password@host:port of the bridge, and of the account that may write $CONTROL/dynamic-security.
MQTT_URL: str = env.str("MQTT_URL", "mqtt://127.0.0.1:1883")
MQTT_ADMIN_URL: str = env.str("MQTT_ADMIN_URL", "")
MQTT_BRIDGE_ID: str = env.str("MQTT_BRIDGE_ID", "bridge-1")
# What devices are told at registration: the broker as they see it, which a tunnel may make another address.
MQTT_PUBLIC_HOST: str = env.str("MQTT_PUBLIC_HOST", "127.0.0.1")
MQTT_PUBLIC_PORT: int = env.int("MQTT_PUBLIC_PORT", 1883)
# How long a registration waits for the broker to know the new device; the account comes from the bridge.
BROKER_WAIT_S: float = env.float("BROKER_WAIT_S", 2.0)
MQTT_PUBLIC_TLS: bool = env.bool("MQTT_PUBLIC_TLS", False)

SMS_GATEWAY: str = env.str("SMS_GATEWAY", "inforu")
SMS_BASE_URL: str = env.str("SMS_BASE_URL", "http://127.0.0.1:8025")
SMS_USER: str = env.str("SMS_USER", "cartwise")
SMS_API_KEY: str = env.str("SMS_API_KEY", "")
SMS_SENDER: str = env.str("SMS_SENDER", "CartWise")
SMS_TEMPLATE: str = env.str("SMS_TEMPLATE", "cartwise-otp")
# OTP may be sent to these countries only (ISO 3166-1): SMS pumping lives on premium ranges elsewhere.
OTP_COUNTRIES: list[str] = env.list("OTP_COUNTRIES", default=["IL", "IR", "FR"])
OTP_DAILY_BUDGET: int = env.int("OTP_DAILY_BUDGET", 5000)
OTP_SENDS_PER_ADDRESS_PER_HOUR: int = env.int("OTP_SENDS_PER_ADDRESS_PER_HOUR", 30)
# Proxies whose X-Forwarded-For is believed, as addresses or networks (10.0.0.0/8); empty: only the peer's own counts.
TRUSTED_PROXIES: list[str] = env.list("TRUSTED_PROXIES", default=[])
# Requests a minute by tier and class (core/rates.py); `address` is for all who share one, as a store's guests or the
# customers of a mobile operator do. RATE_LIMITS changes some: {"program": {"write": 1200}}. The factor is for all.
RATE_LIMIT_FACTOR: int = env.int("RATE_LIMIT_FACTOR", 1)
DEFAULT_RATE_LIMITS: dict[str, dict[str, int]] = {
    "anonymous": {"sign-in": 60, "write": 300, "read": 1200, "device": 300},
    "customer": {"sign-in": 60, "write": 120, "read": 600},
    "manager": {"sign-in": 60, "write": 300, "read": 1200},
    "staff": {"sign-in": 60, "write": 600, "read": 2400},
    "program": {"sign-in": 60, "write": 600, "read": 1200},
    "device": {"device": 60, "write": 300, "read": 300},
    "address": {"sign-in": 120, "write": 3000, "read": 12000, "device": 3000, "socket": 1200},
}
_given_limits: dict[str, dict[str, int]] = json.loads(env.str("RATE_LIMITS", "{}"))
RATE_LIMITS: dict[str, dict[str, int]] = {
    tier: {
        kind: most * RATE_LIMIT_FACTOR
        for kind, most in {**DEFAULT_RATE_LIMITS.get(tier, {}), **_given_limits.get(tier, {})}.items()
    }
    for tier in {**DEFAULT_RATE_LIMITS, **_given_limits}
}
RATE_TIER = "tenants.tiers.tier_of"
# Pages of these origins may call the REST API with a token of their own; never with our cookies.
CORS_ALLOWED_ORIGINS: list[str] = env.list("CORS_ALLOWED_ORIGINS", default=[])
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_HEADERS = ["accept", "accept-language", "authorization", "content-type", "idempotency-key", "x-request-id"]
CORS_EXPOSE_HEADERS = ["RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"]

AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = ["tenants.backend.Backend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/auth/home"
SESSION_ENGINE = "tenants.session_store"

# Sign-in, sign-up and second factors are allauth's, under our paths (tenants/urls.py), limits and templates.
ACCOUNT_ADAPTER = "tenants.allauth_adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_LOGIN_BY_CODE_ENABLED = True
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
ACCOUNT_LOGIN_ON_PASSWORD_RESET = False
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = True
ACCOUNT_MAX_EMAIL_ADDRESSES = 2
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_FORMS = {
    "login": "tenants.forms.SignInForm",
    "signup": "tenants.forms.SignUpForm",
    "request_login_code": "tenants.forms.CodeRequestForm",
    "confirm_login_code": "tenants.forms.SignInCodeForm",
    "confirm_email_verification_code": "tenants.forms.AddressCodeForm",
    "reset_password": "tenants.forms.ResetForm",
    "confirm_password_reset_code": "tenants.forms.ResetCodeForm",
    "reset_password_from_key": "tenants.forms.NewPasswordForm",
    "add_email": "tenants.forms.EmailForm",
    "reauthenticate": "tenants.forms.ConfirmForm",
    "change_password": "tenants.forms.ChangePasswordForm",
    "set_password": "tenants.forms.SetPasswordForm",
}
# Codes by mail: five guesses each. None is sent again within its page: that would tell known addresses from unknown.
ALLAUTH_USER_CODE_FORMAT = {"numeric": True, "length": 6, "dashed": False}
ACCOUNT_LOGIN_BY_CODE_MAX_ATTEMPTS = ACCOUNT_EMAIL_VERIFICATION_BY_CODE_MAX_ATTEMPTS = 5
ACCOUNT_PASSWORD_RESET_BY_CODE_MAX_ATTEMPTS = 5
ACCOUNT_LOGIN_BY_CODE_TIMEOUT = ACCOUNT_EMAIL_VERIFICATION_BY_CODE_TIMEOUT = 10 * 60
ACCOUNT_PASSWORD_RESET_BY_CODE_TIMEOUT = 10 * 60
ACCOUNT_RATE_LIMITS = False  # ours count in Redis and fail closed (core/limits.py)
MFA_ADAPTER = "tenants.allauth_adapters.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_RATE_LIMITS = False
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "CartWise"
MFA_TOTP_TOLERANCE = 1
MFA_FORMS = {
    "authenticate": "tenants.factor_forms.AuthenticateForm",
    "authenticate_webauthn": "tenants.factor_forms.AuthenticateKeyForm",
    "reauthenticate": "tenants.factor_forms.ReauthenticateForm",
    "reauthenticate_webauthn": "tenants.factor_forms.ReauthenticateKeyForm",
    "login_webauthn": "tenants.factor_forms.SignInKeyForm",
}
# Browsers themselves insist on https but for localhost.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION
SOCIALACCOUNT_ADAPTER = "tenants.allauth_adapters.SocialAccountAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = False  # our adapter links, after the second factor
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"  # Google verified the address it was linked by
SOCIALACCOUNT_FORMS = {"disconnect": "tenants.forms.UnlinkForm"}
SOCIALACCOUNT_AUTO_SIGNUP = True
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5
# Google (OpenID Connect); without a client id the button is not there. The addresses are settings for the simulator.
GOOGLE_CLIENT_ID: str = env.str("GOOGLE_CLIENT_ID", "")
_authorize_url: str = env.str("GOOGLE_AUTHORIZE_URL", "https://accounts.google.com/o/oauth2/v2/auth")
# Where a form of ours may lead besides ourselves: the button that sends people there.
FORM_TARGETS: list[str] = ["/".join(_authorize_url.split("/")[:3])] if GOOGLE_CLIENT_ID else []
SOCIALACCOUNT_PROVIDERS = {
    "google": {
        "APPS": [{"client_id": GOOGLE_CLIENT_ID, "secret": env.str("GOOGLE_CLIENT_SECRET", ""), "key": ""}]
        if GOOGLE_CLIENT_ID
        else [],
        "SCOPE": ["openid", "email", "profile"],
        "OAUTH_PKCE_ENABLED": True,
        "AUTHORIZE_URL": _authorize_url,
        "ACCESS_TOKEN_URL": env.str("GOOGLE_TOKEN_URL", "https://oauth2.googleapis.com/token"),
        "ID_TOKEN_ISSUER": env.str("GOOGLE_ISSUER", "https://accounts.google.com"),
        "CERTS_URL": env.str("GOOGLE_CERTS_URL", "https://www.googleapis.com/oauth2/v1/certs"),
    }
}
# Cloudflare Access: `https://<team>.cloudflareaccess.com` and the AUD tags of our applications; empty means not used.
CF_ACCESS_TEAM_URL: str = env.str("CF_ACCESS_TEAM_URL", "").rstrip("/")
CF_ACCESS_AUDIENCES: list[str] = env.list("CF_ACCESS_AUDIENCES", default=[])
# Only where the team's own policy asks for two factors.
CF_ACCESS_IS_SECOND_FACTOR: bool = env.bool("CF_ACCESS_IS_SECOND_FACTOR", False)
# Back-office pages are then refused to whoever comes without the header.
CF_ACCESS_REQUIRED: bool = env.bool("CF_ACCESS_REQUIRED", False)

EMAIL_HOST: str = env.str("EMAIL_HOST", "127.0.0.1")
EMAIL_PORT: int = env.int("EMAIL_PORT", 1025)
EMAIL_HOST_USER: str = env.str("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD: str = env.str("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS: bool = env.bool("EMAIL_USE_TLS", False)
EMAIL_TIMEOUT = 5
DEFAULT_FROM_EMAIL: str = env.str("DEFAULT_FROM_EMAIL", "CartWise <no-reply@cartwise.example>")
SESSION_COOKIE_AGE = 30 * 24 * 3600
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = PRODUCTION
# Pages carry the token they need.
CSRF_COOKIE_HTTPONLY = LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = PRODUCTION and env.bool("SECURE_SSL_REDIRECT", True)
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
# Of any request, files and all.
LARGEST_BODY_BYTES: int = env.int("LARGEST_BODY_BYTES", 5 * 1024 * 1024)

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("he", _("Hebrew")), ("fa", _("Persian")), ("fr", _("French"))]
LOCALE_PATHS = [BASE_DIR / "core" / "locale"]
USE_I18N = USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
# Where `collectstatic` puts files for production; elsewhere they are served from where they lie.
STATIC_ROOT: str | None = env.str("STATIC_ROOT", str(BASE_DIR / "staticfiles")) if PRODUCTION else None
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not PRODUCTION
# Look at the files anew each time, so that an edit shows; production has them hashed and collected.
WHITENOISE_AUTOREFRESH = not PRODUCTION
WHITENOISE_ALLOW_ALL_ORIGINS = False

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tenants.api.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
        "tenants.api.authentication.CloudflareAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["core.api.Renderer"],
    "DATETIME_FORMAT": None,
    "DEFAULT_PARSER_CLASSES": ["core.api.BodyParser"],
    "DEFAULT_PAGINATION_CLASS": "core.api.Pagination",
    "DEFAULT_FILTER_BACKENDS": ["core.api.FilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "core.api.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "CartWise Back Office",
    "VERSION": "1.0.0",
    "DESCRIPTION": "Carts, rentals, devices, telemetry of unattended retail. Errors come as one envelope (RFC 9457).",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "core.openapi.tell_refusals",
    ],
    "ENUM_NAME_OVERRIDES": {
        "CartStatus": "carts.enums.CartStatus",
        "RentalStatus": "carts.enums.RentalStatus",
        "DeviceState": "devices.enums.DeviceState",
        "PresenceState": "devices.enums.PresenceState",
    },
}

UNFOLD = {
    "SITE_TITLE": "CartWise",
    "SITE_HEADER": "CartWise",
    "SITE_SUBHEADER": _("Back office"),
    "SITE_SYMBOL": "shopping_cart",
    "SITE_URL": "/control/",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("core/favicon.svg")},
    ],
    "SHOW_HISTORY": True,
    "SHOW_LANGUAGES": True,
    "DASHBOARD_CALLBACK": "carts.admin.dashboard.dashboard",
    "SIDEBAR": {"show_search": True, "command_search": True, "navigation": "core.admin.navigation.sidebar"},
}

LOG_LEVEL: str = env.str("LOG_LEVEL", "INFO")
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "core.logs.RequestIdFilter"}, "health": {"()": "core.logs.HealthFilter"}},
    "formatters": {"json": {"()": "core.logs.JsonFormatter"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["request_id"]},
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django.request": {"filters": ["health"]},
        "django.server": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
    },
}
