"""Every answer that a test gets is held against the OpenAPI document: status, type and shape."""

import re
from functools import cache

import jsonschema_rs
import orjson

from storeplatform.kernel.openapi import document

PROBLEM = "application/problem+json"


@cache
def described():
    return orjson.loads(document())


@cache
def templates():
    """(pattern, path template), those with fewer names first."""
    paths = sorted(described()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path) for path in paths]


@cache
def template_of(path):
    return next((name for pattern, name in templates() if pattern.fullmatch(path)), None)


@cache
def contents_of(template, method, status):
    """Media type to validator; None when the status is not documented."""
    operation = described()["paths"][template].get(method)
    if operation is None:
        return {}
    answer = operation["responses"].get(str(status))
    if answer is None:
        return None
    if "$ref" in answer:
        answer = described()["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return {
        media: validator_of(orjson.dumps(content["schema"]))
        for media, content in answer.get("content", {}).items()
    }


@cache
def validator_of(text):
    """One for answers of the same shape, with no more of the document than it needs."""
    schema = orjson.loads(text)
    needed = {}
    looked_at = [text]
    while looked_at:
        for name in re.findall(rb'"#/components/schemas/([^"]+)"', looked_at.pop()):
            if (name := name.decode()) not in needed:
                needed[name] = described()["components"]["schemas"][name]
                looked_at.append(orjson.dumps(needed[name]))
    return jsonschema_rs.Draft202012Validator(
        {**schema, "components": {"schemas": needed}}, validate_formats=True
    )


def check(method, path, response):
    """Raises AssertionError naming what the document does not say."""
    path = path.partition("?")[0]
    template = template_of(path) if path.startswith("/api/v1/") else None
    if template is None or response.status_code in (304, 405, 500):
        return
    contents = contents_of(template, method.lower(), response.status_code)
    where = f"{method.upper()} {template} -> {response.status_code}"
    assert contents is not None, f"{where} is not in the OpenAPI document"
    media = response.get("Content-Type", "").partition(";")[0]
    if not contents or method.lower() == "head":
        return
    assert media in contents, f"{where} is {media}, documented are {list(contents)}"
    if media.endswith("json"):
        value = orjson.loads(response.content)
        if not contents[media].is_valid(value):
            faults = [
                f"{list(one.instance_path)}: {one.message[:200]}"
                for one in contents[media].iter_errors(value)
            ]
            raise AssertionError(f"{where}: {faults[:5]}")
