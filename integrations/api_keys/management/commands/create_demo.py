"""The demo store of `make run`: an owner, settings, a few products and an API key."""

import json
import os
import secrets
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from chat.channels import new_channel
from integrations.api_keys.models import ApiKey
from integrations.api_keys.scopes import SCOPES
from integrations.api_keys.services import issue_key
from store_modules.catalog.services import create_product
from store_modules.stores import trading
from store_modules.stores.grants import ALL
from store_modules.stores.models import Membership, Store, User
from storeplatform.kernel.tenancy import Actor, StoreFacts

EMAIL = "owner@demo.example"
PRODUCTS = [
    ("TEA-500", "Ceylon tea 500 g", "شاي سيلاني ٥٠٠ غ", 6500, 40),
    ("MUG-RED", "Red mug", "كوب أحمر", 4000, 25),
    ("DATE-1KG", "Dates 1 kg", "تمر ١ كغ", 5500, 60),
    ("LAMP-01", "Desk lamp", "مصباح مكتب", 18000, 5),
]


class Command(BaseCommand):
    help = "Make the demo store once and write how to sign in to STATE_DIR/demo.json."

    def handle(self, *_: Any, **__: Any) -> None:
        if not settings.DEVELOPMENT:
            raise CommandError("The demo store is for development only.")
        file = settings.STATE_DIR / "demo.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        key_id = known.get("apiKey", "").partition(".")[0]
        is_made = ApiKey.objects.filter(key_id=key_id).exists()
        if is_made and "widgetKey" in known:
            return
        with transaction.atomic():
            made = known if is_made else self.make()
            made["widgetKey"] = website_of(made["storeId"])
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w") as text:
                json.dump(made, text, indent=2)

    def make(self) -> dict[str, str]:
        password = secrets.token_urlsafe(12)
        User.objects.filter(email=EMAIL).delete()
        user = User.objects.create_user(
            EMAIL, password, full_name="Demo Owner", is_staff=True, is_superuser=True
        )
        store = Store.objects.create(name="Demo Store")
        Membership.objects.create(user=user, store=store, role=Membership.Role.OWNER)
        trading.initialise(
            store.pk,
            {
                "currency_code": "IQD",
                "timezone": "Asia/Baghdad",
                "industry": "general",
                "country_code": "IQ",
                "default_delivery_fee": Decimal(5000),
                "cash_rounding": Decimal(250),
            },
        )
        actor = Actor(
            store=StoreFacts(store.pk, store.name, "IQD", "Asia/Baghdad", "IQ"),
            grants=ALL,
            kind="user",
            id=str(user.pk),
            label=user.full_name,
            user_id=user.pk,
            is_owner=True,
        )
        for sku, name, arabic, price, quantity in PRODUCTS:
            values = {"sku": sku, "name": name, "names": {"ar": arabic}, "price": Decimal(price)}
            create_product(actor, values, quantity=quantity)
        _, token = issue_key(actor, name="Demo website", scopes=list(SCOPES))
        return {
            "email": EMAIL,
            "password": password,
            "storeId": str(store.pk),
            "apiKey": token.text,
        }


def website_of(store_id: str) -> str:
    """The public key of a widget for the demo shop, at whichever name of this machine."""
    port = settings.ENV.PORT
    origins = {
        settings.PUBLIC_ORIGIN.lower(),
        f"http://localhost:{port}",
        f"http://127.0.0.1:{port}",
    }
    channel, _ = new_channel(UUID(store_id), name="Demo shop", allowed_origins=sorted(origins))
    return channel.public_key
