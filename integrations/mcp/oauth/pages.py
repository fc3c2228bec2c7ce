"""What people see: sign-in, consent, and the agents they let in. No script, a strict policy."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal, get_origin
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib.auth import login as begin_session
from django.contrib.auth import logout as end_session
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View
from oauth2_provider.exceptions import FatalClientError, OAuthToolkitError
from oauth2_provider.http import OAuth2ResponseRedirect
from oauth2_provider.views.mixins import OAuthLibMixin

from integrations.mcp import approvals
from integrations.mcp.calling import subjects
from integrations.mcp.models import PendingAction
from integrations.mcp.oauth import agents
from integrations.mcp.oauth.models import Agent, Application, is_loopback
from integrations.mcp.oauth.scopes import OFFLINE, SCOPES, allowed_to
from integrations.mcp.oauth.texts import ARGUMENTS, DEEDS, TEXTS, WORDS
from integrations.mcp.registry import TOOLS
from integrations.mcp.tools import load_tools
from store_modules.stores.models import Membership
from store_modules.stores.people import prove
from store_modules.stores.serializers import Credentials
from storeplatform.kernel.audit import audit
from storeplatform.kernel.errors import Conflict, NotFound, TooMany
from storeplatform.kernel.problems import refusal_from
from storeplatform.kernel.viewsets import PublicView

CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # of SHA-256
SIGN_IN = "/agents/sign-in"
SESSION_SECONDS = 8 * 3600
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)


def language_of(request: HttpRequest) -> str:
    """Asked for by link or by the client (`ui_locales`), else the browser's."""
    asked = [request.GET.get("lang", ""), *request.GET.get("ui_locales", "").split()]
    for one in [*asked, translation.get_language() or ""]:
        if one[:2] in TEXTS:
            return one[:2]
    return "en"


def page(
    request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200,
    back_to: str = "",
) -> HttpResponse:  # fmt: skip
    """A page in the reader's language. `back_to` is where its form may lead besides here."""
    language = language_of(request)
    other = "en" if language == "ar" else "ar"
    query = dict(parse_qsl(request.META.get("QUERY_STRING", ""))) | {"lang": other}
    content = {
        "t": TEXTS[language],
        "language": language,
        "direction": "rtl" if language == "ar" else "ltr",
        "other_language": TEXTS[other]["language"],
        "other_link": "?" + urlencode(query),
        **context,
    }
    with translation.override(language):
        response = render(request, f"agents/{template}.html", content, status=status)
    response["Content-Security-Policy"] = f"{POLICY} {form_target(back_to)}".strip()
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    response["Content-Language"] = language
    response["Vary"] = "Accept-Language, Cookie"
    return response


def form_target(uri: str) -> str:
    """The place of a redirect URI as the policy spells it; browsers check redirects of forms."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{parts.netloc}"
    return f"{parts.scheme}:" if parts.scheme else ""


class SignIn(View):
    """E-mail or phone, and the password; the same guard against guessing as the API's."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return HttpResponseRedirect(self.next(request))
        return page(request, "sign_in", {"login": "", "fault": ""})

    def post(self, request: HttpRequest) -> HttpResponse:
        given = {"login": request.POST.get("login", ""), "password": request.POST.get("password")}
        try:
            values = Credentials.read(given, PublicView.facts)
            user = prove(values["login"], values["password"], request)
        except Exception as error:
            refusal = refusal_from(error)
            if refusal is None:
                raise
            fault = "too_many" if isinstance(refusal, TooMany) else "wrong_password"
            context = {"login": given["login"], "fault": TEXTS[language_of(request)][fault]}
            return page(request, "sign_in", context, status=429 if fault == "too_many" else 400)
        begin_session(request, user, backend="django.contrib.auth.backends.ModelBackend")
        request.session.set_expiry(SESSION_SECONDS)
        audit("login.succeeded", request=request, target=user.pk)
        return HttpResponseRedirect(self.next(request))

    def next(self, request: HttpRequest) -> str:
        wanted = request.GET.get("next", "")
        good = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
        return wanted if good and wanted.startswith("/") else "/agents"


def to_sign_in(request: HttpRequest) -> HttpResponse:
    query = {"next": request.get_full_path(), "lang": language_of(request)}
    return HttpResponseRedirect(f"{SIGN_IN}?{urlencode(query)}")


