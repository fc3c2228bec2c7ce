"""OTP for storefront orders: guide.md, "New: OTP-verified storefront orders"; platform.md, 12."""

from datetime import timedelta
from uuid import UUID

import pytest
import time_machine
from django.utils import timezone

from integrations.otp import sms
from integrations.otp.codes import derive_code
from integrations.otp.models import OtpChallenge
from store_modules.customers.models import Customer
from store_modules.orders.models import Order
from store_modules.stores.models import StoreSettings
from tests.clients import key_client_of
from tests.factories import a_product, a_store, an_order_body

SEND, STOREFRONT = "/orders/send-otp", "/orders/storefront"
PHONE = "+9647701234567"


def body_for(store, phone=PHONE, **values):
    product = a_product(store)
    return an_order_body(
        store, (product, 1), customer={"name": "Sara", "primaryPhone": phone}, **values
    )


def last_code():
    return sms.OUTBOX[-1]["code"]


def wrong(code):
    return f"{(int(code) + 1) % 10**6:06d}"


def test_the_vector_of_the_specification_holds():
    code = derive_code(
        b"test-otp-key-32-bytes-long-00000",
        UUID("00000000-0000-0000-0000-000000000001"),
        PHONE,
        "storefront_order",
        UUID("00000000-0000-0000-0000-0000000000aa"),
    )

    assert code == "613244"


def test_a_code_verifies_one_order(key, store):
    sent = key.post(SEND, {"phone": "0770 123 4567"})
    assert sent.status_code == 200, sent.content
    assert sent.json()["phone"] == "+964770***4567"
    assert (sent.json()["expiresInSeconds"], sent.json()["resendAfterSeconds"]) == (300, 60)
    assert last_code() not in sent.content.decode().replace("7701234567", "")
    body = body_for(store)

    made = key.post(STOREFRONT, body | {"otpCode": last_code()})
    again = key.post(STOREFRONT, body | {"otpCode": last_code()})

    assert made.status_code == 201, made.content
    assert made.json()["otpVerified"] is True
    assert made.json()["channel"] == "storefront"
    assert again.status_code == 400
    assert again.json()["code"] == "otp_used"
    assert Order.objects.count() == 1


def test_the_code_is_nowhere_in_the_database(key, store):
    key.post(SEND, {"phone": PHONE})

    row = OtpChallenge.objects.get()

    assert last_code() not in str({f.name: getattr(row, f.name) for f in row._meta.fields})


def test_a_failed_order_leaves_the_code_usable(key, store):
    key.post(SEND, {"phone": PHONE})
    product = a_product(store, quantity=0)
    body = an_order_body(store, (product, 1), customer={"name": "S", "primaryPhone": PHONE})

    short = key.post(STOREFRONT, body | {"otpCode": last_code()})
    good = key.post(STOREFRONT, body_for(store) | {"otpCode": last_code()})

    assert short.status_code == 409
    assert good.status_code == 201


def test_a_bad_order_spends_no_try(key, store):
    key.post(SEND, {"phone": PHONE})
    body = body_for(store, payment_method="card")

    refused = key.post(STOREFRONT, body | {"otpCode": last_code()})

    assert refused.status_code == 400
    assert OtpChallenge.objects.get().attempts == 0


def test_five_wrong_tries_lock_the_code(key, store):
    key.post(SEND, {"phone": PHONE})
    body = body_for(store)
    bad = wrong(last_code())

    answers = [key.post(STOREFRONT, body | {"otpCode": bad}) for _ in range(5)]
    right = key.post(STOREFRONT, body | {"otpCode": last_code()})

    assert [answer.json()["attemptsLeft"] for answer in answers] == [4, 3, 2, 1, 0]
    assert {answer.json()["code"] for answer in answers} == {"otp_invalid"}
    assert right.status_code == 429
    assert right.json()["code"] == "otp_locked"
    assert not Order.objects.exists()


