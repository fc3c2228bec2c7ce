"""`manage.py rotate_secrets`."""

import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from storeplatform.kernel import rotation
from storeplatform.kernel.crypto import Undecipherable
from storeplatform.kernel.progress import Bar

# How long an old version is still needed, where nothing in the database tells.
KEEP = {
    "SECRET_KEY": "keep the old one 2 weeks (signed-in operators of the admin)",
    "JWT_KEY": "keep the old one 30 days (refresh tokens)",
    "TOKEN_KEY": "keep the old one 30 days (invitations, password links, chat visitors)",
    "OTP_KEY": "keep the old one 24 hours (codes on their way, sending limits)",
    "CURSOR_KEY": "drop the old one at once (open lists start again)",
    "API_KEY_PEPPER": "drop the old one when no key hangs on it: each moves at its next use",
    "FIELD_KEY": "drop the old one when nothing hangs on it and after 7 days (replayed answers)",
}


class Command(BaseCommand):
    help = (
        "Change secrets without a gap. First `rotate_secrets NAME…` prints each with a new value"
        " in front and the old one behind it: put the lines into the environment of every server"
        " and worker and restart them. Then `rotate_secrets --finish` seals what is in the"
        " database anew and tells which old values may be removed from the environment."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "names",
            nargs="*",
            metavar="NAME",
            help=f"secrets to renew: {', '.join(settings.SECRET_NAMES)}; all without a name",
        )
        parser.add_argument(
            "--env-file",
            type=Path,
            metavar="FILE",
            help="rewrite the lines in this file of NAME=value lines in place of printing them",
        )
        parser.add_argument(
            "--finish",
            action="store_true",
            help="after the restart: seal everything anew, tell what may be removed",
        )

    def handle(
        self, *_: Any, names: list[str], env_file: Path | None, finish: bool, **__: Any
    ) -> None:
        if wrong := [name for name in names if name not in settings.SECRET_NAMES]:
            raise CommandError(
                f"{wrong[0]} is no secret; there are {', '.join(settings.SECRET_NAMES)}."
            )
        if finish:
            self.finish()
            return
        lines = {name: self.renewed(name) for name in names or settings.SECRET_NAMES}
        if env_file is None:
            for name, value in lines.items():
                self.stdout.write(f"{name}={value}")
        else:
            self.rewrite(env_file, lines)
        self.stderr.write(
            "Restart every server and worker with these, then: manage.py rotate_secrets --finish"
        )

    def renewed(self, name: str) -> str:
        versions = settings.KEYS[name]
        newest = max(versions) + 1
        old = [f"{version}:{key.decode()}" for version, key in versions.items()]
        return ",".join([f"{newest}:{secrets.token_urlsafe(36)}", *old])

    def rewrite(self, file: Path, lines: dict[str, str]) -> None:
        try:
            text = file.read_text()
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
        written = text.splitlines()
        left = dict(lines)
        for place, line in enumerate(written):
            name = line.partition("=")[0].removeprefix("export ").strip()
            if name in left:
                prefix = "export " if line.startswith("export ") else ""
                written[place] = f"{prefix}{name}={left.pop(name)}"
        written += [f"{name}={value}" for name, value in left.items()]
        draft = file.with_name(f"{file.name}.new")
        draft.touch(mode=0o600)
        draft.write_text("\n".join(written) + "\n")
        draft.replace(file)
        self.stdout.write(f"{file}: {', '.join(lines)} renewed")

    def finish(self) -> None:
        bar = Bar(
            "sealed rows", sum(rotation.outdated(one).count() for one in rotation.sealed_columns())
        )
        try:
            for count in rotation.reseal():
                bar.advance(count)
        except Undecipherable:
            raise CommandError(
                "A sealed row does not open with any FIELD_KEY of this environment: put the old"
                " version back behind the new one, FIELD_KEY=2:new,1:old."
            ) from None
        bar.finish()
        for name in settings.SECRET_NAMES:
            versions = list(settings.KEYS[name])
            if len(versions) < 2:
                continue
            found = rotation.counts(name)
            hanging = {version: found.get(version, 0) for version in versions[1:]}
            told = ", ".join(
                f"version {version} has {count}" for version, count in hanging.items() if count
            )
            self.stdout.write(f"{name}: {told or 'nothing counted on old versions'}; {KEEP[name]}")
