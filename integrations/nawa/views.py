"""Where Nawa's events arrive."""

from collections.abc import Mapping

import orjson
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.nawa import webhooks
from integrations.nawa.serializers import EventBody, ReceivedAnswer
from storeplatform.kernel import limits
from storeplatform.kernel.addresses import network_of
from storeplatform.kernel.errors import PayloadTooLarge, Refusal, Unauthenticated, refuse
from storeplatform.kernel.limits import POLICIES, Bucket
from storeplatform.kernel.strict_json import MalformedJSON, loads
from storeplatform.kernel.viewsets import PublicView


class NawaWebhooks(PublicView):
    why_public = "the signature over the raw body is checked, the timestamp with it"
    forms = {"receive": EventBody}
    answers = {"receive": ReceivedAnswer}

    def receive(self, request: Request) -> Response:
        """An event of Nawa, signed: `X-NAWA-Signature` is the lowercase hex HMAC-SHA256 of
        `X-NAWA-Timestamp`, a full stop and the raw body. It is stored before it is answered, and
        carried out afterwards."""
        http = request._request
        source = network_of(getattr(http, "client_ip", ""))
        limits.refuse_over(limits.charge([Bucket(POLICIES["nawa-inbound"], source)]))
        raw = http.body
        if len(raw) > webhooks.MAX_BYTES:
            raise PayloadTooLarge("payload_too_large", "An event has at most 256 KiB.")
        timestamp = http.headers.get("X-NAWA-Timestamp", "")
        given = http.headers.get("X-NAWA-Signature", "")
        if not webhooks.is_genuine(timestamp, given, raw):
            webhooks.note_refused()
            message = "The signature or its timestamp does not hold."
            raise Unauthenticated("invalid_signature", message, scheme="NAWA-HMAC-SHA256")
        try:
            body = loads(raw)
        except MalformedJSON as error:
            raise Refusal("malformed_json", str(error)) from None
        if not isinstance(body, Mapping):
            raise refuse("_", "validation_error", "The body is a JSON object.")
        values = EventBody.read(body, self.facts)
        is_new = webhooks.store_event(
            values["id"], values["type"], values["created_at"], plain(body["data"])
        )
        return Response({"received": True} if is_new else {"received": True, "duplicate": True})


def plain(data: object) -> dict[str, object]:
    """JSON that a JSON column takes: exact numbers as text."""
    made: dict[str, object] = orjson.loads(orjson.dumps(data, default=str))
    return made
