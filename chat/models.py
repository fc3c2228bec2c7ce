"""Website chat: channels, visitors, conversations, messages, and the feed that tells of them
(platform.md, section 8.1)."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from storeplatform.kernel.fields import PhoneField
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.sql import search_index, search_text
from storeplatform.kernel.tenancy import StoreOwned, StoreOwnedQuerySet

MAX_TEXT = 4000


class Channel(StoreOwned):
    """A widget on the store's pages. Visitors come by its public key; the secret, with which the
    store's server vouches for who they are, is encrypted and shown once. A store has one channel
    for each way in which people write from their phones; widgets do not open those."""

    class Kind(models.TextChoices):
        WEBSITE = "website"
        WHATSAPP = "whatsapp"
        SMS = "sms"

    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.WEBSITE)
    name = models.CharField(max_length=80)
    public_key = models.CharField(max_length=24, unique=True)
    allowed_origins = ArrayField(models.CharField(max_length=255), default=list)
    is_enabled = models.BooleanField(default=True)
    theme = models.JSONField(default=dict)
    greeting = models.CharField(max_length=500, null=True)  # noqa: DJ001  # null is none
    hours = models.JSONField(null=True)
    require_identity = models.BooleanField(default=False)
    assign_on_reply = models.BooleanField(default=True)
    identity_secret = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "store",
                Lower("name"),
                name="channel_name_taken",
                violation_error_code="duplicate_name",
                violation_error_message="Another channel has this name.",
            ),
            models.UniqueConstraint(
                fields=["store", "kind"],
                condition=~Q(kind="website"),
                name="channel_of_phones_once",
            ),
        ]
        indexes = [GinIndex(fields=["allowed_origins"], name="channel_origins")]

    def __str__(self) -> str:
        return self.name


class Visitor(StoreOwned):
    """Somebody who writes to the store. `verified` tells who vouched for the name."""

    class Verified(models.TextChoices):
        NONE = "none"
        SIGNED = "signed"
        OTP = "otp"

    external_id = models.CharField(max_length=100, null=True)  # noqa: DJ001
    name = models.CharField(max_length=200, null=True)  # noqa: DJ001
    email = models.EmailField(null=True)  # noqa: DJ001
    phone = PhoneField(null=True)
    verified = models.CharField(max_length=8, choices=Verified.choices, default=Verified.NONE)
    customer = models.ForeignKey(
        "customers.Customer", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    locale = models.CharField(max_length=16, null=True)  # noqa: DJ001
    last_seen_at = models.DateTimeField(auto_now_add=True)
    blocked_at = models.DateTimeField(null=True)
    metadata = models.JSONField(default=dict)
    search_text = search_text("name", "phone", "email", "external_id")

    class Meta:
        indexes = [search_index("visitor_search")]
        constraints = [
            models.UniqueConstraint(
                fields=["store", "external_id"],
                condition=Q(external_id__isnull=False),
                name="visitor_external_id_taken",
                violation_error_message="Another visitor has this externalId.",
            )
        ]

    def __str__(self) -> str:
        return self.name or str(self.pk)


class VisitorSession(models.Model):
    """A browser that holds a visitor token, of which only a keyed hash is kept."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    visitor = models.ForeignKey(Visitor, on_delete=models.CASCADE, related_name="sessions")
    token_hash = models.CharField(max_length=80, unique=True)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="visitor_session_by_end")]

    def __str__(self) -> str:
        return str(self.visitor_id)


class ConversationQuerySet(StoreOwnedQuerySet[Any]):
    def open(self) -> "ConversationQuerySet":
        return self.exclude(status=Conversation.Status.RESOLVED)


class Conversation(StoreOwned):
    """What is said with one visitor through one channel. `last_seq` numbers all messages,
    `last_public_seq` is the last that the visitor sees, `last_inbound_seq` the last of theirs."""

    class Status(models.TextChoices):
        OPEN = "open"
        PENDING = "pending"
        SNOOZED = "snoozed"
        RESOLVED = "resolved"

    class Priority(models.TextChoices):
        LOW = "low"
        MEDIUM = "medium"
        HIGH = "high"
        URGENT = "urgent"

    number = models.CharField(max_length=24)
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="+")
    visitor = models.ForeignKey(Visitor, on_delete=models.PROTECT, related_name="+")
    customer = models.ForeignKey(
        "customers.Customer", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    priority = models.CharField(  # noqa: DJ001
        max_length=8, choices=Priority.choices, null=True
    )
    assigned_user = models.ForeignKey(
        "stores.User", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    subject = models.CharField(max_length=200, null=True)  # noqa: DJ001
    tags = ArrayField(models.CharField(max_length=50), default=list)
    snoozed_until = models.DateTimeField(null=True)
    page_url = models.CharField(max_length=2000, null=True)  # noqa: DJ001
    referrer = models.CharField(max_length=2000, null=True)  # noqa: DJ001
    last_seq = models.PositiveIntegerField(default=0)
    last_public_seq = models.PositiveIntegerField(default=0)
    last_inbound_seq = models.PositiveIntegerField(default=0)
    last_message_at = models.DateTimeField(auto_now_add=True)
    last_message_preview = models.CharField(max_length=140, null=True)  # noqa: DJ001
    waiting_since = models.DateTimeField(null=True)
    first_responded_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    visitor_read_seq = models.PositiveIntegerField(default=0)
    team_read_seq = models.PositiveIntegerField(default=0)
    metadata = models.JSONField(default=dict)
    search_text = search_text("number", "subject", "last_message_preview")

    objects: ClassVar[Any] = ConversationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["store", "number"], name="conversation_number_once"),
            models.UniqueConstraint(
                fields=["channel", "visitor"],
                condition=~Q(status="resolved"),
                name="conversation_one_open",
                violation_error_code="conversation_open",
                violation_error_message="This visitor has another open conversation here.",
            ),
        ]
        indexes = [
            models.Index(fields=["store", "-last_message_at", "-id"], name="conversation_latest"),
            models.Index(
                fields=["store", "status", "-last_message_at", "-id"], name="conversation_status"
            ),
            models.Index(fields=["visitor", "-created_at"], name="conversations_of_visitor"),
            models.Index(
                fields=["snoozed_until"],
                condition=Q(status="snoozed"),
                name="conversation_to_wake",
            ),
            search_index("conversation_search"),
        ]

    def __str__(self) -> str:
        return self.number