def sign_out(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        end_session(request)
    return HttpResponseRedirect(SIGN_IN)


class Authorize(OAuthLibMixin, View):
    """RFC 6749's authorization endpoint. The query is checked anew when the form comes back, and
    the consent is shown each time: no parameter of the client skips it."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method not in ("GET", "POST"):
            return HttpResponse(status=405, headers={"Allow": "GET, POST"})
        try:
            asked, credentials = self.validate_authorization_request(request)
            self.check_resource(request)
            self.check_challenge(request)
        except OAuthToolkitError as error:
            return self.refuse(request, error)
        if "none" in request.GET.get("prompt", "").split():
            return self.back(request, {"error": "interaction_required"})
        if not request.user.is_authenticated:
            return to_sign_in(request)
        application = Application.objects.get(client_id=credentials["client_id"])
        members = agents.stores_to_connect(request.user, application)
        if request.method == "POST":
            return self.decide(request, application, members, asked, credentials)
        return self.show(request, application, members, asked, credentials)

    def check_resource(self, request: HttpRequest) -> None:
        if any(one != settings.MCP_RESOURCE for one in request.GET.getlist("resource")):
            raise InvalidTarget

    def check_challenge(self, request: HttpRequest) -> None:
        """The toolkit looks at the method only when the code is made, after the consent."""
        challenge = request.GET.get("code_challenge", "")
        method = request.GET.get("code_challenge_method", "")
        if method != "S256" or not CHALLENGE.fullmatch(challenge):
            raise NoChallenge

    def refuse(self, request: HttpRequest, error: Any) -> HttpResponse:
        """Back to the client; or, when the client itself is in doubt, a page."""
        if isinstance(error, FatalClientError):
            return page(request, "refused", {}, status=400)
        fault = error.oauthlib_error
        answer = {"error": fault.error, "error_description": fault.description or ""}
        return self.back(request, answer)

    def back(self, request: HttpRequest, answer: dict[str, str]) -> HttpResponse:
        """To the redirect URI, which was found good before, with the state and who answers."""
        uri = request.GET.get("redirect_uri", "")
        application = Application.objects.get(client_id=request.GET.get("client_id", ""))
        if not uri:
            uri = application.default_redirect_uri
        answer = {name: value for name, value in answer.items() if value}
        if state := request.GET.get("state"):
            answer["state"] = state
        answer["iss"] = settings.PUBLIC_ORIGIN
        joint = "&" if "?" in uri else "?"
        return OAuth2ResponseRedirect(
            uri + joint + urlencode(answer), application.get_allowed_schemes()
        )

    def show(
        self, request: Any, application: Application, members: list[Membership],
        asked: list[str], credentials: dict[str, Any], fault: str = "",
    ) -> HttpResponse:  # fmt: skip
        language = language_of(request)
        grants = frozenset().union(*(agents.member_grants(m) for m in members))
        scopes = [SCOPES[name] for name in allowed_to(grants, asked)]
        sentence = [(s.name, getattr(s, language)) for s in scopes if not s.writes]
        writing = [(s.name, getattr(s, language)) for s in scopes if s.writes]
        redirect_uri = credentials["redirect_uri"] or application.default_redirect_uri
        context = {
            "client": application.name or urlsplit(application.client_id).hostname or "?",
            "verified": application.store_id is not None,
            "host": urlsplit(redirect_uri).hostname or urlsplit(redirect_uri).scheme,
            "loopback": is_loopback(redirect_uri),
            "members": members,
            "reading": sentence,
            "writing": writing,
            "user": request.user,
            "fault": fault,
        }
        status = 200 if members and scopes and not fault else 400 if fault else 403
        return page(request, "consent", context, back_to=redirect_uri, status=status)

    def decide(
        self, request: Any, application: Application, members: list[Membership],
        asked: list[str], credentials: dict[str, Any],
    ) -> HttpResponse:  # fmt: skip
        if request.POST.get("decision") != "allow":
            audit("agent.denied", target=application.client_id, request=request,
                  store_id=members[0].store_id if len(members) == 1 else None)  # fmt: skip
            return self.back(request, {"error": "access_denied"})
        chosen = request.POST.get("store", "")
        member = next((m for m in members if str(m.store_id) == chosen), None)
        if member is None:
            fault = TEXTS[language_of(request)]["choose_store"]
            return self.show(request, application, members, asked, credentials, fault)
        kept = set(request.POST.getlist("grant"))
        scopes = [
            name
            for name in allowed_to(agents.member_grants(member), asked)
            if not SCOPES[name].writes or name in kept
        ]
        if not scopes:
            fault = TEXTS[language_of(request)]["nothing_left"]
            return self.show(request, application, members, asked, credentials, fault)
        if OFFLINE in asked:
            scopes.append(OFFLINE)
        try:
            with transaction.atomic():
                agent = agents.let_in(member, application, scopes)
                credentials["agent"] = agent
                uri, *_ = self.create_authorization_response(
                    request, " ".join(scopes), credentials, allow=True
                )
        except OAuthToolkitError as error:
            return self.refuse(request, error)
        audit(
            "agent.connected",
            target=agent.pk,
            store_id=agent.store_id,
            request=request,
            label=request.user.full_name,
            changes={"client": application.client_id, "scopes": scopes},
        )
        return OAuth2ResponseRedirect(uri, application.get_allowed_schemes())


class InvalidTarget(OAuthToolkitError):
    """Another resource than ours was asked for (RFC 8707)."""

    def __init__(self) -> None:
        from oauthlib.oauth2.rfc6749.errors import CustomOAuth2Error

        super().__init__(
            error=CustomOAuth2Error(
                error="invalid_target", description="There is no such resource."
            )
        )


class NoChallenge(OAuthToolkitError):
    """PKCE is missing, or is not S256 (RFC 7636)."""

    def __init__(self) -> None:
        from oauthlib.oauth2.rfc6749.errors import InvalidRequestError

        super().__init__(
            error=InvalidRequestError(description="A code_challenge by S256 is needed.")
        )


class ConnectedAgents(View):
    """The agents of a person's stores, with a way to end each, and what waits for a decision."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if not request.user.is_authenticated:
            return to_sign_in(request)
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        members = memberships(request.user)
        context = {
            "stores": [self.shown(request, member) for member in members],
            "decided": self.decided(request, members),
            "user": request.user,
        }
        return page(request, "connected", context)

    def shown(self, request: HttpRequest, member: Membership) -> dict[str, Any]:
        language = language_of(request)
        rows = agents_seen_by(member).select_related("application", "user")
        waiting = (
            actions_decided_by(member)
            .filter(status=PendingAction.Status.PENDING)
            .select_related("agent__application", "agent__user")
            .order_by("-created_at")[:50]
        )
        names = names_of(member.store_id, waiting)
        return {
            "name": member.store.name,
            "actions": [
                {
                    "row": row,
                    "client": row.agent.application.name or row.agent.application.client_id,
                    "deed": DEEDS[language].get(row.tool, row.tool),
                    "arguments": arguments_of(row, names.get(row.tool, {}), language),
                }
                for row in waiting
            ],
            "agents": [
                {
                    "row": row,
                    "client": row.application.name or row.application.client_id,
                    "sentences": [getattr(SCOPES[s], language) for s in row.scopes],
                }
                for row in rows.order_by("-created_at")[:200]
            ],
        }

    def decided(self, request: HttpRequest, members: list[Membership]) -> dict[str, str] | None:
        """What became of the action that was just decided."""
        wanted = identifier(request.GET.get("decided", ""))
        for member in members if wanted else []:
            row = actions_decided_by(member).filter(pk=wanted).first()
            if row is not None:
                text = TEXTS[language_of(request)][row.status]
                has_failed = row.status == PendingAction.Status.FAILED
                return {"text": text, "reason": row.outcome if has_failed else ""}
        return None

    def post(self, request: HttpRequest) -> HttpResponse:
        query = {"lang": language_of(request)}
        members = memberships(request.user)
        if action_id := identifier(request.POST.get("action", "")):
            self.decide(members, action_id, request.POST.get("decision", ""))
            query["decided"] = str(action_id)
        elif wanted := identifier(request.POST.get("agent", "")):
            for member in members:
                rows = agents_seen_by(member).select_related("application")
                if (row := rows.filter(pk=wanted).first()) is not None:
                    agents.revoke_agent(row, agents.actor_of_member(member), request=request)
        return HttpResponseRedirect(f"/agents?{urlencode(query)}")

    def decide(self, members: list[Membership], action_id: UUID, decision: str) -> None:
        deed = {"approve": approvals.approve, "refuse": approvals.reject}.get(decision)
        for member in members if deed else []:
            if deed and actions_decided_by(member).filter(pk=action_id).exists():
                with suppress(Conflict, NotFound):  # somebody else was first: the page tells
                    deed(agents.actor_of_member(member), action_id)


def identifier(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def names_of(store_id: UUID, actions: Iterable[PendingAction]) -> dict[str, Mapping[str, str]]:
    """By tool, what people call the things that its actions are about."""
    load_tools()
    calls: dict[str, list[dict[str, Any]]] = {}
    for action in actions:
        calls.setdefault(action.tool, []).append(action.arguments)
    return {
        name: subjects(store_id, TOOLS[name], asked)
        for name, asked in calls.items()
        if name in TOOLS
    }


def arguments_of(
    action: PendingAction, names: Mapping[str, str], language: str
) -> list[tuple[str, str]]:
    """What the tool was given, in a person's words, but for what only machines use. The tool may
    have changed since, or be gone."""
    tool = TOOLS.get(action.tool)
    fields = tool.input.model_fields if tool else {}
    shown = []
    for name, value in action.arguments.items():
        if value is None or name == "idempotency_key":
            continue
        label, text = name, str(value)
        if tool and tool.subject and name == tool.subject.argument:
            label, text = tool.subject.kind, names.get(text, text)
        elif name in fields and get_origin(fields[name].annotation) is Literal:
            text = WORDS[language].get(text, text)
        shown.append((ARGUMENTS[language].get(label, label), text))
    return shown


def actions_decided_by(member: Membership) -> Any:
    """All of the store for who manages its agents, else none."""
    rows = PendingAction.objects.of(member.store_id)
    return rows if agents.MANAGE in agents.member_grants(member) else rows.none()


def memberships(user: Any) -> list[Membership]:
    members = Membership.objects.select_related("store__settings", "user")
    return list(
        members.filter(user=user, status=Membership.Status.ACTIVE, store__status="active")
        .order_by("store__name")
    )  # fmt: skip


def agents_seen_by(member: Membership) -> Any:
    """Everybody's for who manages them, else one's own."""
    rows = Agent.objects.of(member.store_id).filter(revoked_at=None)
    if agents.MANAGE not in agents.member_grants(member):
        rows = rows.filter(user_id=member.user_id)
    return rows
