"""Files on their way into a message, and those that no message took."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from hashlib import sha256
from io import BytesIO
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from PIL import Image

from chat.models import Attachment, Conversation
from chat.visitors import refuse_blocked
from storeplatform.kernel import uploads
from storeplatform.kernel.errors import refuse
from storeplatform.kernel.tenancy import Actor

UNATTACHED_FOR = timedelta(hours=24)


def keep_upload(actor: Actor, upload: uploads.Upload) -> Attachment:
    """Store a file that a message may carry. Raises Denied `visitor_blocked`."""
    refuse_blocked(actor)
    width = height = None
    if upload.content_type in uploads.FORMATS:
        with Image.open(BytesIO(upload.content)) as image:
            width, height = image.size
    kept: Attachment = Attachment.objects.create(
        store_id=actor.store_id,
        uploaded_by=actor.principal,
        file_name=upload.name,
        content_type=upload.content_type,
        size=len(upload.content),
        sha256=sha256(upload.content).hexdigest(),
        width=width,
        height=height,
        stored_as=uploads.keep("chat", upload.content),
    )
    return kept


def claim_attachments(
    actor: Actor, conversation: Conversation, ids: Sequence[UUID]
) -> list[Attachment]:
    """The sender's own uploads that no message has yet."""
    if not ids:
        return []
    rows = Attachment.objects.of(conversation.store_id).filter(
        pk__in=ids, message=None, uploaded_by=actor.principal
    )
    found = {row.pk: row for row in rows.order_by("pk").select_for_update()}
    if missing := [str(one) for one in ids if one not in found]:
        message = f"Not an upload of yours that is free: {', '.join(missing)}."
        raise refuse("attachmentIds", "not_found", message)
    return [found[one] for one in dict.fromkeys(ids)]


def purge_attachments() -> int:
    """Forget files that no message took within a day."""
    old = Attachment.objects.filter(
        message=None, created_at__lt=timezone.now() - UNATTACHED_FOR
    ).order_by("pk")
    return forget(old[:500])


@transaction.atomic
def forget(attachments: Iterable[Attachment]) -> int:
    count = 0
    for attachment in attachments:
        gone, _ = Attachment.objects.filter(pk=attachment.pk, message=None).delete()
        if gone:
            uploads.forget(attachment.stored_as)
            count += 1
    return count