class Message(models.Model):
    """One thing said. `seq` is 1, 2, 3… in its conversation, without a gap; a deleted message
    keeps its number and loses its text. A private one is a note among colleagues."""

    class Direction(models.TextChoices):
        INBOUND = "inbound"
        OUTBOUND = "outbound"
        SYSTEM = "system"

    class Sender(models.TextChoices):
        VISITOR = "visitor"
        AGENT = "agent"
        BOT = "bot"
        SYSTEM = "system"

    class Type(models.TextChoices):
        TEXT = "text"
        ATTACHMENT = "attachment"
        CARD = "card"
        EVENT = "event"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="messages"
    )
    seq = models.PositiveIntegerField()
    direction = models.CharField(max_length=8, choices=Direction.choices)
    sender_type = models.CharField(max_length=8, choices=Sender.choices)
    sender_id = models.CharField(max_length=64)
    sender_name = models.CharField(max_length=200, null=True)  # noqa: DJ001
    type = models.CharField(max_length=10, choices=Type.choices, default=Type.TEXT)
    text = models.TextField(max_length=MAX_TEXT, null=True)  # noqa: DJ001
    private = models.BooleanField(default=False)
    reply_to_message = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    client_message_id = models.CharField(max_length=64, null=True)  # noqa: DJ001
    delivered_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    edited_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="message_seq_once"),
            models.UniqueConstraint(
                fields=["conversation", "sender_type", "sender_id", "client_message_id"],
                condition=Q(client_message_id__isnull=False),
                name="message_client_id_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} {self.seq}"


SENDERS = {  # by the kind of an actor
    "user": Message.Sender.AGENT,
    "api_key": Message.Sender.BOT,
    "visitor": Message.Sender.VISITOR,
    "system": Message.Sender.SYSTEM,
}


class Attachment(models.Model):
    """A file that somebody sent. Without a message it is forgotten after a day."""

    class Status(models.TextChoices):
        PENDING = "pending"
        READY = "ready"
        REJECTED = "rejected"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, null=True, related_name="+"
    )
    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, null=True, related_name="attachments"
    )
    uploaded_by = models.CharField(max_length=80)
    file_name = models.CharField(max_length=150)
    content_type = models.CharField(max_length=100)
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.READY)
    stored_as = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["created_at"], condition=Q(message=None), name="attachment_unattached"
            )
        ]

    def __str__(self) -> str:
        return self.file_name


class ReadCursor(models.Model):
    """How far somebody has read; it only rises. `reader` is `user:…` or `api_key:…`."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="+")
    reader = models.CharField(max_length=80)
    up_to_seq = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation", "reader"], name="read_cursor_once")
        ]

    def __str__(self) -> str:
        return f"{self.reader} {self.up_to_seq}"


class CannedReply(StoreOwned):
    """A text that agents keep ready. It may hold {{visitor.name}}, {{agent.name}} and
    {{store.name}}, which the page fills in."""

    shortcode = models.CharField(max_length=32)
    title = models.CharField(max_length=120)
    body = models.TextField(max_length=MAX_TEXT)
    locale = models.CharField(max_length=16, null=True)  # noqa: DJ001
    search_text = search_text("shortcode", "title", "body")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "store",
                Lower("shortcode"),
                name="canned_reply_shortcode_taken",
                violation_error_code="duplicate",
                violation_error_message="Another canned reply has this shortcode.",
            )
        ]
        indexes = [search_index("canned_reply_search")]

    def __str__(self) -> str:
        return self.shortcode


class FeedHead(models.Model):
    """The last number of a store's feed. Whoever writes to the feed holds this row until the
    commit, so that numbers and commits come in one order."""

    store = models.OneToOneField(
        "stores.Store", on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    seq = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.seq)


class FeedEvent(models.Model):
    """One change of the store's chat, as hubs and `/changes` tell it. `visitor_id` is set on what
    the visitor may know of."""

    pk = models.CompositePrimaryKey("store_id", "seq")
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    seq = models.PositiveBigIntegerField()
    type = models.CharField(max_length=32)
    conversation_id = models.UUIDField(null=True)
    visitor_id = models.UUIDField(null=True)
    data = models.JSONField()
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(
                fields=["visitor_id", "seq"],
                condition=Q(visitor_id__isnull=False),
                name="feed_of_visitor",
            ),
            models.Index(fields=["created_at"], name="feed_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.seq}"


UNREAD = Q(last_inbound_seq__gt=F("read_to"))  # with `read_to` annotated
