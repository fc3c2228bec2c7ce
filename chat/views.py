"""Website chat for the team: the same views for the dashboard and, with scopes, for API keys."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from chat import channels, conversations, feed, hub_tokens, opening, visitors
from chat.attachments import keep_upload
from chat.messages import Draft, edit_message, post_message
from chat.models import (
    UNREAD,
    Attachment,
    CannedReply,
    Channel,
    Conversation,
    Message,
    Visitor,
)
from chat.presence import note_typing
from chat.reading import mark_read
from chat.serializers import (
    Accepted,
    Assignment,
    Blocking,
    CannedReplySerializer,
    Changes,
    ChannelSerializer,
    ChannelWithSecret,
    ChatAttachmentSerializer,
    ChatUpload,
    ConversationBody,
    ConversationSerializer,
    Cursors,
    HubToken,
    MessageChange,
    MessageSerializer,
    Reading,
    Snoozing,
    TeamMessageBody,
    Typing,
    VisitorSerializer,
    read_to,
)
from storeplatform.kernel import uploads
from storeplatform.kernel.filters import Flag, Ids, People, Since, Texts, WireFilterSet, Words
from storeplatform.kernel.limits import POLICIES, Bucket
from storeplatform.kernel.pagination import MAX_PAGE_SIZE, Query
from storeplatform.kernel.serializers import as_members
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.viewsets import (
    ListModelMixin,
    StoreScoped,
    StoreScopedViewSet,
    search,
)


class HasUnread(Flag):
    """Conversations with messages that the caller has not read."""

    def filter(self, qs: QuerySet[Any], value: bool | None) -> QuerySet[Any]:
        if value is None:
            return qs
        marked: QuerySet[Any] = qs.annotate(read_to=read_to(self.parent.actor.principal))
        return marked.filter(UNREAD) if value else marked.exclude(UNREAD)


class Tag(Texts):
    def filter(self, qs: QuerySet[Any], value: list[str]) -> QuerySet[Any]:
        return qs.filter(tags__overlap=value) if value else qs


class ConversationFilters(WireFilterSet):
    status = Words(Conversation.Status.values)
    channel_id = Ids("channel_id")
    assigned_user_id = People("assigned_user_id")
    tag = Tag()
    has_unread = HasUnread()
    visitor_id = Ids("visitor_id")
    updated_since = Since("updated_at")


class Conversations(StoreScopedViewSet[Conversation]):
    permissions = {
        "list": "chat.read",
        "retrieve": "chat.read",
        "create": "chat.reply",
        "partial_update": "chat.reply",
        "assign": "chat.assign",
        "read": "chat.read",
        "typing": "chat.reply",
        "resolve": "chat.reply",
        "reopen": "chat.reply",
        "snooze": "chat.reply",
    }
    queryset = Conversation.objects.all()
    serializer_class = ConversationSerializer
    filterset_class = ConversationFilters
    search_fields = ["number", "subject", "last_message_preview"]
    ordering_fields = {
        "lastMessageAt": "last_message_at",
        "createdAt": "created_at",
        "updatedAt": "updated_at",
    }
    default_ordering = ["-last_message_at"]
    forms = {
        "create": ConversationBody,
        "assign": Assignment,
        "read": Reading,
        "typing": Typing,
        "snooze": Snoozing,
    }
    answers = {"read": Cursors, "typing": Accepted}
    statuses = {"create": [201, 200]}
    accepting_actions = frozenset({"typing"})

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "reader": self.actor.principal}

    def searched(self, queryset: QuerySet[Any], words: str) -> QuerySet[Any]:
        """By number, subject and last words, or by the visitor's name, phone or e-mail."""
        own = super().searched(queryset, words)
        if own is queryset:
            return queryset
        theirs = Visitor.objects.of(self.actor.store_id)
        found = search(theirs, words.strip())
        return own | queryset.filter(visitor__in=found.values("pk"))

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Open a conversation with a visitor, or go on with the one that is open (200)."""
        values = self.body()
        number = opening.conversation_number(self.actor.store_id)

        def effect() -> Response:
            given = dict(values)
            message = given.pop("message", None)
            channel = given.pop("channel", None) or channels.default_channel(self.actor.store_id)
            visitor = visitors.visitor_of(self.actor, given.pop("visitor"))
            draft = Draft(**message) if message else None
            conversation, is_new = opening.open_conversation(
                self.actor, channel, visitor, number, draft, **given
            )
            response = self.row_response(conversation.pk, status=201 if is_new else 200)
            response["Location"] = f"{request.path}/{conversation.pk}"
            return response

        return self.once(effect)

    def perform_update(self, row: Conversation, serializer: Any) -> Conversation:
        return conversations.change_conversation(self.actor, row, serializer.validated_data)

    def deed(self, change: Callable[[Conversation], Any]) -> Response:
        """One change of the locked conversation of the path, answered with it."""

        def effect() -> Response:
            conversation = self.locked_object()
            change(conversation)
            return self.row_response(conversation.pk)

        return self.once(effect)

    def assign(self, request: Request, pk: UUID) -> Response:
        """Give it to a member or to nobody; with `expectedAssignedUserId` only from them."""
        values = self.body()
        expected = None
        if "expected_assigned_user_id" in values:
            expected = values["expected_assigned_user_id"] or conversations.NOBODY
        return self.deed(
            lambda conversation: conversations.assign(
                self.actor, conversation, values["user_id"], expected
            )
        )

    def read(self, request: Request, pk: UUID) -> Response:
        """Raise the caller's read cursor. People are seen to have read, programs are not."""
        values = self.body()
        visible = values["visible_to_visitor"]
        if visible is None:
            visible = self.actor.kind == "user"
        return self.once(
            lambda: Response(mark_read(self.actor, pk, values["up_to_seq"], visible=visible))
        )

    def typing(self, request: Request, pk: UUID) -> Response:
        """Show the visitor that somebody writes. It is not stored."""
        values = self.body()
        conversation = self.get_object()

        def effect() -> Response:
            note_typing(self.actor, conversation, is_typing=values["is_typing"])
            return Response({"accepted": True}, status=202)

        return self.once(effect)

    def resolve(self, request: Request, pk: UUID) -> Response:
        return self.deed(lambda conversation: conversations.resolve(self.actor, conversation))

    def reopen(self, request: Request, pk: UUID) -> Response:
        return self.deed(lambda conversation: conversations.reopen(self.actor, conversation))

    def snooze(self, request: Request, pk: UUID) -> Response:
        """Put it away until a time, or until the visitor writes."""
        until = self.body()["until"]
        return self.deed(
            lambda conversation: conversations.change_conversation(
                self.actor, conversation, {"snoozed_until": until}
            )
        )


