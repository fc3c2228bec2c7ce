"""Files that people send: one a request, known by their content, kept under random names."""

import secrets
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeVar

import puremagic
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header
from PIL import Image, ImageOps, UnidentifiedImageError

from storeplatform.kernel.errors import PayloadTooLarge, Refusal, UnsupportedMedia

R = TypeVar("R", bound=HttpResponseBase)
MAX_BYTES = 10 * 2**20
MAX_PIXELS = 40_000_000
PDF, PNG, JPEG, WEBP = "application/pdf", "image/png", "image/jpeg", "image/webp"
DOCUMENTS = frozenset({PDF, PNG, JPEG, WEBP})
FORMATS = {PNG: "PNG", JPEG: "JPEG", WEBP: "WEBP"}


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent. `name` is only ever displayed."""

    name: str
    content_type: str
    content: bytes


def read_bytes(request: Any) -> Upload:
    """The one `file` of a multipart body as it was sent; the caller finds out what it is."""
    files = request.FILES
    sent = files.get("file")
    if sent is None or len(files) != 1 or len(files.getlist("file")) != 1:
        raise Refusal("validation_error", "Send one file.", file=["One file named `file`."])
    if sent.size > MAX_BYTES:
        raise PayloadTooLarge("payload_too_large", "A file has at most 10 MiB.")
    return Upload(display_name(sent.name), "", sent.read())


def read_upload(request: Any, kinds: Collection[str] = DOCUMENTS) -> Upload:
    """The one `file` of a multipart body. Its type is what its bytes say; images are written
    anew, which drops what cameras add. Raises Refusal, PayloadTooLarge, UnsupportedMedia."""
    sent = read_bytes(request)
    content = sent.content
    content_type = type_of(content)
    if content_type not in kinds:
        words = ", ".join(sorted(kinds))
        raise UnsupportedMedia("unsupported_media_type", f"The file is none of: {words}.")
    if content_type in FORMATS:
        content = written_anew(content, FORMATS[content_type])
    return Upload(sent.name, content_type, content)


def type_of(content: bytes) -> str:
    """The media type that the first bytes show; empty when they show none."""
    try:
        found = puremagic.magic_string(content)
    except (puremagic.PureError, ValueError):
        return ""
    return next((match.mime_type for match in found if match.mime_type in DOCUMENTS), "")


def written_anew(content: bytes, form: str) -> bytes:
    try:
        with Image.open(BytesIO(content), formats=[form]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Refusal("image_too_large", "At most 40 megapixels.", file=["Too large."])
            upright = ImageOps.exif_transpose(image)
            out = BytesIO()
            upright.save(out, form)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise Refusal("invalid_image", "The image is damaged.", file=["Damaged."]) from None
    return out.getvalue()


def display_name(name: str | None) -> str:
    """The sender's file name without folders and control characters."""
    last = unicodedata.normalize("NFC", name or "").replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in last if character.isprintable())[:150] or "file"


def keep(folder: str, content: bytes) -> str:
    """Store a file; returns its random name. A rolled-back transaction leaves an orphan at most."""
    name = f"{folder}/{secrets.token_hex(16)}"
    return default_storage.save(name, ContentFile(content))


def forget(name: str) -> None:
    """Remove a stored file when the transaction has committed."""
    transaction.on_commit(lambda: default_storage.delete(name))


def download(name: str, *, content_type: str, file_name: str) -> HttpResponse:
    """A stored file as an attachment that a browser neither runs nor guesses at."""
    with default_storage.open(name) as file:
        return attachment(file.read(), content_type=content_type, file_name=file_name)


def attachment(content: bytes, *, content_type: str, file_name: str) -> HttpResponse:
    return as_attachment(HttpResponse(content, content_type=content_type), file_name)


def streamed(parts: Iterable[bytes], *, content_type: str, file_name: str) -> StreamingHttpResponse:
    """A file that is made while it is sent; `parts` are closed with the response."""
    return as_attachment(StreamingHttpResponse(parts, content_type=content_type), file_name)


def as_attachment(response: R, file_name: str) -> R:
    response["Content-Disposition"] = content_disposition_header(True, file_name) or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cache-Control"] = "private, no-store"
    return response
