"""What Django and the packages are told; what may be set from outside is `environment.py`'s."""

import socket
from datetime import timedelta
from urllib.parse import unquote, urlsplit

from storeplatform.environment import (
    BASE_DIR,
    SECRET_NAMES,
    database_from_url,
    key_versions,
    read_environment,
)

ENV = read_environment()
DEVELOPMENT = ENV.APP_ENV == "development"
KEYS = {name: key_versions(name, getattr(ENV, name)) for name in SECRET_NAMES}
STATE_DIR = ENV.STATE_DIR.resolve()
PUBLIC_ORIGIN = (ENV.PUBLIC_ORIGIN or f"http://localhost:{ENV.PORT}").rstrip("/")
REDIS_URL = ENV.REDIS_URL
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        # A subscription blocks until something is published: no socket timeout.
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}], "prefix": "store"},
    }
}
THREADS = ENV.THREADS
TRUSTED_PROXY_COUNT = ENV.TRUSTED_PROXY_COUNT
RATE_LIMITS = ENV.RATE_LIMITS
HUB = ENV.HUB
IDEMPOTENCY_RETENTION = timedelta(days=ENV.IDEMPOTENCY_RETENTION_DAYS)
OTP_PROVIDERS = ENV.OTP_PROVIDER
OTP_FILE = ENV.OTP_FILE or STATE_DIR / "otp.jsonl"
OTP_EXPOSE_CODE = ENV.OTP_EXPOSE_CODE
NAWA_BASE_URL = ENV.NAWA_BASE_URL.rstrip("/")
NAWA_API_KEY = ENV.NAWA_API_KEY
NAWA_WEBHOOK_SECRETS = [
    secret for secret in (ENV.NAWA_WEBHOOK_SECRET, ENV.NAWA_WEBHOOK_SECRET_PREVIOUS) if secret
]
NAWA_TIMEOUT_SECONDS = ENV.NAWA_TIMEOUT_SECONDS
OUTBOUND_LOOPBACK = ENV.OUTBOUND_LOOPBACK
ADMIN_SECOND_FACTOR = ENV.ADMIN_SECOND_FACTOR or ("optional" if DEVELOPMENT else "required")
METRICS_TOKEN = ENV.METRICS_TOKEN
METRICS_DIR = ENV.METRICS_DIR or STATE_DIR / "metrics" / socket.gethostname()
TRACES_URL = ENV.TRACES_URL
JWT_ALGORITHM, JWT_KEY_FILES = ENV.JWT_ALGORITHM, ENV.JWT_KEY_FILES
API_VERSION = "2026-11-01"

DEBUG = False
SECRET_KEY, *SECRET_KEY_FALLBACKS = [key.decode() for key in KEYS["SECRET_KEY"].values()]
ALLOWED_HOSTS = ENV.ALLOWED_HOSTS
ROOT_URLCONF = "storeplatform.urls"
ASGI_APPLICATION = "storeplatform.asgi.application"
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ar", "العربية"), ("ckb", "کوردی")]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "stores.User"

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "storeplatform.kernel.desk.DeskConfig",  # django.contrib.admin with our site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "channels",
    "django_tasks",
    "django_tasks_db",
    "corsheaders",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "storeplatform.kernel",
    "store_modules.stores",
    "store_modules.geography",
    "store_modules.catalog",
    "store_modules.customers",
    "store_modules.purchasing",
    "store_modules.discounts",
    "store_modules.shipping",
    "store_modules.orders",
    "store_modules.cashier",
    "store_modules.expenses",
    "store_modules.printing",
    "store_modules.spreadsheets",
    "store_modules.delivery",
    "store_modules.analytics",
    "chat",
    "tickets",
    "integrations.api_keys",
    "integrations.otp",
    "integrations.nawa",
    "integrations.webhooks",
    "oauth2_provider",
    "integrations.mcp.oauth",
    "integrations.mcp",
]

MIDDLEWARE = [
    "storeplatform.kernel.middleware.RequestMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "storeplatform.kernel.middleware.BrowserMiddleware",
]
# Sessions, CSRF and the like belong to pages; API requests carry their own credential.
BROWSER_MIDDLEWARE = [
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "storeplatform" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

SILENCED_SYSTEM_CHECKS = [
    "admin.E408",
    "admin.E409",
    "admin.E410",
    "axes.W002",
]  # browser middleware
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_FORM_FIELD = "username"  # as the form says; else it looks for "email" and finds none
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "code"]
AXES_CLIENT_IP_CALLABLE = "storeplatform.kernel.addresses.client_network"
AXES_VERBOSE = False

