"""The visitor's side: `/api/v1/widget/*`, called from the store's pages (platform.md, 8.3)."""

from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import jwt
from django.db.models import Q, QuerySet
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from chat import feed, hub_tokens
from chat.channels import identity_secret
from chat.messages import Draft
from chat.models import Attachment, Channel, Conversation, Message, Visitor, VisitorSession
from chat.opening import conversation_number, open_conversation
from chat.presence import note_typing
from chat.reading import mark_read, note_delivery
from chat.serializers import (
    Accepted,
    Cursors,
    HubToken,
    MessageBody,
    OpeningBody,
    SessionBody,
    SessionMade,
    Typing,
    VisitorConversationSerializer,
    VisitorMessageSerializer,
    VisitorReading,
    WidgetConfig,
)
from chat.views import Attachments, OfConversation, SeqPages, token_response
from chat.visitors import customer_of
from store_modules.stores.models import Store
from storeplatform.kernel.addresses import network_of
from storeplatform.kernel.crypto import keyed_hash, random_text
from storeplatform.kernel.errors import Denied, NotFound, Unauthenticated
from storeplatform.kernel.limits import POLICIES, Bucket, charge, refuse_over
from storeplatform.kernel.parsing import dumps
from storeplatform.kernel.phones import PhoneError, normalise_phone
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.text import clean
from storeplatform.kernel.transactions import in_transaction
from storeplatform.kernel.viewsets import (
    PublicView,
    StoreScopedViewSet,
)

TOKEN_LIFE = timedelta(days=30)
SLIDES_EVERY = timedelta(hours=1)
VOUCHED_FOR = 3600  # seconds an identity token may last
CLOCK_LEEWAY = 30
METHODS = "GET, POST, OPTIONS"
HEADERS = "authorization, content-type, idempotency-key, x-request-id"
SHOWN_HEADERS = "etag, location, retry-after, x-request-id"


def token_hash(token: str) -> str:
    return keyed_hash("TOKEN_KEY", b"visitor" + token.encode())


class VisitorAuthentication(BaseAuthentication):
    """`Authorization: Bearer <visitor token>`; never in an address."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        hashes = hub_tokens.visitor_hashes(token.strip())
        session = (
            VisitorSession.objects.select_related("channel")
            .filter(token_hash__in=hashes, expires_at__gt=timezone.now())
            .first()
        )
        actor = hub_tokens.actor_of_session(session.pk) if session else None
        if session is None or actor is None:
            raise Unauthenticated(
                "invalid_token",
                "This is not a valid visitor token.",
                scheme='Bearer error="invalid_token"',
            )
        slide(session)
        request.channel = session.channel  # type: ignore[attr-defined]
        return actor, actor

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def slide(session: VisitorSession) -> None:
    """Thirty days from the last use, written once an hour at most."""
    until = timezone.now() + TOKEN_LIFE
    if until - session.expires_at > SLIDES_EVERY:
        VisitorSession.objects.filter(pk=session.pk).update(expires_at=until)
        Visitor.objects.filter(pk=session.visitor_id).update(last_seen_at=timezone.now())


# Origins


def origin_of(request: Any) -> str:
    """The page's origin. A page of ours sends none on GET."""
    origin: str = request.headers.get("Origin", "")
    if not origin and request.headers.get("Sec-Fetch-Site") == "same-origin":
        origin = f"{request.scheme}://{request.get_host()}"
    return origin.lower()


def check_origin(request: Any, channel: Channel, *, is_needed: bool) -> None:
    origin = origin_of(request)
    if origin in channel.allowed_origins or (not origin and not is_needed):
        return
    raise Denied("origin_not_allowed", "The widget is not for pages of this origin.")


class WidgetSurface:
    """CORS for exactly the origins that the widget allows, on every answer."""

    request: Any
    channel: Channel | None = None

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        final["Vary"] = "Origin"
        origin = request.headers.get("Origin", "").lower()
        if origin and self.allows(request, origin):
            final["Access-Control-Allow-Origin"] = request.headers["Origin"]
            final["Access-Control-Expose-Headers"] = SHOWN_HEADERS
            if request.method == "OPTIONS":
                final["Access-Control-Allow-Methods"] = METHODS
                final["Access-Control-Allow-Headers"] = HEADERS
                final["Access-Control-Max-Age"] = "600"
        return final

    def allows(self, request: Request, origin: str) -> bool:
        channel = self.channel or getattr(request, "channel", None)
        if channel is not None:
            return origin in channel.allowed_origins
        rows = Channel.objects.filter(is_enabled=True, allowed_origins__contains=[origin])
        if key := self.kwargs.get("public_key"):  # type: ignore[attr-defined]
            rows = rows.filter(public_key=key)
        return bool(rows.exists())


# With the public key alone


