"""The table of log lines in DOCS/operations.md against the calls that write them."""

import ast
import re

from tests.servers import ROOT

LEVELS = {"debug", "info", "warning", "error", "exception"}
EVERYWHERE = {"request_id", "exc_info"}


def written():
    """The fields of each event that the code logs."""
    fields = {}
    for folder in ("storeplatform", "store_modules", "integrations", "tickets", "chat"):
        for file in (ROOT / folder).glob("**/*.py"):
            for call in ast.walk(ast.parse(file.read_text())):
                if event := event_of(call):
                    names = {one.arg for one in call.keywords}
                    if call.func.attr == "exception" or "exc_info" in names:
                        names.add("exception")
                    fields.setdefault(event, set()).update(names - EVERYWHERE)
    return fields


def event_of(call):
    match call:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="log"), attr=level),
            args=[ast.Constant(value=str(event)), *_],
        ) if level in LEVELS:
            return event
    return None


def documented():
    page = (ROOT / "DOCS/operations.md").read_text()
    table = page.partition("\n## Logs\n")[2].partition("\n## ")[0]
    fields = {}
    for row in re.findall(r"^\| (`.+) \|$", table, re.MULTILINE):
        events, further, _ = (cell.strip() for cell in row.split("|"))
        for event in re.findall(r"`(\w+)`", events):
            fields[event] = set(re.findall(r"`(\w+)`", further))
    return fields


def test_every_log_line_is_documented_with_its_fields():
    assert documented() == written()