class SeqPages(ListModelMixin):
    """Messages in their order: from the first on, behind `afterSeq`, or the last ones before
    `beforeSeq`. `limit` is read like `pageSize`."""

    asks: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "list": {
            "afterSeq": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
            "beforeSeq": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
            "limit": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE},
        }
    }

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        view: Any = self
        query = Query(request.query_params)
        rows = view.get_queryset()
        most = 2**31 - 1
        if "afterSeq" in query:
            rows = rows.filter(seq__gt=query.number("afterSeq", 0, 0, most))
        if "beforeSeq" not in query and "limit" not in query:
            return self.noted(view.list_page(rows), rows)
        size = query.number("limit" if "limit" in query else "pageSize", 20, 1, MAX_PAGE_SIZE)
        before = query.number("beforeSeq", 0, 0, most)
        rows = rows.filter(seq__lt=before).order_by("-seq") if before else rows.order_by("seq")
        items = [row for (row,) in view.wire_rows(rows[:size])]
        if before:
            items.reverse()
        empty = dict.fromkeys(("page", "totalCount", "totalPages", "nextCursor", "prevCursor"))
        return self.noted({"items": items, **empty, "pageSize": size}, rows)

    def noted(self, page: dict[str, Any], rows: QuerySet[Any]) -> Response:
        return Response(page)


