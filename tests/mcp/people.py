"""A merchant's browser, headless: follows an authorization link, signs in, decides."""

import os
import re
import sys
from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx

PASSWORD = "correct horse battery staple"


class Page(HTMLParser):
    """The forms of a page: each a list of (name, value, type, checked)."""

    def __init__(self, text):
        super().__init__()
        self.forms, self.text = [], text
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "form":
            self.forms.append([])
        elif tag in ("input", "button") and self.forms and "name" in given:
            self.forms[-1].append(
                (
                    given["name"], given.get("value", ""), given.get("type", tag),
                    "checked" in given,
                )
            )  # fmt: skip

    def filled(self, **choices):
        """What the first form sends: hidden and ticked fields, and the choices."""
        sent = {}
        for name, value, kind, checked in self.forms[0]:
            if kind == "hidden" or (kind == "checkbox" and checked):
                sent.setdefault(name, []).append(value)
        return sent | choices

    def values(self, name):
        return [value for form in self.forms for n, value, _, _ in form if n == name]


class Browser:
    def __init__(self, user, base=""):
        self.user = user
        self.http = httpx.Client(base_url=base, follow_redirects=False, timeout=30)

    def get(self, url):
        """The page at the end of redirects within the site; signs in on the way."""
        answer = self.http.get(url)
        while answer.status_code in (301, 302, 303):
            target = urljoin(str(answer.url), answer.headers["location"])
            if urlsplit(target).netloc != urlsplit(str(answer.url)).netloc:
                return answer
            answer = self.http.get(target)
            if "/agents/sign-in" in target:
                answer = self.sign_in(answer)
        return answer

    def sign_in(self, answer):
        sent = Page(answer.text).filled(login=self.user.email, password=PASSWORD)
        return self.http.post(answer.url, data=sent)

    def decide(self, url, *, decision="allow", **choices):
        """Where the consent leads: the parameters of the redirect back to the client."""
        answer = self.get(url)
        if answer.status_code == 302:
            return landed(answer)
        assert answer.status_code == 200, answer.text
        sent = Page(answer.text).filled(decision=decision, **choices)
        return landed(self.http.post(answer.url, data=sent))

    def close(self):
        self.http.close()


def landed(answer):
    assert answer.status_code == 302, (answer.status_code, re.sub("<[^>]+>", " ", answer.text))
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    return {name: values[0] for name, values in query.items()}


def main():
    """As the program in BROWSER: the person of STORE_LOGIN allows what the link asks for."""
    link = sys.argv[1]
    browser = Browser(SimpleNamespace(email=os.environ["STORE_LOGIN"]))
    answer = browser.decide(link)
    back = parse_qs(urlsplit(link).query)["redirect_uri"][0]
    httpx.get(f"{back}?{urlencode(answer)}", timeout=30).raise_for_status()
    browser.close()


if __name__ == "__main__":
    main()
