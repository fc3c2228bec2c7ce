"""Examples for the API document: each member shows what its name promises, or what its type does.

Pure: schemas in, plain values out. A test validates every example against its schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

SOME_ID = "0197a2c4-5e6f-7b81-9c2d-3e4f5a6b7c8d"
SOME_INSTANT = "2026-01-15T09:30:00.000Z"
DEPTH = 8
BY_NAME: dict[str, Any] = {
    "accessToken": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI…",
    "action": "api_key.rotated",
    "actorKind": "user",
    "addressAreaId": "0b0a2936-83b8-5759-a1cb-e49dd48a6db1",
    "addressProvinceCode": "IQ-BG",
    "address": "14 Ramadan St., house 2",
    "allowedIps": ["203.0.113.0/24"],
    "apiKey": "stk_0123456789ABCDEF.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1My2D0",
    "areaName": "Al Mansour",
    "barcode": "6221031490012",
    "category": "rent",
    "code": "SPRING",
    "contentType": "application/pdf",
    "countryCode": "IQ",
    "currencyCode": "IQD",
    "currentPassword": "correct horse battery",
    "customerName": "Sara Ahmed",
    "delivery_lat": 33.3152,
    "delivery_lng": 44.3661,
    "email": "sara@example.com",
    "externalRef": "WEB-2041",
    "fileName": "invoice.pdf",
    "from": "2026-01-01",
    "fullName": "Sara Ahmed",
    "grants": ["customers.export"],
    "denies": ["expenses.read"],
    "imageUrl": "https://shop.example/shirt.jpg",
    "imageUrls": ["https://shop.example/shirt.jpg"],
    "instance": "/api/v1/store/orders",
    "keyId": "stk_0123456789ABCDEF",
    "landmark": "Beside the pharmacy",
    "lat": 33.3152,
    "lng": 44.3661,
    "login": "owner@example.com",
    "name": "White cotton shirt",
    "newPassword": "a longer and better one",
    "note": "Gift wrap, please",
    "notes": "Call before you come",
    "number": "ORD-1001",
    "options": {"size": "M"},
    "orderNumber": "ORD-1001",
    "otpCode": "613244",
    "otpCountries": ["IQ"],
    "password": "correct horse battery",
    "permissions": ["orders.read", "orders.write"],
    "phone": "+9647701234567",
    "provinceCode": "IQ-BG",
    "provinceName": "Baghdad",
    "publicId": "8kUPqO3M1n0v2bXz7YtWcA",
    "reason": "Changed their mind",
    "refreshToken": "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiI…",
    "riskFlags": ["high_refusal"],
    "scopes": ["orders:read", "orders:write"],
    "sku": "SHIRT-M",
    "skus": ["SHIRT-M"],
    "slug": "shirts",
    "storeName": "Sara's Shop",
    "supplierName": "Al Rafidain Textiles",
    "tags": ["summer"],
    "taxRate": "0.00",
    "timezone": "Asia/Baghdad",
    "title": "One or more fields are invalid.",
    "to": "2026-01-31",
    "token": "inv_3k9fJw2LxQvT7mZr",
    "tokenType": "Bearer",
    "total": "35000",
    "trackingNumber": "BX-55012",
    "userAgent": "shop-sync/2.1",
    "version": 1,
}  # fmt: skip
BY_FORMAT: dict[str, Any] = {
    "uuid": SOME_ID,
    "date-time": SOME_INSTANT,
    "date": "2026-01-15",
    "email": "sara@example.com",
    "uri": "https://shop.example/",
    "decimal": "1.00",
    "double": 1.0,
    "ip": "203.0.113.7",
    "binary": "%PDF-1.7 …",
}
TYPES: dict[str, Any] = {
    "string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict,
}  # fmt: skip
BY_TYPE: dict[str, Any] = {
    "boolean": True,
    "null": None,
}


@dataclass(frozen=True, slots=True)
class Examples:
    """Makes examples of a document's schemas. A request shows what it must hold, an answer all."""

    schemas: Mapping[str, Schema]
    is_request: bool = False

    def of(self, schema: Schema, name: str = "", depth: int = DEPTH) -> Any:
        """A value of the schema; `name` is the member that holds it."""
        if "$ref" in schema:
            return self.of(self.schemas[schema["$ref"].rpartition("/")[2]], name, depth)
        if examples := schema.get("examples"):
            return examples[0]
        if values := schema.get("enum"):
            return schema.get("default") or values[0]
        for joined in ("oneOf", "anyOf", "allOf"):
            if parts := schema.get(joined):
                return self.of(parts[0], name, depth)
        kinds = schema.get("type", "object" if "properties" in schema else "")
        kind = kinds if isinstance(kinds, str) else kinds[0]
        if kind == "object" and "properties" in schema:
            return self.members(schema, depth - 1) if depth else {}
        if name in BY_NAME and fits(BY_NAME[name], kind):
            return BY_NAME[name]
        if kind == "array":
            inner = schema.get("items", {})
            return [self.of(inner, name.removesuffix("s"), depth - 1)] if depth else []
        if kind == "object":
            return {}
        return plain_example(schema, kind)

    def members(self, schema: Schema, depth: int) -> dict[str, Any]:
        names = list(schema["properties"])
        if self.is_request:
            required = schema.get("required", [])
            names = required or [name for name in names if name in BY_NAME][:3]
        return {name: self.of(schema["properties"][name], name, depth) for name in names}


def fits(value: Any, kind: str) -> bool:
    """Whether what the name suggests is of the member's type."""
    return isinstance(value, TYPES.get(kind, ())) and not (kind == "integer" and value is True)


def plain_example(schema: Schema, kind: str) -> Any:
    if (form := schema.get("format", "")) in BY_FORMAT and kind == "string":
        return BY_FORMAT[form]
    if kind in ("integer", "number"):
        return max(int(schema.get("minimum", 1)), min(1, int(schema.get("maximum", 1))))
    if kind == "string":
        return "text"[: schema.get("maxLength", 4)]
    return BY_TYPE.get(kind, {})