DATABASES = {"default": database_from_url(ENV.DATABASE_URL)}
DATABASES["default"]["OPTIONS"] |= {
    "prepare_threshold": 1,  # for kernel.database.prepared; the ORM binds on the client
    "pool": {"min_size": 2, "max_size": THREADS + THREADS // 2 + 4, "timeout": 2},
    "options": "-c statement_timeout=15s -c lock_timeout=5s"
    " -c idle_in_transaction_session_timeout=30s -c timezone=UTC",
}

MEDIA_ROOT = STATE_DIR / "media"
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # straight from the packages; nothing to collect
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 2**20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
DATA_UPLOAD_MAX_NUMBER_FILES = 5
FILE_UPLOAD_PERMISSIONS = 0o600

PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]

EMAIL_CONFIGURED = bool(ENV.EMAIL_URL)
DEFAULT_FROM_EMAIL = ENV.EMAIL_FROM
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
if EMAIL_CONFIGURED:
    _mail = urlsplit(ENV.EMAIL_URL)
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    EMAIL_HOST, EMAIL_PORT = _mail.hostname or "localhost", _mail.port or 587
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = (
        unquote(_mail.username or ""),
        unquote(_mail.password or ""),
    )
    EMAIL_USE_SSL, EMAIL_USE_TLS = _mail.scheme == "smtps", _mail.scheme == "smtp+tls"
elif not DEVELOPMENT:
    EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Strict"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENV.BEHIND_TLS
SECURE_SSL_REDIRECT = False  # the proxy that ends TLS redirects; health checks speak plain HTTP
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
if ENV.BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CORS_ALLOWED_ORIGINS = ENV.CORS_ORIGINS
CORS_ALLOW_CREDENTIALS = True
CORS_URLS_REGEX = r"^/api/v1/(auth|store/(?!integrations)|address-reference)/.*$"

# The desk's scripts (Alpine) and the API pages evaluate expressions; nothing comes from elsewhere.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'", "'unsafe-inline'", "'unsafe-eval'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
UNFOLD = {
    "SITE_TITLE": "Store Platform",
    "SITE_HEADER": "Operators' desk",
    "SITE_URL": "/docs",
    "LOGIN": {"form": "storeplatform.kernel.second_factor.SignInForm"},
    "ACCOUNT": {"navigation": [{"title": "Second factor", "link": "/admin/second-factor/"}]},
}
OTP_TOTP_ISSUER = "Store Platform"
OTP_ADMIN_HIDE_SENSITIVE_DATA = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "storeplatform.kernel.logging.JSONFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        "django.request": {"level": "ERROR"},
    },
}