class OfConversation(StoreScoped[Message]):
    """Messages of the conversation of the path."""

    queryset = Message.objects.all()
    serializer_class: Any = MessageSerializer
    default_ordering = ["seq"]
    cursor_only = True

    def conversations(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = Conversation.objects.of(self.actor.store_id)
        return rows.filter(pk=self.kwargs["conversation_id"])

    def refuse_unknown_row(self) -> None:
        if not self.conversations().exists():
            raise Http404
        if "message_id" in self.kwargs and not self.own_rows().exists():
            raise Http404

    def own_rows(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = Message.objects.of(self.actor.store_id).filter(
            conversation=self.kwargs["conversation_id"]
        )
        if "message_id" in self.kwargs:
            rows = rows.filter(pk=self.kwargs["message_id"])
        return rows

    def get_queryset(self) -> QuerySet[Any]:
        self.refuse_unknown_row()
        return self.own_rows()

    def message_response(self, message: Message, status: int = 200) -> Response:
        rows = Message.objects.filter(pk=message.pk)
        return Response(self.wire_rows(rows)[0][0], status=status)

    def post_draft(self, values: dict[str, Any]) -> Response:
        """Add a message; a repeat of its clientMessageId is answered with the first one (200)."""

        def effect() -> Response:
            message, is_new = post_message(
                self.actor, self.kwargs["conversation_id"], Draft(**values)
            )
            return self.message_response(message, 201 if is_new else 200)

        return self.once(effect)


class Messages(SeqPages, OfConversation):
    permissions = {
        "list": "chat.read",
        "create": "chat.reply",
        "partial_update": "chat.reply",
        "destroy": "chat.reply",
    }
    forms = {"create": TeamMessageBody, "partial_update": MessageChange}
    statuses = {"create": [201, 200]}

    def create(self, request: Request, conversation_id: UUID) -> Response:
        return self.post_draft(self.body())

    def partial_update(self, request: Request, conversation_id: UUID, message_id: UUID) -> Response:
        """Authors may for fifteen minutes, moderators always."""
        return self.changed(self.body()["text"])

    def destroy(self, request: Request, conversation_id: UUID, message_id: UUID) -> Response:
        """The text goes, the number stays."""

        def effect() -> Response:
            edit_message(self.actor, self.message(), None)
            return Response(status=204)

        return self.once(effect)

    def changed(self, text: str) -> Response:
        return self.once(
            lambda: self.message_response(edit_message(self.actor, self.message(), text))
        )

    def message(self) -> Message:
        found: Message | None = self.get_queryset().first()
        if found is None:
            raise Http404
        return found


class Attachments(StoreScoped[Attachment]):
    permissions = {"upload": "chat.reply", "download": "chat.read"}
    queryset = Attachment.objects.all()
    serializer_class = ChatAttachmentSerializer
    forms = {"upload": ChatUpload}
    upload_actions = frozenset({"upload"})
    file_answers = {"download": sorted(uploads.DOCUMENTS)}

    def upload(self, request: Request) -> Response:
        """Keep a PDF, PNG, JPEG or WebP file for a message; unsent ones go after a day."""
        sent = uploads.read_upload(request)

        def effect() -> Response:
            kept = keep_upload(self.actor, sent)
            row = self.wire_rows(Attachment.objects.filter(pk=kept.pk))[0][0]
            response = Response(row, status=201)
            response["Location"] = f"{request.path}/{kept.pk}"
            return response

        return self.once(effect)

    def files(self) -> QuerySet[Any]:
        return self.get_queryset()

    def download(self, request: Request, attachment_id: UUID) -> HttpResponse:
        kept = self.files().filter(pk=attachment_id).first()
        if kept is None:
            raise Http404
        return uploads.download(
            kept.stored_as, content_type=kept.content_type, file_name=kept.file_name
        )


class CannedReplies(StoreScopedViewSet[CannedReply]):
    permissions = {
        "list": "chat.read",
        "retrieve": "chat.read",
        "create": "canned_replies.write",
        "update": "canned_replies.write",
        "partial_update": "canned_replies.write",
        "destroy": "canned_replies.write",
    }
    queryset = CannedReply.objects.all()
    serializer_class = CannedReplySerializer
    search_fields = ["shortcode", "title", "body"]
    ordering_fields = {"shortcode": "shortcode", "title": "title", "createdAt": "created_at"}
    default_ordering = ["shortcode"]


class Feed(StoreScoped[Conversation]):
    """What changed, and the way to hear of it at once."""

    permissions = {"changes": "chat.read", "hub_token": "chat.read"}
    queryset = Conversation.objects.all()
    serializer_class = ConversationSerializer
    asks = {
        "changes": {
            "after": {"type": "string", "description": "`cursor` of the answer before."},
            "limit": {"type": "integer", "minimum": 1, "maximum": feed.MOST, "default": 100},
        }
    }
    answers = {"changes": Changes, "hub_token": HubToken}

    def buckets(self, actor: Actor) -> list[Bucket]:
        if self.action == "hub_token":
            return [Bucket(POLICIES["hub-token"], actor.principal)]
        return super().buckets(actor)

    def changes(self, request: Request) -> Response:
        """Events in the order of their commits, behind the cursor `after`; 410 when those behind
        it are no longer kept."""
        query = Query(request.query_params)
        limit = query.number("limit", 100, 1, feed.MOST)
        items, cursor, more = feed.changes(self.actor.store_id, query.get("after"), limit)
        return Response({"items": items, "cursor": cursor, "hasMore": more})

    def hub_token(self, request: Request) -> Response:
        """A token for `JoinStore`: it lasts 120 seconds and joins once. It is made anew also for
        a repeat with the same Idempotency-Key."""
        if self.attempt:
            self.attempt.stored = True
        return token_response(hub_tokens.issue(self.actor), feed.STORE_HUB)


def token_response(issued: dict[str, Any], hub: str) -> Response:
    response = Response({**issued, "hubUrl": feed.hub_url(hub)})
    response["Cache-Control"] = "no-store"
    return response


class Channels(StoreScopedViewSet[Channel]):
    permissions = dict.fromkeys(
        ["list", "retrieve", "create", "update", "partial_update", "destroy", "rotate_secret"],
        "chat.settings",
    )
    queryset = Channel.objects.all()
    serializer_class = ChannelSerializer
    answers = {"create": ChannelWithSecret, "rotate_secret": ChannelWithSecret}
    ordering_fields = {"name": "name", "createdAt": "created_at"}
    default_ordering = ["name"]

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        values = self.body()

        def effect() -> Response:
            channel, secret = channels.new_channel(self.actor.store_id, **values)
            response = self.with_secret(channel, secret, 201)
            response["Location"] = f"{request.path}/{channel.pk}"
            return response

        return self.once(effect)

    def with_secret(self, channel: Channel, secret: str, status: int = 200) -> Response:
        self.shown_once(channelId=str(channel.pk))
        serializer = ChannelSerializer(context=self.get_serializer_context())
        row = serializer.rows(Channel.objects.filter(pk=channel.pk))[0][0]
        response = Response({**as_members(row), "identitySecret": secret}, status=status)
        response["Cache-Control"] = "no-store"
        return response

    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: str) -> Response:
        """A new identity secret, shown once; the old one is worth nothing from now on."""

        def effect() -> Response:
            channel = self.locked_object()
            return self.with_secret(channel, channels.rotate_secret(channel))

        return self.once(effect)


class Visitors(StoreScopedViewSet[Visitor]):
    permissions = dict.fromkeys(["block", "destroy"], "chat.moderate") | {"retrieve": "chat.read"}
    queryset = Visitor.objects.all()
    serializer_class = VisitorSerializer
    forms = {"block": Blocking}

    def perform_destroy(self, instance: Visitor) -> None:
        """Erase who it was; what was said stays."""
        visitors.erase_visitor(self.actor, instance)

    def block(self, request: Request, pk: UUID) -> Response:
        """Keep a visitor from writing; `blocked: false` lets them again."""
        blocked = self.body()["blocked"]

        def effect() -> Response:
            visitor = visitors.block_visitor(self.actor, self.locked_object(), blocked=blocked)
            return self.row_response(visitor.pk)

        return self.once(effect)
