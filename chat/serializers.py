"""Website chat on the wire."""

import re
from typing import Any
from urllib.parse import urlsplit

import orjson
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import (
    BooleanField,
    Case,
    CharField,
    Count,
    F,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
)
from django.db.models import IntegerField as ModelInteger
from django.db.models import TextField as ModelText
from django.db.models.functions import Cast, Coalesce
from rest_framework import serializers

from chat.models import (
    MAX_TEXT,
    Attachment,
    CannedReply,
    Channel,
    Conversation,
    Message,
    ReadCursor,
    Visitor,
)
from storeplatform.kernel.serializers import (
    Body,
    Choice,
    Computed,
    IntField,
    Moment,
    Phone,
    StoreRelatedField,
    TextField,
    WireSerializer,
    as_members,
)
from storeplatform.kernel.sql import Instant, JSONObject, json_pairs
from storeplatform.kernel.tenancy import StoreFacts

MAX_METADATA = 8 * 1024
READER = "\N{BULLET}reader"  # in a kept statement, in place of who reads


class Metadata(serializers.DictField):
    """Free members, at most 8 KiB of them."""

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        if len(orjson.dumps(values, default=str)) > MAX_METADATA:
            raise serializers.ValidationError("At most 8 KiB.", code="max_length")
        return orjson.loads(orjson.dumps(values, default=str))


class Tags(serializers.ListField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=TextField(max_length=50), max_length=20, **kwargs)


# Messages


ATTACHMENT = {
    "id": F("id"),
    "fileName": F("file_name"),
    "contentType": F("content_type"),
    "size": F("size"),
    "sha256": F("sha256"),
    "width": F("width"),
    "height": F("height"),
    "status": F("status"),
}


def attachment_rows(_: StoreFacts) -> Any:
    rows = Attachment.objects.filter(message=OuterRef("pk")).order_by("pk")
    return ArraySubquery(rows.values_list(JSONObject(*json_pairs(ATTACHMENT))))


def word(text: str) -> Any:
    return Cast(Value(text), ModelText())


def message_status(_: StoreFacts) -> Any:
    return Case(
        When(read_at__isnull=False, then=word("read")),
        When(delivered_at__isnull=False, then=word("delivered")),
        default=word("sent"),
        output_field=ModelText(),
    )


class ChatAttachmentSerializer(WireSerializer[Attachment]):
    class Meta:
        model = Attachment
        fields = [
            "id", "file_name", "content_type", "size", "sha256", "width", "height", "status",
        ]  # fmt: skip
        read_only_fields = fields


