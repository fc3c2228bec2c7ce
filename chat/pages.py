"""What browsers open: the team's inbox, the widget's script, a shop to try it in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from csp.decorators import csp
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from storeplatform.kernel.methods import reading_only

Page = Callable[[HttpRequest], HttpResponseBase]

WIDGET = Path(__file__).parent / "static" / "chat" / "widget.js"
WIDGET_CACHED = 300  # seconds
# Scripts, styles and data of ours alone; nothing inline.
strict: Callable[[Page], Page] = csp(
    {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "font-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
)


@reading_only
@strict
def inbox(request: HttpRequest) -> HttpResponse:
    return render(request, "chat/inbox.html")


@reading_only
def widget(request: HttpRequest) -> HttpResponse:
    """The script that stores put on their pages, under an address that stays."""
    response = HttpResponse(WIDGET.read_bytes(), content_type="text/javascript; charset=utf-8")
    response["Cache-Control"] = f"public, max-age={WIDGET_CACHED}"
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


PRODUCTS = [
    {"mark": "T", "en": "Ceylon tea 500 g", "ar": "شاي سيلاني ٥٠٠ غ", "price": 6500},
    {"mark": "M", "en": "Red mug", "ar": "كوب أحمر", "price": 4000},
    {"mark": "D", "en": "Dates 1 kg", "ar": "تمر ١ كغ", "price": 5500},
    {"mark": "L", "en": "Desk lamp", "ar": "مصباح مكتب", "price": 18000},
]
TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "direction": "ltr",
        "other": "ar",
        "other_name": "العربية",
        "name": "Demo shop",
        "heading": "Small things for a good morning",
        "text": "A page of a shop that has put the chat's one line on it. Ask something below.",
        "money": "{:,} IQD",
    },
    "ar": {
        "direction": "rtl",
        "other": "en",
        "other_name": "English",
        "name": "متجر تجريبي",
        "heading": "أشياء صغيرة لصباح جميل",
        "text": "صفحة متجر أضاف سطر المحادثة الواحد. اسأل ما تشاء في الأسفل.",
        "money": "{:,} د.ع",
    },
}


@reading_only
@strict
def demo_shop(request: HttpRequest) -> HttpResponse:
    """A page with the widget on it, for development: of the demo store, or of `?key=`."""
    if not settings.DEVELOPMENT:
        raise Http404
    language = "ar" if request.GET.get("lang") == "ar" else "en"
    texts: dict[str, Any] = TEXTS[language]
    given = request.GET.get("key", "")
    products = [
        {
            "mark": product["mark"],
            "name": product[language],
            "price": texts["money"].format(product["price"]),
        }
        for product in PRODUCTS
    ]
    context = texts | {
        "language": language,
        "products": products,
        "given": given,
        "key": given or demo_key(),
    }
    return render(request, "chat/demo_shop.html", context)


def demo_key() -> str:
    """The widget's public key of the demo store, which `make run` makes."""
    file = settings.STATE_DIR / "demo.json"
    made: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    return made.get("widgetKey", "")
