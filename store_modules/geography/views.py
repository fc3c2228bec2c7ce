"""The address reference: public, cached for a day, names in the reader's language."""

import hashlib
import re
from typing import Any

import orjson
import pycountry
from django.db.models import QuerySet
from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from store_modules.geography import answers
from store_modules.geography.models import Area, Province
from storeplatform.kernel.errors import refuse
from storeplatform.kernel.pagination import Query
from storeplatform.kernel.viewsets import PublicView, search

COUNTRY = re.compile("[A-Z]{2}")
LANGUAGES = ("en", "ar", "ku")


class AddressReference(PublicView):
    answers = {
        "countries": answers.CountryAnswer,
        "provinces": answers.ProvinceAnswer,
        "areas": answers.AreaAnswer,
    }
    listing_actions = frozenset({"countries", "provinces", "areas"})
    asks = {
        "provinces": {"countryCode": {"type": "string", "pattern": "^[A-Za-z]{2}$"}},
        "areas": {"search": {"type": "string", "maxLength": 200}},
    }
    why_public = "reference data without personal or store content"
    queryset: Any = Province.objects.none()

    def countries(self, request: Request) -> Response:
        codes = Province.objects.filter(is_active=True).values_list("country_code", flat=True)
        countries: Any = pycountry.countries
        names = {code: countries.get(alpha_2=code).name for code in set(codes)}
        items = [{"code": code, "name": name} for code, name in sorted(names.items())]
        return self.cached(items)

    def provinces(self, request: Request) -> Response:
        country = Query(request.query_params).get("countryCode", "IQ").upper()
        if not COUNTRY.fullmatch(country):
            raise refuse("countryCode", "validation_error", "Two letters, as in IQ.")
        rows = Province.objects.filter(country_code=country, is_active=True)
        items = [
            {
                "code": row.code,
                "countryCode": row.country_code,
                "name": self.best(row.names, row.name),
                "names": row.names,
                "type": row.type,
                "parentCode": row.parent_id,
                "isGroup": row.is_group,
                "isIso": row.is_iso,
                "isActive": row.is_active,
            }
            for row in rows
        ]
        return self.cached(items)

    def areas(self, request: Request, code: str) -> Response:
        province = Province.objects.filter(pk=code.upper(), is_active=True).first()
        if province is None:
            raise Http404
        rows: QuerySet[Area] = Area.objects.filter(province=province, is_active=True)
        words = Query(request.query_params).get("search").strip()
        if len(words) > 200 or "\x00" in words:
            raise refuse("search", "validation_error", "At most 200 printable characters.")
        if words:
            rows = search(rows, words)
        items = [
            {
                "id": row.id,
                "provinceCode": province.code,
                "name": self.best(row.names, row.name),
                "names": row.names,
                "kind": row.kind,
                "lat": float(row.lat) if row.lat is not None else None,
                "lng": float(row.lng) if row.lng is not None else None,
                "source": row.source,
                "aliases": row.aliases,
                "isActive": row.is_active,
            }
            for row in rows
        ]
        return self.cached(items)

    def best(self, names: dict[str, str], otherwise: str) -> str:
        """The name in the first language of Accept-Language that there is."""
        wanted = self.request.headers.get("Accept-Language", "")
        for part in wanted.split(","):
            language = part.partition(";")[0].strip().lower()[:2]
            if language in LANGUAGES and language in names:
                return names[language]
        return otherwise

    def cached(self, items: list[dict[str, Any]]) -> Response:
        """The whole list as one page, with its ETag."""
        body = orjson.dumps(
            {
                "items": items,
                "page": 1,
                "pageSize": len(items),
                "totalCount": len(items),
                "totalPages": 1,
                "nextCursor": None,
                "prevCursor": None,
            }
        )
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        same = etag in self.request.headers.get("If-None-Match", "")
        response = Response(status=304) if same else Response(orjson.Fragment(body))
        response["ETag"] = etag
        response["Cache-Control"] = "public, max-age=86400"
        response["Vary"] = "Accept-Language"
        return response
