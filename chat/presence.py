"""What is told at most once and stands in no feed: who types and who is here."""

from datetime import UTC, datetime, timedelta

import redis

from chat import feed
from chat.hub_tokens import Principal
from chat.models import SENDERS, Conversation
from chat.signalr.fanout import to_group
from chat.visitors import refuse_blocked
from storeplatform.kernel import valkey
from storeplatform.kernel.tenancy import Actor

PRESENT_FOR = timedelta(minutes=60)  # as long as a hub connection is authorised
SHOWN_TYPING_SECONDS, TYPING_EVERY_SECONDS = 6, 2


def note_typing(actor: Actor, conversation: Conversation, *, is_typing: bool) -> None:
    """Tell the other side, at most once in two seconds; forgotten after six."""
    refuse_blocked(actor)
    place = f"chat:typing:{conversation.pk}:{actor.principal}"
    try:
        client = valkey.client()
        if is_typing:
            client.set(place, 1, ex=SHOWN_TYPING_SECONDS)
        else:
            client.delete(place)
        word = "on" if is_typing else "off"
        if not client.set(f"{place}:{word}", 1, ex=TYPING_EVERY_SECONDS, nx=True):
            return
    except redis.RedisError:
        return  # at most once
    data = {
        "isTyping": is_typing,
        "senderType": SENDERS[actor.kind],
        "senderName": actor.label or None,
        "expiresInSeconds": SHOWN_TYPING_SECONDS,
    }
    if actor.kind != "visitor":
        public = feed.envelope("TypingChanged", actor.store_id, conversation.pk, data)
        feed.publish(to_group(feed.VISITOR_HUB, str(conversation.visitor_id), {"event": public}))
    told = feed.envelope(
        "TypingChanged", actor.store_id, conversation.pk, data | {"senderId": actor.id}
    )
    feed.publish(to_group(feed.STORE_HUB, str(actor.store_id), {"event": told}))


def note_presence(principal: Principal, connection_id: str, *, is_here: bool) -> bool:
    """Keep who is here; whether no other connection of the principal is."""
    place = f"chat:present:{principal.store_id}:{principal.name}"
    client = valkey.client()
    at = datetime.now(UTC).timestamp()
    client.zremrangebyscore(place, 0, at)
    client.zrem(place, connection_id)
    others = client.zcard(place)
    if is_here:
        client.zadd(place, {connection_id: at + PRESENT_FOR.total_seconds()})
        client.expire(place, int(PRESENT_FOR.total_seconds()))
    return not others
