"""Encrypted backups, synced in any order: the page's example again, with the other cipher."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import FSPL, Spooled


@pytest.fixture
def gpg(tmp_path: Path) -> Iterator[str]:
    """gpg with a folder of its own; it starts an agent for that and leaves it running."""
    for tool in ("gpg", "gpgconf", "tar"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed, so encrypted backups were not tried")
    home = tmp_path / "keys"
    home.mkdir(mode=0o700)
    (home / "secret").write_text("secret")
    yield f"gpg --batch --quiet --homedir {home} --passphrase-file {home}/secret --pinentry-mode loopback --no-symkey-cache"
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False, capture_output=True)


# Not every day, because each call of gpg takes a third of a second; the page has the same with age.
@pytest.mark.chaos
def test_backups_encrypted_with_gpg_are_restored_in_order_however_they_come(place: Spooled, gpg: str) -> None:
    home, restored = place.folder / "home", place.folder / "restored"
    home.mkdir()
    restored.mkdir()
    nights = []
    for night in range(3):
        (home / "diary").write_text(f"night {night}\n")
        (home / f"new-{night}").touch()
        (home / f"new-{night - 1}").unlink(missing_ok=True)
        made = f"tar -c -g snapshot home | {' '.join(FSPL)} prepare -s nights -i - | {gpg} -c > night-{night}"
        subprocess.run(["sh", "-c", made], cwd=place.folder, env=place.environ, check=True)
        nights.append((place.folder / f"night-{night}").read_bytes())
    place.worker()
    unpack = ("--", "tar", "-x", "-g", "/dev/null", "-C", str(restored), "-f", "-")
    place.attach("--decoder", f"{gpg} -d", "--max-retries", "0", *unpack)

    def arrive(night: int, content: bytes) -> None:
        coming = place.folder / "coming"
        coming.write_bytes(content)
        coming.rename(place.spool.jobs / f"fspl-night-{night}.fspl")

    arrive(2, nights[2])
    arrive(0, nights[0])
    place.done(1)
    arrive(1, nights[1])
    place.done(3)
    assert {path.name: path.read_text() for path in (restored / "home").iterdir()} == {"diary": "night 2\n", "new-2": ""}