class MessageSerializer(WireSerializer[Message]):
    attachments = Computed(attachment_rows, ChatAttachmentSerializer(many=True))
    status = Computed(message_status, TextField())

    class Meta:
        model = Message
        fields = [
            "id", "conversation", "seq", "direction", "type", "private", "sender_type",
            "sender_id", "sender_name", "text", "attachments", "reply_to_message",
            "client_message_id", "status", "delivered_at", "read_at", "edited_at", "deleted_at",
            "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class VisitorMessageSerializer(WireSerializer[Message]):
    """A message as visitors see it: no ids of staff, no private notes."""

    attachments = Computed(attachment_rows, ChatAttachmentSerializer(many=True))
    status = Computed(message_status, TextField())

    class Meta:
        model = Message
        fields = [
            "id", "conversation", "seq", "direction", "type", "sender_type", "sender_name", "text",
            "attachments", "reply_to_message", "client_message_id", "status", "delivered_at",
            "read_at", "edited_at", "deleted_at", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


def messages_shown(facts: StoreFacts, rows: Any) -> list[Any]:
    serializer = MessageSerializer(context={"store": facts})
    return [as_members(row) for (row,) in serializer.rows(rows)]


def message_shown(facts: StoreFacts, message: Message) -> Any:
    shown: dict[str, Any] = messages_shown(facts, Message.objects.filter(pk=message.pk))[0]
    return shown


class MessageBody(Body):
    text = TextField(max_length=MAX_TEXT, multiline=True, required=False, allow_null=True)
    attachment_ids = serializers.ListField(
        child=serializers.UUIDField(), max_length=5, required=False
    )
    reply_to_message_id = serializers.UUIDField(required=False, allow_null=True)
    client_message_id = TextField(max_length=64, required=False, allow_null=True)


class TeamMessageBody(MessageBody):
    example = {"text": "Your parcel left the depot."}

    private = serializers.BooleanField(default=False)
    expected_last_seq = IntField(min_value=0, max_value=2**31 - 1, required=False, allow_null=True)
    sender_name = TextField(max_length=200, required=False, allow_null=True)


class MessageChange(Body):
    text = TextField(max_length=MAX_TEXT, multiline=True)


# Conversations


VISITOR = {
    "id": F("visitor__id"),
    "externalId": F("visitor__external_id"),
    "name": F("visitor__name"),
    "email": F("visitor__email"),
    "phone": F("visitor__phone"),
    "verified": F("visitor__verified"),
    "locale": F("visitor__locale"),
    "blockedAt": Instant(F("visitor__blocked_at")),
}


class VisitorSerializer(WireSerializer[Visitor]):
    metadata = Metadata(required=False)

    class Meta:
        model = Visitor
        fields = [
            "id", "external_id", "name", "email", "phone", "verified", "customer", "locale",
            "last_seen_at", "blocked_at", "metadata", "version", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


class VisitorShown(Body):
    id = serializers.UUIDField()
    external_id = TextField(allow_null=True)
    name = TextField(allow_null=True)
    email = TextField(allow_null=True)
    phone = TextField(allow_null=True)
    verified = TextField()
    locale = TextField(allow_null=True)
    blocked_at = Moment(allow_null=True)


def read_to(reader: Any) -> Any:
    """How far a reader has read in each conversation."""
    rows = ReadCursor.objects.filter(conversation=OuterRef("pk"), reader=reader)
    return Coalesce(Subquery(rows.values("up_to_seq")[:1], output_field=ModelInteger()), 0)


def unread_count(_: StoreFacts) -> Any:
    own = ReadCursor.objects.filter(
        conversation=OuterRef(OuterRef("pk")), reader=Value(READER, CharField())
    )
    rows = (
        Message.objects.filter(
            conversation=OuterRef("pk"), direction=Message.Direction.INBOUND, deleted_at=None
        )
        .filter(seq__gt=Coalesce(Subquery(own.values("up_to_seq")[:1]), 0))
        .order_by()
        .values("conversation")
        .annotate(n=Count("*"))
        .values("n")
    )
    return Case(
        When(last_inbound_seq=0, then=Value(0)),
        default=Coalesce(Subquery(rows, output_field=ModelInteger()), 0),
        output_field=ModelInteger(),
    )


class ConversationSerializer(WireSerializer[Conversation]):
    """`context["reader"]` is the caller, whose unread messages are counted."""

    example = {"status": "pending", "tags": ["delivery"]}

    visitor = Computed(lambda _: JSONObject(*json_pairs(VISITOR)), VisitorShown())
    visitor_id = Computed(lambda _: F("visitor_id"), serializers.UUIDField())
    assigned_user_id = serializers.UUIDField(read_only=True, allow_null=True)
    unread_count = Computed(unread_count, IntField())
    status = Choice(choices=Conversation.Status.choices, required=False)
    priority = Choice(choices=Conversation.Priority.choices, required=False, allow_null=True)
    tags = Tags(required=False)
    metadata = Metadata(required=False)

    class Meta:
        model = Conversation
        fields = [
            "id", "number", "channel", "status", "priority", "visitor", "visitor_id", "customer",
            "assigned_user_id", "subject", "tags", "snoozed_until", "page_url", "referrer",
            "last_seq", "last_message_at", "last_message_preview", "waiting_since",
            "first_responded_at", "resolved_at", "unread_count", "visitor_read_seq",
            "team_read_seq", "metadata", "version", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = [
            "number", "channel", "customer", "page_url", "referrer", "last_seq",
            "last_message_at", "last_message_preview", "waiting_since", "first_responded_at",
            "resolved_at", "visitor_read_seq", "team_read_seq", "version",
        ]  # fmt: skip

    def wire_sql(self) -> tuple[str, tuple[Any, ...]]:
        statement, constants = super().wire_sql()
        reader = self.context.get("reader", "")
        return statement, tuple(reader if one == READER else one for one in constants)


def conversation_shown(facts: StoreFacts, conversation: Conversation, **more: Any) -> Any:
    """The conversation for an event, which has no one reader."""
    serializer = ConversationSerializer(context={"store": facts})
    row = serializer.rows(Conversation.objects.filter(pk=conversation.pk))[0][0]
    members = as_members(row)
    del members["unreadCount"]
    return members | more


class VisitorConversationSerializer(WireSerializer[Conversation]):
    """A conversation as its visitor sees it."""

    assigned = Computed(
        lambda _: Case(
            When(Q(assigned_user=None), then=Value(False)),
            default=Value(True),
            output_field=BooleanField(),
        ),
        serializers.BooleanField(),
    )

    class Meta:
        model = Conversation
        fields = [
            "id", "number", "status", "subject", "assigned", "last_message_at",
            "last_message_preview", "visitor_read_seq", "team_read_seq", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class VisitorNamed(Body):
    """Who the conversation is with: by id, by the store's own id, or somebody new."""

    id = serializers.UUIDField(required=False, allow_null=True)
    external_id = TextField(max_length=100, required=False, allow_null=True)
    name = TextField(max_length=200, required=False, allow_null=True)
    phone = Phone(required=False, allow_null=True)
    email = serializers.EmailField(max_length=254, required=False, allow_null=True)


class FirstMessage(Body):
    """A text alone, or a message."""

    takes_text = True  # as the API document says

    text = TextField(max_length=MAX_TEXT, multiline=True)
    client_message_id = TextField(max_length=64, required=False, allow_null=True)
    sender_name = TextField(max_length=200, required=False, allow_null=True)

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value({"text": data} if isinstance(data, str) else data)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return super().run_validation({"text": data} if isinstance(data, str) else data)


class ConversationBody(Body):
    example = {"visitor": {"externalId": "customer-7", "name": "Sara"}, "message": {"text": "Hi"}}

    visitor = VisitorNamed()
    channel_id = StoreRelatedField(
        queryset=Channel.objects.all(), source="channel", required=False, allow_null=True
    )
    subject = TextField(max_length=200, required=False, allow_null=True)
    tags = Tags(required=False)
    metadata = Metadata(required=False)
    message = FirstMessage(required=False, allow_null=True)


class Assignment(Body):
    user_id = serializers.UUIDField(allow_null=True)
    expected_assigned_user_id = serializers.UUIDField(required=False, allow_null=True)


class Reading(Body):
    up_to_seq = IntField(min_value=0, max_value=2**31 - 1)
    visible_to_visitor = serializers.BooleanField(required=False, allow_null=True, default=None)


class VisitorReading(Body):
    up_to_seq = IntField(min_value=0, max_value=2**31 - 1)


class Cursors(Body):
    conversation_id = serializers.UUIDField()
    up_to_seq = IntField()
    visitor_read_seq = IntField()
    team_read_seq = IntField()


class Typing(Body):
    is_typing = serializers.BooleanField()


class Snoozing(Body):
    until = Moment()


class Accepted(Body):
    accepted = serializers.BooleanField()


class Blocking(Body):
    blocked = serializers.BooleanField(default=True)


# Channels, canned replies, feed


ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")


class Origin(TextField):
    """`https://shop.example`: scheme, host and port as browsers send them."""

    def to_internal_value(self, data: Any) -> str:
        origin = super().to_internal_value(data).lower().rstrip("/")
        if not ORIGIN.fullmatch(origin) or not urlsplit(origin).hostname:
            raise serializers.ValidationError("An origin like https://shop.example.", "invalid")
        return origin


class ChannelSerializer(WireSerializer[Channel]):
    example = {"name": "Shop", "allowedOrigins": ["https://shop.example"]}

    allowed_origins = serializers.ListField(
        child=Origin(max_length=255), max_length=20, required=False
    )
    theme = Metadata(required=False)
    hours = Metadata(required=False, allow_null=True)

    class Meta:
        model = Channel
        fields = [
            "id", "kind", "name", "public_key", "allowed_origins", "is_enabled", "theme",
            "greeting", "hours", "require_identity", "assign_on_reply", "version", "created_at",
            "updated_at",
        ]  # fmt: skip
        read_only_fields = ["kind", "public_key", "version"]


class ChannelWithSecret(ChannelSerializer):
    identity_secret = serializers.CharField(read_only=True)

    class Meta(ChannelSerializer.Meta):
        fields = [*ChannelSerializer.Meta.fields, "identity_secret"]


SHORTCODE = re.compile(r"[a-z0-9-]{1,32}")


class CannedReplySerializer(WireSerializer[CannedReply]):
    example = {"shortcode": "hello", "title": "Hello", "body": "Hello {{visitor.name}}"}

    class Meta:
        model = CannedReply
        fields = [
            "id", "shortcode", "title", "body", "locale", "version", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = ["version"]

    def validate_shortcode(self, shortcode: str) -> str:
        if not SHORTCODE.fullmatch(shortcode.lower()):
            raise serializers.ValidationError("1 to 32 of a-z, 0-9 and -.", code="invalid")
        return shortcode.lower()


class FeedEventShown(Body):
    cursor = TextField()
    type = TextField()
    occurred_at = Moment()
    store_id = serializers.UUIDField()
    conversation_id = serializers.UUIDField(allow_null=True)
    data = serializers.DictField()  # type: ignore[assignment]  # a field's name


class Changes(Body):
    items = FeedEventShown(many=True)
    cursor = TextField()
    has_more = serializers.BooleanField()


class HubToken(Body):
    token = TextField()
    expires_at = Moment()
    expires_in_seconds = IntField()
    hub_url = TextField()


class ChatUpload(Body):
    file = serializers.FileField()


# The widget


class SessionBody(Body):
    identity_token = TextField(max_length=4096, required=False, allow_null=True)
    locale = TextField(max_length=16, required=False, allow_null=True)
    page_url = TextField(max_length=2000, required=False, allow_null=True)


class VisitorOwn(Body):
    id = serializers.UUIDField()
    name = TextField(allow_null=True)
    verified = TextField()
    locale = TextField(allow_null=True)


class SessionMade(Body):
    visitor_token = TextField()
    expires_at = Moment()
    visitor = VisitorOwn()
    conversation = VisitorConversationSerializer(allow_null=True)


class WidgetConfig(Body):
    public_key = TextField()
    name = TextField()
    is_enabled = serializers.BooleanField()
    require_identity = serializers.BooleanField()
    greeting = TextField(allow_null=True)
    theme = serializers.DictField()
    hours = serializers.DictField(allow_null=True)
    hub_url = TextField()


class OpeningBody(Body):
    """A visitor's new conversation, with what it begins with."""

    message = FirstMessage(required=False, allow_null=True)
    subject = TextField(max_length=200, required=False, allow_null=True)
    page_url = TextField(max_length=2000, required=False, allow_null=True)
    referrer = TextField(max_length=2000, required=False, allow_null=True)