# What django-tasks enqueues with; `kernel.background` is the same over both.
TASK_ENGINE = ENV.TASKS
TASKS = {
    "default": {
        "BACKEND": "django_tasks_db.DatabaseBackend"
        if TASK_ENGINE == "database"
        else "storeplatform.kernel.celery_tasks.CeleryBackend",
        "QUEUES": ["default"],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["store_modules.stores.authentication.SignInAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["storeplatform.kernel.permissions.HasGrant"],
    "DEFAULT_PARSER_CLASSES": ["storeplatform.kernel.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["storeplatform.kernel.parsing.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "storeplatform.kernel.parsing.AlwaysJSON",
    "DEFAULT_SCHEMA_CLASS": "storeplatform.kernel.openapi.OperationSchema",
    "EXCEPTION_HANDLER": "storeplatform.kernel.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
    "URL_FORMAT_OVERRIDE": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Store Platform API",
    "DESCRIPTION": "Orders, catalogue, stock and customers of a store: for its own programs by API"
    " key, for its people by JWT.",
    "VERSION": API_VERSION,
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_NO_READ_ONLY_REQUIRED": True,
    "CONTACT": {"name": "The operators of this platform", "url": f"{PUBLIC_ORIGIN}/docs"},
    "LICENSE": {"name": "All rights reserved", "identifier": "LicenseRef-Proprietary"},
    "SERVERS": [{"url": ENV.PUBLIC_ORIGIN.rstrip("/") or "/"}],
    "PREPROCESSING_HOOKS": ["storeplatform.urls.without_other_spellings"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "OrderStatus": "store_modules.orders.status.Status",
        "FulfillmentStatus": "store_modules.orders.status.FulfillmentStatus",
        "MembershipStatus": "store_modules.stores.models.Membership.Status",
        "OrderChannel": "store_modules.orders.models.Channel",
        "PaymentMethod": "store_modules.orders.models.PaymentMethod",
        "BookedMethod": "store_modules.orders.models.BookedMethod",
        "TillMethod": "store_modules.cashier.models.DrawerEntry.Method",
        "ParcelReason": "store_modules.orders.status.Reason",
        "PriceSource": "store_modules.orders.models.Source",
        "DiscountType": "store_modules.discounts.models.Type",
        "ImportKind": "store_modules.spreadsheets.models.ImportJob.Kind",
        "ImportStatus": "store_modules.spreadsheets.models.ImportJob.Status",
        "ConversationStatus": "chat.models.Conversation.Status",
        "MessageType": "chat.models.Message.Type",
        "MessageDirection": "chat.models.Message.Direction",
        "ChannelKind": "chat.models.Channel.Kind",
        "TicketStatus": "tickets.models.Status",
        "Priority": "tickets.models.Priority",
        "TicketCategory": "tickets.models.Category",
        "PrintType": "store_modules.printing.models.PrintTemplate.Type",
        "DeliveryStatus": "integrations.webhooks.models.Delivery.Status",
        "DispatchState": "store_modules.delivery.models.Dispatch.State",
        "SettlementState": "store_modules.delivery.models.Settlement.State",
        "SettlementSource": "store_modules.delivery.models.Settlement.Source",
    },
}

SIMPLE_JWT = {
    # Keys and algorithm: store_modules.stores.signing
    "ISSUER": PUBLIC_ORIGIN,
    "AUDIENCE": "store-api",
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=30),
    "LEEWAY": 30,
    "USER_ID_CLAIM": "sub",
}
SIGN_IN_LIFETIME = timedelta(days=90)

# AI agents: one resource and one authorization server, both at the public origin
MCP_PATH = "/api/v1/store/mcp"
MCP_RESOURCE = PUBLIC_ORIGIN + MCP_PATH
MCP_THREADS = max(2, THREADS // 2)
MCP_READ_SECONDS = 10
OAUTH2_PROVIDER_APPLICATION_MODEL = "oauth.Application"
OAUTH2_PROVIDER_GRANT_MODEL = "oauth.Grant"
OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL = "oauth.AccessToken"  # noqa: S105  # a model's name
OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL = "oauth.RefreshToken"  # noqa: S105
OAUTH2_PROVIDER_ID_TOKEN_MODEL = "oauth.IDToken"  # noqa: S105
MCP_FIRST_SCOPES = ["store:read", "catalog:read", "orders:read"]
MCP_SCOPES = [
    *MCP_FIRST_SCOPES,
    "catalog:write",
    "inventory:read",
    "inventory:write",
    "orders:write",
    "customers:read",
    "customers:write",
    "tickets:read",
    "tickets:write",
    "messaging:read",
    "messaging:write",
    "purchasing:write",
    "analytics:read",
    "offline_access",
]
OAUTH2_PROVIDER = {
    "SCOPES": dict.fromkeys(MCP_SCOPES, ""),
    "DEFAULT_SCOPES": MCP_FIRST_SCOPES,
    "OAUTH2_VALIDATOR_CLASS": "integrations.mcp.oauth.validators.Validator",
    "OIDC_ISS_ENDPOINT": PUBLIC_ORIGIN,
    "PKCE_REQUIRED": True,
    "OAUTH2_RESPONSE_TYPES_SUPPORTED": ["code"],
    "OAUTH2_GRANT_TYPES_SUPPORTED": ["authorization_code", "refresh_token"],
    "OAUTH2_TOKEN_ENDPOINT_AUTH_METHODS_SUPPORTED": [
        "none",
        "client_secret_basic",
        "client_secret_post",
    ],
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https", "http", "cursor", "vscode", "vscode-insiders"],
    "ALLOW_LOCALHOST_LOOPBACK": True,
    "ROTATE_REFRESH_TOKEN": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": 0,
    "ACCESS_TOKEN_EXPIRE_SECONDS": 900,
    "REFRESH_TOKEN_EXPIRE_SECONDS": 30 * 86400,
    "AUTHORIZATION_CODE_EXPIRE_SECONDS": 60,
    "DCR_ENABLED": True,
    "DCR_REGISTRATION_PERMISSION_CLASSES": ["oauth2_provider.dcr.AllowAllDCRPermission"],
    "CIMD_ENABLED": True,
    "CIMD_REGISTRATION_PERMISSION_CLASSES": ["oauth2_provider.cimd.HostAllowlistCIMDPermission"],
    "CIMD_ALLOWED_HOSTS": ENV.MCP_CLIENT_HOSTS,
    # All but REDIRECT_URI_SCHEME: native clients come back to http on loopback, which our
    # Application allows only there.
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_PKCE_REQUIRED": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    "COMPLIANT_BCP_RFC9700_REFRESH_TOKEN": True,
    "COMPLIANT_BCP_RFC9700_REDIRECT_URI_MATCHING": True,
}
