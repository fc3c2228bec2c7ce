"""The desk's second factor: a code of an authenticator app (TOTP, RFC 6238), or a recovery code.

Each operator may set one up; ADMIN_SECOND_FACTOR=required makes everybody do so at the next
sign-in. Who has one signs in with it, or not at all.
"""

from typing import Any

import django_otp
import segno
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.forms import AuthenticationForm
from unfold.widgets import BASE_INPUT_CLASSES

from storeplatform.kernel.audit import audit

RECOVERY_CODES = 10
CODE_ATTRIBUTES = {
    "autocomplete": "one-time-code",
    "class": " ".join(BASE_INPUT_CLASSES),
}


class SignInForm(AuthenticationForm):
    """E-mail, password and, from those who have set one up, a code."""

    code = forms.CharField(
        required=False,
        max_length=16,
        label="Code, if you have set one up",
        widget=forms.TextInput(attrs=CODE_ATTRIBUTES),
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        user: Any = self.get_user()
        if user is not None and django_otp.user_has_device(user):
            device = django_otp.match_token(user, cleaned.get("code", "").replace(" ", ""))
            if device is None:
                audit("admin.second_factor_failed", target=user.pk, request=self.request)
                raise ValidationError("The code of your authenticator app is missing or wrong.")
            user.otp_device = device
        return cleaned


def is_required() -> bool:
    return bool(settings.ADMIN_SECOND_FACTOR == "required")


def is_proved(request: HttpRequest) -> bool:
    """Whether this session passed the second factor, where one is asked for."""
    user: Any = request.user
    if user.is_verified():
        return True
    return not is_required() and not django_otp.user_has_device(user)


def must_be_set_up(request: HttpRequest) -> bool:
    user: Any = request.user
    is_operator = user.is_active and user.is_staff
    return is_operator and is_required() and not django_otp.user_has_device(user)


def page(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """Set the second factor up, or take it away."""
    user: Any = request.user
    has_one = user.is_authenticated and django_otp.user_has_device(user)
    if not (user.is_active and user.is_staff) or (has_one and not user.is_verified()):
        return HttpResponseRedirect(f"{reverse('admin:login')}?next={request.path}")
    context: dict[str, Any] = {"is_required": is_required()}
    if request.method == "POST":
        code = request.POST.get("code", "").replace(" ", "")[:16]
        if has_one:
            if django_otp.match_token(user, code):
                remove(user, request)
                messages.success(request, "The second factor is gone.")
                return HttpResponseRedirect(reverse("admin:second_factor"))
        elif (codes := set_up(user, code, request)) is not None:
            has_one, context["codes"] = True, codes
        if "codes" not in context:
            messages.error(request, "This code is wrong; use the one that the app shows now.")
    if has_one:
        context["left"] = StaticToken.objects.filter(device__user=user).count()
    else:
        device = waiting_device(user)
        context["qr"] = segno.make(device.config_url, micro=False).svg_inline(scale=5, border=2)
        context["secret"] = device.config_url.partition("secret=")[2].partition("&")[0]
    context |= {**site.each_context(request), "title": "Second factor", "has_one": has_one}
    answer = TemplateResponse(request, "desk/second_factor.html", context)
    answer["Cache-Control"] = "no-store"
    return answer


def waiting_device(user: Any) -> TOTPDevice:
    """The device that a first code will confirm; the same until then."""
    device, _ = TOTPDevice.objects.get_or_create(
        user=user, confirmed=False, defaults={"name": "Authenticator app"}
    )
    return device


@transaction.atomic
def set_up(user: Any, code: str, request: HttpRequest) -> list[str] | None:
    """Confirm the waiting device; returns the recovery codes, or None for a wrong code."""
    device = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=False).first()
    if device is None or not device.verify_is_allowed()[0] or not device.verify_token(code):
        return None
    device.confirmed = True
    device.save()
    recovery = StaticDevice.objects.create(user=user, name="Recovery codes")
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=recovery, token=one) for one in codes)
    django_otp.login(request, device)
    audit("admin.second_factor_set_up", target=user.pk, request=request, label=str(user))
    return codes


@transaction.atomic
def remove(user: Any, request: HttpRequest | None, *, label: str = "") -> int:
    """Take all devices of an operator away; returns how many there were."""
    count, _ = TOTPDevice.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()
    audit("admin.second_factor_removed", target=user.pk, request=request, label=label or str(user))
    return count