def test_resending_does_not_refill_guesses_without_end(key, store):
    body = body_for(store)
    now = timezone.now()
    for minute in (0, 2):
        with time_machine.travel(now + timedelta(minutes=minute), tick=False):
            key.post(SEND, {"phone": PHONE})
            for _ in range(5):
                key.post(STOREFRONT, body | {"otpCode": wrong(last_code())})

    with time_machine.travel(now + timedelta(minutes=4), tick=False):
        key.post(SEND, {"phone": PHONE})
        right = key.post(STOREFRONT, body | {"otpCode": last_code()})

    assert right.status_code == 429
    assert right.json()["code"] == "otp_locked"


def test_an_old_expired_or_foreign_code_is_refused(key, store):
    body = body_for(store)
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        key.post(SEND, {"phone": PHONE})
        old = last_code()
    with time_machine.travel(now + timedelta(seconds=61), tick=False):
        key.post(SEND, {"phone": PHONE})
        superseded = key.post(STOREFRONT, body | {"otpCode": old})
        stranger = a_store()
        elsewhere = key_client_of(stranger).post(
            STOREFRONT, body_for(stranger) | {"otpCode": last_code()}
        )
        other_phone = key.post(
            STOREFRONT, body_for(store, phone="+9647709999999") | {"otpCode": last_code()}
        )
    with time_machine.travel(now + timedelta(minutes=10), tick=False):
        late = key.post(STOREFRONT, body | {"otpCode": last_code()})

    assert superseded.json()["code"] == "otp_invalid"
    assert elsewhere.json()["code"] == other_phone.json()["code"] == "otp_expired"
    assert late.json()["code"] == "otp_expired"
    assert late.json()["errors"]["otpCode"]


def test_sending_is_limited_per_phone(key, store):
    first = key.post(SEND, {"phone": PHONE})
    second = key.post(SEND, {"phone": PHONE})

    assert first.status_code == 200
    assert second.status_code == 429
    assert second.json()["code"] == "otp_rate_limited"
    assert 1 <= int(second["Retry-After"]) <= 61


@pytest.mark.parametrize("zero", ["\u0660", "\u06f0"])  # Arabic and Persian
def test_a_code_may_be_typed_in_the_digits_of_the_customers_keyboard(key, store, zero):
    key.post(SEND, {"phone": PHONE})
    typed = "".join(chr(ord(zero) + int(digit)) for digit in last_code())

    made = key.post(STOREFRONT, body_for(store) | {"otpCode": typed})

    assert made.status_code == 201


def test_a_new_hashing_key_forgets_no_limit_and_no_code(key, store, settings):
    body = body_for(store)
    (version, former), *_ = settings.KEYS["OTP_KEY"].items()
    key.post(SEND, {"phone": PHONE})
    settings.KEYS = settings.KEYS | {
        "OTP_KEY": {version + 1: b"another-otp-key-32-bytes-long-000", version: former}
    }

    again = key.post(SEND, {"phone": PHONE})
    made = key.post(STOREFRONT, body | {"otpCode": last_code()})

    assert again.status_code == 429
    assert made.status_code == 201


def test_the_answer_is_the_same_for_known_and_unknown_phones(key, store):
    Customer.objects.create(store=store, name="Known", primary_phone=PHONE, currency_code="IQD")

    known = key.post(SEND, {"phone": PHONE}).json()
    unknown = key.post(SEND, {"phone": "+9647709999999"}).json()

    assert known.keys() == unknown.keys()


def test_a_refused_message_counts_nothing(key, store):
    sms.REFUSED.add(PHONE)
    try:
        failed = key.post(SEND, {"phone": PHONE})
    finally:
        sms.REFUSED.clear()

    assert failed.status_code == 502
    assert failed.json()["code"] == "otp_delivery_failed"
    assert key.post(SEND, {"phone": PHONE}).status_code == 200


@pytest.mark.parametrize("phone", ["", "123", "07901", "+14155552671x", 42, None, "hello"])
def test_what_is_no_mobile_number_is_refused(key, phone):
    answer = key.post(SEND, {"phone": phone})

    assert answer.status_code == 400
    assert "phone" in answer.json()["errors"]


def test_other_countries_are_refused_unless_the_store_serves_them(key, store):
    refused = key.post(SEND, {"phone": "+962790123456"})
    StoreSettings.objects.update(otp_countries=["IQ", "JO"])
    taken = key.post(SEND, {"phone": "+962790123456"})

    assert refused.json()["code"] == "country_not_allowed"
    assert taken.status_code == 200