class Widget(WidgetSurface, PublicView):
    why_public = "the widget's public key names the channel, and the page's origin must be allowed"
    forms = {"sessions": SessionBody}
    answers = {"config": WidgetConfig, "sessions": SessionMade}

    def find_channel(self, public_key: str, *, is_needed: bool) -> Channel:
        channel = (
            Channel.objects.select_related("store__settings")
            .filter(
                public_key=public_key,
                kind=Channel.Kind.WEBSITE,
                store__status=Store.Status.ACTIVE,
            )
            .first()
        )
        if channel is None:
            raise NotFound
        self.channel = channel
        check_origin(self.request, channel, is_needed=is_needed)
        return channel

    def config(self, request: Request, public_key: str) -> Response:
        """How the widget looks; unchanged ones are 304."""
        channel = self.find_channel(public_key, is_needed=True)
        body = {
            "publicKey": channel.public_key,
            "name": channel.name,
            "isEnabled": channel.is_enabled,
            "requireIdentity": channel.require_identity,
            "greeting": channel.greeting,
            "theme": channel.theme,
            "hours": channel.hours,
            "hubUrl": feed.hub_url(feed.VISITOR_HUB),
        }
        tag = f'"{sha256(dumps(body)).hexdigest()[:32]}"'
        is_known = tag in [
            part.strip() for part in request.headers.get("If-None-Match", "").split(",")
        ]
        response = Response(None, status=304) if is_known else Response(body)
        response["ETag"] = tag
        response["Cache-Control"] = "public, max-age=60"
        return response

    def sessions(self, request: Request, public_key: str) -> Response:
        """A visitor token, shown once: for somebody new, or for whom an identity token names."""
        source = network_of(request._request.client_ip)  # type: ignore[attr-defined]
        levels = charge([Bucket(POLICIES["widget-session"], source)])
        refuse_over(levels)
        channel = self.find_channel(public_key, is_needed=False)
        if not channel.is_enabled:
            raise NotFound
        values = self.body()
        claims = self.claims(channel, values.get("identity_token"))
        return in_transaction(lambda: self.begin(channel, values, claims))

    def claims(self, channel: Channel, token: str | None) -> dict[str, Any] | None:
        """Whom the store's server vouches for. Raises Unauthenticated."""
        if not token:
            if channel.require_identity:
                raise Unauthenticated("invalid_token", "This widget needs an identity token.")
            return None
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                identity_secret(channel),
                algorithms=["HS256"],
                leeway=CLOCK_LEEWAY,
                options={"require": ["exp", "sub"], "verify_aud": False},
            )
            most = timezone.now().timestamp() + VOUCHED_FOR + CLOCK_LEEWAY
            subject = clean(str(claims["sub"]))
            if int(claims["exp"]) > most or not 1 <= len(subject) <= 100:
                raise jwt.InvalidTokenError
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("token_expired", "The identity token has expired.") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise Unauthenticated("invalid_token", "The identity token does not hold.") from None
        return claims | {"sub": subject}

    def begin(
        self, channel: Channel, values: dict[str, Any], claims: dict[str, Any] | None
    ) -> Response:
        visitor = vouched_visitor(channel, claims) if claims else None
        if visitor is None:
            visitor = Visitor.objects.create(store_id=channel.store_id)
        if values.get("locale"):
            visitor.locale = values["locale"]
        visitor.save(update_fields=["locale", "updated_at"])
        token = f"vst_{random_text(43)}"
        session = VisitorSession.objects.create(
            store_id=channel.store_id,
            channel=channel,
            visitor=visitor,
            token_hash=token_hash(token),
            expires_at=timezone.now() + TOKEN_LIFE,
        )
        actor = hub_tokens.actor_of_session(session.pk)
        assert actor
        shown = VisitorConversationSerializer(context={"store": actor.store}).rows(
            current_conversations(visitor.pk, channel.pk)[:1]
        )
        body = {
            "visitorToken": token,
            "expiresAt": session.expires_at,
            "visitor": {
                "id": visitor.pk,
                "name": visitor.name,
                "verified": visitor.verified,
                "locale": visitor.locale,
            },
            "conversation": shown[0][0] if shown else None,
        }
        response = Response(body, status=201)
        response["Cache-Control"] = "no-store"
        return response


def vouched_visitor(channel: Channel, claims: dict[str, Any]) -> Visitor:
    """The store's own person; never an anonymous visitor's history."""
    visitor, _ = Visitor.objects.get_or_create(store_id=channel.store_id, external_id=claims["sub"])
    visitor.verified = Visitor.Verified.SIGNED
    for name, most in (("name", 200), ("email", 254)):
        value = claims.get(name)
        if isinstance(value, str) and (text := safe_text(value)):
            setattr(visitor, name, text[:most])
    country = getattr(getattr(channel.store, "settings", None), "country_code", "") or "IQ"
    if isinstance(claims.get("phone"), str):
        with suppress(PhoneError):  # vouched for, but no number
            visitor.phone = normalise_phone(claims["phone"], country, mobile=False)
    visitor.customer_id = customer_of(visitor)
    visitor.save()
    return visitor


