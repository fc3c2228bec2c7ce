"""Signing in, the person, the colleagues, the settings."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings as django_settings
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from pycountry import countries
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.tokens import AccessToken

from store_modules.stores import answers, people, trading
from store_modules.stores.grants import GRANTS, STAFF_DEFAULTS, effective
from store_modules.stores.models import Membership, SignIn, StoreSettings, User
from store_modules.stores.serializers import (
    Acceptance,
    Credentials,
    InvitationBody,
    MeBody,
    MemberBody,
    PasswordByToken,
    PasswordChange,
    PasswordForgotten,
    RefreshBody,
    Registration,
    SignOut,
    StoreChoice,
    StoreSettingsSerializer,
)
from store_modules.stores.signing import public_keys
from storeplatform.kernel.errors import Conflict, Denied, NotFound, refuse
from storeplatform.kernel.methods import reading_only
from storeplatform.kernel.money import is_currency
from storeplatform.kernel.pagination import Query, page_of, read_ordering
from storeplatform.kernel.tenancy import StoreFacts
from storeplatform.kernel.viewsets import PublicView, StoreScoped

COOKIE = "refresh_token"
COOKIE_PATH = "/api/v1/auth"


def user_body(user: User) -> dict[str, Any]:
    return {"id": user.id, "email": user.email, "phone": user.phone, "fullName": user.full_name}


def tokens_response(tokens: people.Tokens, *, status: int = 200, cookie: bool = False) -> Response:
    member = tokens.membership
    stores = Membership.objects.filter(
        user_id=member.user_id, status=Membership.Status.ACTIVE
    ).select_related("store")
    is_owner = member.role == Membership.Role.OWNER
    body = {
        "accessToken": str(tokens.access),
        "tokenType": "Bearer",
        "expiresIn": int(tokens.access.lifetime.total_seconds()),
        "refreshToken": None if cookie else str(tokens.refresh),
        "refreshExpiresAt": tokens.refresh.expires_at,
        "user": user_body(member.user),
        "store": {"id": member.store_id, "name": member.store.name},
        "role": member.role,
        "permissions": sorted(
            effective(is_owner=is_owner, grants=member.grants, denies=member.denies)
        ),
        "stores": [{"id": m.store_id, "name": m.store.name, "role": m.role} for m in stores],
    }
    response = Response(body, status=status)
    if cookie:
        response.set_cookie(
            COOKIE,
            str(tokens.refresh),
            path=COOKIE_PATH,
            httponly=True,
            secure=True,
            samesite="Strict",
            max_age=30 * 86400,
        )
    return response


class AuthView(PublicView):
    """What a person does before there is a token, or with a refresh token in hand."""

    answers = dict.fromkeys(("register", "login", "refresh", "accept"), answers.TokensAnswer) | {
        "forgot": answers.SentAnswer
    }
    statuses = {"forgot": [202]}
    why_public = "passwords and refresh tokens are checked, failures counted"
    forms = {
        "register": Registration,
        "login": Credentials,
        "refresh": RefreshBody,
        "logout": SignOut,
        "forgot": PasswordForgotten,
        "reset": PasswordByToken,
        "accept": Acceptance,
    }

    def register(self, request: Request) -> Response:
        values = self.body(StoreFacts(UUID(int=0), country_code=self.country_sent()))
        values.pop("country_code")
        values = {"email": None, "phone": None} | values
        tokens = people.register(**values, request=request._request)
        return tokens_response(tokens, status=201)

    def country_sent(self) -> str:
        """Of the body, if it is one; a local phone number is read by it."""
        data = self.request.data
        sent = data.get("countryCode") if isinstance(data, Mapping) else None
        code = sent.strip().upper() if isinstance(sent, str) else ""
        return code if countries.get(alpha_2=code) else ""

    def login(self, request: Request) -> Response:
        values = self.body()
        tokens = people.sign_in(
            login=values["login"],
            password=values["password"],
            store_id=values["store_id"],
            request=request._request,
        )
        return tokens_response(tokens, cookie=values["use_cookie"])

    def refresh(self, request: Request) -> Response:
        raw = self.body()["refresh_token"]
        by_cookie = not raw and COOKIE in request.COOKIES
        if by_cookie:
            check_same_site(request)
            raw = request.COOKIES[COOKIE]
        return tokens_response(people.refresh(raw, request._request), cookie=by_cookie)

    def logout(self, request: Request) -> Response:
        values = self.body()
        raw = values["refresh_token"] or request.COOKIES.get(COOKIE, "")
        people.sign_out(raw, all_of_user=values["all_sessions"])
        response = Response(status=204)
        response.delete_cookie(COOKIE, path=COOKIE_PATH)
        return response

    def forgot(self, request: Request) -> Response:
        people.forgot_password(self.body()["login"])
        return Response({"sent": True}, status=202)

    def reset(self, request: Request) -> Response:
        values = self.body()
        people.reset_password(values["token"], values["new_password"])
        return Response(status=204)

    def accept(self, request: Request) -> Response:
        tokens = people.accept_invitation(**self.body(), request=request._request)
        return tokens_response(tokens)


def check_same_site(request: Request) -> None:
    """A browser sends the cookie by itself, so its page must be ours."""
    origin = request.headers.get("Origin", "")
    allowed = [django_settings.PUBLIC_ORIGIN, *django_settings.CORS_ALLOWED_ORIGINS]
    if origin not in allowed:
        raise Denied("origin_not_allowed", "Refresh by cookie needs a page of this site.")


class MeView(StoreScoped[Any]):
    """The signed-in person and their sign-ins."""

    answers = {
        "me": answers.MeAnswer,
        "change_me": answers.ChangedMeAnswer,
        "sessions": answers.SignInAnswer,
        "switch_store": answers.TokensAnswer,
    }
    listing_actions = frozenset({"sessions"})
    permissions = dict.fromkeys(
        ("me", "change_me", "sessions", "end_session", "switch_store", "change_password"), ""
    )
    queryset = SignIn.objects.all()
    forms = {"change_me": MeBody, "switch_store": StoreChoice, "change_password": PasswordChange}

    @property
    def user_id(self) -> UUID:
        assert self.actor.user_id is not None  # of every dashboard actor
        return self.actor.user_id

    @property
    def sign_in_id(self) -> UUID:
        raw = self.request.headers["Authorization"].partition(" ")[2].strip()
        return UUID(AccessToken(raw, verify=False)["sid"])  # type: ignore[arg-type]  # verified

    def me(self, request: Request) -> Response:
        member = Membership.objects.select_related("user", "store").get(
            user_id=self.user_id, store_id=self.actor.store_id
        )
        return Response(
            {
                "user": user_body(member.user),
                "store": {"id": member.store_id, "name": member.store.name},
                "role": member.role,
                "permissions": sorted(self.actor.grants),
            }
        )

    def change_me(self, request: Request) -> Response:
        values = self.body()
        password = values.pop("current_password")
        if {"email", "phone"} & values.keys():
            if not password:
                message = "It is needed to change how you sign in."
                raise refuse("currentPassword", "validation_error", message)
            people.confirm(User.objects.get(pk=self.user_id), password, request._request)

        def effect() -> Response:
            user = User.objects.select_for_update().get(pk=self.user_id)
            if "email" in values:
                values["email"] = values["email"].lower()
            for name, value in values.items():
                setattr(user, name, value)
            try:
                with transaction.atomic():
                    user.save(update_fields=list(values) or None)
            except IntegrityError:
                raise Conflict(
                    "account_exists", "Another account has this e-mail or phone."
                ) from None
            return Response({"user": user_body(user)})

        return self.once(effect)

    def sessions(self, request: Request) -> Response:
        current = self.sign_in_id
        rows = SignIn.objects.filter(user_id=self.user_id, revoked_at=None)
        items = [
            {
                "id": row.id,
                "storeId": row.store_id,
                "ip": row.ip,
                "userAgent": row.user_agent,
                "createdAt": row.created_at,
                "lastSeenAt": row.last_seen_at,
                "current": row.id == current,
            }
            for row in rows.order_by("-last_seen_at")[:100]
        ]
        return Response({"items": items})

    def end_session(self, request: Request, sid: UUID) -> Response:
        found = SignIn.objects.filter(pk=sid, user_id=self.user_id, revoked_at=None).first()
        if found is None:
            raise NotFound
        people.end(found)
        return Response(status=204)

    def switch_store(self, request: Request) -> Response:
        values = self.body()
        cookie = values.pop("use_cookie")

        def effect() -> Response:
            tokens = people.switch_store(
                self.sign_in_id, self.user_id, **values, request=request._request
            )
            self.shown_once(storeId=str(values["store_id"]))
            return tokens_response(tokens, cookie=cookie)

        return self.once(effect)

    def change_password(self, request: Request) -> Response:
        values = self.body()
        user = User.objects.get(pk=self.user_id)
        people.confirm(user, values["current_password"], request._request)

        def effect() -> Response:
            people.change_password(
                user,
                values["new_password"],
                keep=self.sign_in_id,
                request=request._request,
            )
            return Response(status=204)

        return self.once(effect)


class SettingsView(StoreScoped[StoreSettings]):
    """GET, POST and PUT /settings."""

    resource = "settings"
    queryset = StoreSettings.objects.all()
    serializer_class = StoreSettingsSerializer

    def answer(self, row: StoreSettings, status: int = 200) -> Response:
        facts = written_facts(row)
        serializer = StoreSettingsSerializer(context={"store": facts})
        fragment = serializer.rows(StoreSettings.objects.filter(pk=row.pk))[0][0]
        return Response(fragment, status=status, headers={"ETag": f'"{row.version}"'})

    def retrieve(self, request: Request) -> Response:
        return self.answer(trading.settings_of(self.actor.store_id))

    def create(self, request: Request) -> Response:
        if StoreSettings.objects.filter(store_id=self.actor.store_id).exists():
            raise trading.already_initialised()
        values = self.settings_body(None)
        return self.once(
            lambda: self.answer(trading.initialise(self.actor.store_id, values), status=201)
        )

    def update(self, request: Request) -> Response:
        def effect() -> Response:
            row = StoreSettings.objects.select_for_update().filter(
                store_id=self.actor.store_id
            ).first() or trading.settings_of(self.actor.store_id)
            self.check_version(row)
            values = self.settings_body(row)
            return self.answer(trading.change(row, values))

        return self.once(effect)

    def settings_body(self, row: StoreSettings | None) -> dict[str, Any]:
        """The validated body; its amounts are in the currency that it sets itself."""
        data = self.data_object()
        facts = written_facts(row, data.get("currencyCode"), data.get("countryCode"))
        serializer = StoreSettingsSerializer(
            row, data=data, partial=row is not None, context={"store": facts}
        )
        serializer.is_valid(raise_exception=True)
        values: dict[str, Any] = serializer.validated_data
        return values


NO_CURRENCY = "XXX"  # as ISO 4217 says it, until a store has chosen


def written_facts(
    row: StoreSettings | None, currency: Any = None, country: Any = None
) -> StoreFacts:
    """The facts that a settings body is read with: those it sets itself, else the present ones."""
    chosen = str(currency).upper() if currency else ""
    if not is_currency(chosen):
        chosen = row.currency_code if row else NO_CURRENCY
    place = str(country).upper() if country else (row.country_code if row else "")
    return StoreFacts(
        row.store_id if row else UUID(int=0),
        currency_code=chosen,
        timezone=row.timezone if row else "UTC",
        country_code=place,
    )


class StaffView(StoreScoped[Membership]):
    """The colleagues and what each may do."""

    answers = dict.fromkeys(("list", "retrieve", "update"), answers.MemberAnswer) | {
        "create": answers.InvitationAnswer,
        "matrix": answers.PermissionAnswer,
    }
    listing_actions = frozenset({"matrix"})
    permissions = {
        "list": "staff.read",
        "retrieve": "staff.read",
        "create": "staff.manage",
        "update": "staff.manage",
        "destroy": "staff.manage",
        "matrix": "",
    }
    queryset = Membership.objects.select_related("user")
    forms = {"create": InvitationBody, "update": MemberBody}

    def member_body(self, member: Membership) -> dict[str, Any]:
        is_owner = member.role == Membership.Role.OWNER
        return {
            "userId": member.user_id,
            "fullName": member.user.full_name,
            "email": member.user.email,
            "phone": member.user.phone,
            "role": member.role,
            "status": member.status,
            "grants": member.grants,
            "denies": member.denies,
            "permissions": sorted(
                effective(is_owner=is_owner, grants=member.grants, denies=member.denies)
            ),
            "createdAt": member.created_at,
        }

    def list(self, request: Request) -> Response:
        query = Query(request.query_params)
        keys = read_ordering(query, {"createdAt": "created_at"}, ["created_at"], Membership)

        def rows(found: Any, columns: Any) -> list[tuple[Any, ...]]:
            return [
                (self.member_body(m), *(getattr(m, column) for column in columns)) for m in found
            ]

        return Response(
            page_of(self.get_queryset(), query, keys, rows, store_id=self.actor.store_id)
        )

    def retrieve(self, request: Request, user_id: UUID) -> Response:
        member = self.get_queryset().filter(user_id=user_id).first()
        if member is None:
            raise NotFound
        return Response(self.member_body(member))

    def create(self, request: Request) -> Response:
        values = self.body()

        def effect() -> Response:
            invitation, token = people.invite(self.actor, **values, request=request._request)
            self.shown_once(invitationId=str(invitation.id))
            return Response(
                {
                    "id": invitation.id,
                    "email": invitation.email,
                    "role": invitation.role,
                    "token": token,
                    "expiresAt": invitation.expires_at,
                },
                status=201,
            )

        return self.once(effect)

    def update(self, request: Request, user_id: UUID) -> Response:
        values = self.body()
        member = people.change_member(self.actor, user_id, values, request._request)
        return Response(self.member_body(member))

    def destroy(self, request: Request, user_id: UUID) -> Response:
        people.remove_member(self.actor, user_id, request._request)
        return Response(status=204)

    def matrix(self, request: Request) -> Response:
        items = [
            {
                "permission": grant.name,
                "covers": grant.covers,
                "owner": True,
                "staffDefault": grant.name in STAFF_DEFAULTS,
                "grantable": grant.grantable,
            }
            for grant in GRANTS.values()
        ]
        return Response({"items": items})


@reading_only
def jwks(request: HttpRequest) -> HttpResponse:
    """The public keys that verify access tokens; a shared secret has none."""
    keys = public_keys()
    if not keys:
        raise Http404
    return JsonResponse({"keys": keys}, headers={"Cache-Control": "public, max-age=300"})
