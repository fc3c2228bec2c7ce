"""The tables of DOCS that repeat the code: `make documents` writes them, tests compare them."""

import tomllib
from dataclasses import fields

from integrations.webhooks.catalogue import EVENT_TYPES
from storeplatform.kernel import pagination, strict_json, viewsets
from storeplatform.kernel.limits import POLICIES
from storeplatform.serving import Limits
from tests.servers import ROOT

SPECS = ROOT / "DOCS/03-integrations/specs/store"
PROBLEMS = ROOT / "storeplatform/problems.toml"


def event_rows():
    return [
        (f"`{one.name}`", one.description, f"`{one.scope}`" if one.scope else "webhooks only")
        for one in EVENT_TYPES.values()
    ]


def limit_rows():
    """What the front, the parser, lists and the rate limits allow."""
    bounds = {one.name: one.default for one in fields(Limits)}
    rates = [
        (f"rate `{name}`", f"{policy.quota} in {policy.window} s")
        for name, policy in POLICIES.items()
    ]
    return [
        ("body", f"{bounds['body']} bytes"),
        ("body of a bulk call", f"{bounds['bulk_body']} bytes"),
        ("upload", f"{bounds['upload_body']} bytes with its form"),
        ("time to send a body", f"{bounds['body_seconds']} s"),
        ("query string", f"{bounds['query']} bytes"),
        ("address", f"{bounds['url']} bytes"),
        ("headers", f"{bounds['headers']}, {bounds['header_bytes']} bytes together"),
        ("depth of JSON", str(strict_json.MAX_DEPTH)),
        ("members of a JSON body", str(strict_json.MAX_MEMBERS)),
        ("digits of a number", str(strict_json.MAX_DIGITS)),
        (
            "`pageSize`",
            f"1 to {pagination.MAX_PAGE_SIZE}, {pagination.DEFAULT_PAGE_SIZE} unless told",
        ),
        ("pages by `page`", f"up to row {pagination.LAST_ROW}; further by `cursor`"),
        ("`search`", f"{viewsets.SEARCH_LENGTH} characters"),
        *rates,
    ]


def error_rows():
    """Every code with its status and cause, as `/problems/{code}` explains it."""
    explained = tomllib.loads(PROBLEMS.read_text())
    return [
        (f"`{code}`", str(one["status"]), one["cause"]) for code, one in sorted(explained.items())
    ]


TABLES = {"events.md": event_rows, "limits.md": limit_rows, "errors.md": error_rows}


def table_of(page):
    """The rows under the page's heading row."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in lines[2:]]


def rewritten(page, rows):
    """The page with its table's rows in place of the old ones."""
    lines = page.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("| ---")) + 1
    rest = [line for line in lines[first:] if not line.startswith("| ")]
    return "\n".join([*lines[:first], *(f"| {' | '.join(row)} |" for row in rows), *rest]) + "\n"


def write():
    for name, rows in TABLES.items():
        path = SPECS / name
        path.write_text(rewritten(path.read_text(), rows()))