def safe_text(text: str) -> str:
    try:
        return clean(text)
    except ValueError:
        return ""


def current_conversations(visitor_id: Any, channel_id: Any) -> QuerySet[Any]:
    """The latest first; the open one is the latest."""
    rows: QuerySet[Any] = Conversation.objects.filter(visitor=visitor_id, channel=channel_id)
    return rows.order_by("-created_at", "-id")


# With a visitor token


class VisitorSurface(WidgetSurface):
    authentication_classes: Any = [VisitorAuthentication]
    surface = "widget"
    kwargs: dict[str, Any]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        channel = request.channel  # type: ignore[attr-defined]
        check_origin(request, channel, is_needed=False)

    def buckets(self, actor: Actor) -> list[Bucket]:
        policy = {"upload": "widget-upload", "create": "widget-message"}
        name = policy.get(self.action, "widget-read")  # type: ignore[attr-defined]
        return [Bucket(POLICIES[name], actor.id)]


ANY = ""  # whoever holds a visitor token


class OwnConversations(VisitorSurface, StoreScopedViewSet[Conversation]):
    permissions = dict.fromkeys(["list", "retrieve", "create", "read", "typing", "hub_token"], ANY)
    queryset = Conversation.objects.all()
    serializer_class = VisitorConversationSerializer
    forms = {"create": OpeningBody, "read": VisitorReading, "typing": Typing}
    answers = {"read": Cursors, "typing": Accepted, "hub_token": HubToken}
    statuses = {"create": [201, 200]}
    accepting_actions = frozenset({"typing"})
    ordering_fields = {"createdAt": "created_at"}
    lookup_field = "pk"

    def get_queryset(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset()
        return rows.filter(visitor=self.actor.id)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Begin, or go on with the conversation that is open (200)."""
        values = self.body()
        number = conversation_number(self.actor.store_id)

        def effect() -> Response:
            given = dict(values)
            message = given.pop("message", None)
            if message:
                message.pop("sender_name", None)
            conversation, is_new = open_conversation(
                self.actor,
                request.channel,  # type: ignore[attr-defined]
                Visitor.objects.get(pk=self.actor.id),
                number,
                Draft(**message) if message else None,
                **given,
            )
            response = self.row_response(conversation.pk, status=201 if is_new else 200)
            response["Location"] = f"{request.path}/{conversation.pk}"
            return response

        return self.once(effect)

    def read(self, request: Request, pk: UUID) -> Response:
        values = self.body()
        self.get_object()

        def effect() -> Response:
            cursors = mark_read(self.actor, pk, values["up_to_seq"], visible=True)
            return Response(cursors)

        return self.once(effect)

    def typing(self, request: Request, pk: UUID) -> Response:
        values = self.body()
        conversation = self.get_object()

        def effect() -> Response:
            note_typing(self.actor, conversation, is_typing=values["is_typing"])
            return Response({"accepted": True}, status=202)

        return self.once(effect)

    def hub_token(self, request: Request) -> Response:
        """A token for `JoinSession`, which may stand in an address: it lasts 120 seconds."""
        if self.attempt:
            self.attempt.stored = True
        return token_response(hub_tokens.issue(self.actor), feed.VISITOR_HUB)


class OwnMessages(VisitorSurface, SeqPages, OfConversation):
    permissions = {"list": ANY, "create": ANY}
    serializer_class = VisitorMessageSerializer
    forms = {"create": MessageBody}
    statuses = {"create": [201, 200]}

    def conversations(self) -> QuerySet[Any]:
        return super().conversations().filter(visitor=self.actor.id)

    def own_rows(self) -> QuerySet[Any]:
        return super().own_rows().filter(private=False)

    def noted(self, page: dict[str, Any], rows: QuerySet[Any]) -> Response:
        """What is read this way has been delivered."""
        note_delivery(Message.objects.filter(pk__in=rows.order_by().values("pk")))
        return Response(page)

    def create(self, request: Request, conversation_id: UUID) -> Response:
        values = self.body()
        self.refuse_unknown_row()
        return self.post_draft(values)


class OwnAttachments(VisitorSurface, Attachments):
    permissions = {"upload": ANY, "download": ANY}

    def files(self) -> QuerySet[Any]:
        own = Q(uploaded_by=self.actor.principal)
        said = Q(message__private=False, conversation__visitor=self.actor.id)
        rows: QuerySet[Any] = Attachment.objects.of(self.actor.store_id)
        return rows.filter(own | said)
