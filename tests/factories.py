"""Rows of each kind, valid by default."""

import functools
import itertools

from chat.channels import new_channel
from store_modules.catalog import services as catalog
from store_modules.customers.models import Customer
from store_modules.geography.models import Area
from store_modules.stores import trading
from store_modules.stores.models import Membership, Store, User

_numbers = itertools.count(1)


def a_user(**values):
    number = next(_numbers)
    values.setdefault("email", f"person{number}@example.com")
    values.setdefault("full_name", f"Person {number}")
    return User.objects.create(**values)


def a_member(store, role="store_staff", user=None, **values):
    return Membership.objects.create(store=store, user=user or a_user(), role=role, **values)


def a_store(*, settings=True, **values):
    store = Store.objects.create(name=f"Store {next(_numbers)}")
    if settings:
        defaults = {
            "currency_code": "IQD",
            "timezone": "Asia/Baghdad",
            "industry": "general",
            "country_code": "IQ",
            "default_delivery_fee": 5000,
        }
        trading.initialise(store.pk, defaults | values)
    return store


def a_product(store, *, quantity=100, **values):
    from tests.clients import actor_of_store

    number = next(_numbers)
    values = {"sku": f"SKU-{number}", "name": f"Product {number}", "price": 10_000} | values
    return catalog.create_product(actor_of_store(store), values, quantity=quantity)


def a_customer(store, **values):
    number = next(_numbers)
    values = {
        "name": f"Customer {number}",
        "primary_phone": f"+964770{number:07d}",
        "currency_code": "IQD",
    } | values
    return Customer.objects.create(store=store, **values)


def a_channel(store, **values):
    values.setdefault("name", f"Website {next(_numbers)}")
    values.setdefault("allowed_origins", ["https://shop.example"])
    return new_channel(store.pk, **values)[0]


@functools.cache  # reference data: the same for all tests
def an_area(province="IQ-BG"):
    return Area.objects.filter(province=province).order_by("name", "id").first()


def an_order_body(store, *items, **values):
    """The body of an order; `items` are (product, quantity)."""
    number = next(_numbers)
    return {
        "payment_method": "cod",
        "customer": {"name": "Sara", "primaryPhone": f"+964771{number:07d}"},
        "addressProvinceCode": "IQ-BG",
        "addressAreaId": str(an_area().pk),
        "fulfillmentType": "warehouse",
        "items": [{"sku": product.sku, "quantity": quantity} for product, quantity in items],
    } | values