def test_the_code_is_required_unless_the_store_says_otherwise(key, store):
    body = body_for(store)

    missing = key.post(STOREFRONT, body)
    StoreSettings.objects.update(require_otp_for_storefront=False)
    without = key.post(STOREFRONT, body)

    assert missing.status_code == 400
    assert "otpCode" in missing.json()["errors"]
    assert without.status_code == 201
    assert without.json()["otpVerified"] is False
    assert without.json()["riskFlags"] == ["unverified_phone"]


def test_storefront_prices_are_the_servers(key, store):
    key.post(SEND, {"phone": PHONE})
    body = body_for(store) | {"deliveryFee": "1", "internalNotes": "hack"}
    body["items"][0]["unitPrice"] = "1"

    changed = key.post(STOREFRONT, body | {"otpCode": last_code(), "expectedTotal": "1"})
    made = key.post(STOREFRONT, body | {"otpCode": last_code(), "expectedTotal": "15000"})

    assert changed.status_code == 409
    assert changed.json()["code"] == "price_changed"
    assert changed.json()["quote"]["total"] == "15000"
    assert made.json()["total"] == "15000"
    assert made.json()["internalNotes"] is None


def test_a_blocked_customer_cannot_order_at_the_storefront(key, store):
    Customer.objects.create(
        store=store, name="Sara", primary_phone=PHONE, currency_code="IQD", is_blocked=True
    )
    key.post(SEND, {"phone": PHONE})

    front = key.post(STOREFRONT, body_for(store) | {"otpCode": last_code()})
    back = key.post("/orders", body_for(store))

    assert front.status_code == 400
    assert front.json()["code"] == "customer_blocked"
    assert back.json()["riskFlags"] == ["customer_blocked"]


def test_a_replayed_storefront_order_needs_no_second_code(key, store):
    key.post(SEND, {"phone": PHONE})
    body = body_for(store) | {"otpCode": last_code()}

    first = key.post(STOREFRONT, body, Idempotency_Key="order-1")
    again = key.post(STOREFRONT, body, Idempotency_Key="order-1")

    assert first.status_code == again.status_code == 201
    assert again["Idempotent-Replayed"] == "true"
    assert again.content == first.content
    assert OtpChallenge.objects.get().attempts == 0


def test_a_repeated_send_with_its_key_sends_once(key):
    first = key.post(SEND, {"phone": PHONE}, Idempotency_Key="send-1")
    again = key.post(SEND, {"phone": PHONE}, Idempotency_Key="send-1")

    assert first.json() == again.json()
    assert len(sms.OUTBOX) == 1


def test_codes_are_shown_only_where_the_operator_says_so(key, settings):
    settings.OTP_EXPOSE_CODE = True

    sent = key.post(SEND, {"phone": PHONE}).json()

    assert sent["debugCode"] == last_code()


def test_a_right_code_stays_usable_however_often_the_order_fails(key, store):
    key.post(SEND, {"phone": PHONE})
    product = a_product(store, quantity=1)
    body = body_for(store) | {"otpCode": last_code()}
    too_much = body | {"items": [{"sku": product.sku, "quantity": 2}]}

    failed = [key.post(STOREFRONT, too_much).json()["code"] for _ in range(7)]

    assert failed == ["insufficient_stock"] * 7
    assert key.post(STOREFRONT, body).status_code == 201


@pytest.mark.parametrize("mode", ["count", "off"])
def test_sends_are_limited_where_limits_are_on_but_wrong_tries_always(key, store, settings, mode):
    settings.RATE_LIMITS = mode

    sent = [key.post(SEND, {"phone": PHONE}).status_code for _ in range(3)]
    wrong = f"{(int(last_code()) + 1) % 1_000_000:06d}"
    body = body_for(store) | {"otpCode": wrong}
    tries = [key.post(STOREFRONT, body).json()["code"] for _ in range(6)]

    assert sent == [200] * 3
    assert tries == ["otp_invalid"] * 5 + ["otp_locked"]
