"""Writes docs/pictures: the dashboard of a queue with something of everything, as a browser shows it. Run by hand when
looks change."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

import queuectl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from dashboard.conftest import CHROMIUM, PHONE, PROGRAM, Eyes, Site, settled  # noqa: E402

WIDTH = 1360
# Name of the picture: page, theme, height; a phone's where there is no height.
SCREENS = {
    "overview-light": ("", "light", 1100),
    "overview-dark": ("", "dark", 1100),
    "overview-phone": ("", "light", 0),
    "jobs-light": ("jobs", "light", 800),
    "jobs-phone": ("jobs", "dark", 0),
    "job-dark": ("job/build-812", "dark", 900),
    "dead-light": ("dead", "light", 760),
}
BUILD = r"""printf '\033[32mok\033[0m building\n\033[1;33mwarning:\033[0m two tests are slow\n'
for i in $(seq 1 24); do echo "compiled module $i of 24"; done; printf '\033[41m failed \033[0m 1 of 312\n'; exit 4"""
ENDING: list[dict[str, Any]] = [
    {"command": "convert in.png out.webp || true"},
    *[{"command": "curl -fsS https://feeds.example.invalid/prices.xml -o /tmp/prices.xml", "label": "nightly"}] * 2,
    {"command": "sleep 9 # rsync photos/ backup.example.org:photos/", "timeout": "0.3"},
    {"command": BUILD, "label": "build", "id": "build-812"},
]
STAYING: list[dict[str, Any]] = [
    {"command": "sleep 900 # ffmpeg -i in.mov -c:v libx264 out.mp4", "id": "encode-7", "queue": "media", "label": "video"},
    {"command": "sleep 900 # ffmpeg -i talk.mov -c:v libx264 talk.mp4", "queue": "media", "label": "video"},
    {"command": "sleep 900 # ffmpeg -i tour.mov -c:v libx264 tour.mp4", "queue": "media"},
    {"command": "./backup.sh --all", "delay": "2h", "id": "backup"},
    {"command": "./report.sh", "delay": "25m", "label": "report"},
    {"url": "http://127.0.0.1:1/hooks/paid", "method": "POST", "body": "{}", "delay": 3600, "id": "hook"},
    *[{"command": f"sendmail customer-{n}@example.org", "queue": "mail", "priority": n % 4} for n in range(40)],
]


def fill(site: Site) -> None:
    site.ctl("queue", "limit", "media", "2")
    site.ctl("queue", "pause", "mail")
    site.ctl("schedule", "add", "nightly", "30 2 * * *", "--", "./backup.sh")
    for name, program in (("incoming", "cat"), ("ledger", "false")):
        folder = str(site.folder / name)
        subprocess.run([*PROGRAM, "fspl", "queue-init", "-q", folder], check=True, env=site.env)
        site.ctl("spool", "attach", folder, "--", program)
        packet = [*PROGRAM, "fspl", "prepare", "-s", f"{folder}.seq", "-i", "-"]
        made = subprocess.run(packet, input=b"one", stdout=subprocess.PIPE, check=True, env=site.env)
        subprocess.run([*PROGRAM, "fspl", "queue-write", "-q", folder], input=made.stdout, check=True, env=site.env)
    ids = [site.post("jobs", fields)["id"] for fields in ENDING]
    site.ended(*ids)
    site.post("jobs", STAYING)
    site.ctl("hold", site.add("dropdb shop_old", "--delay", "1h"))


def remember(site: Site) -> None:
    """A past: what ended in each minute of a week, and runs of the last hour."""
    random.seed(4)
    now = time.time_ns() // 1000
    minutes = [
        (now // 60_000_000 - k, int(60 + 40 * math.sin(k / 17) + random.gauss(0, 10)), random.choice([0] * 9 + [2]))
        for k in range(1, 8 * 1440)
    ]
    ends = [(n, now - n * 900_000, int(abs(random.gauss(2, 1)) * 1e6 * (1 + math.sin(n / 300)))) for n in range(1, 4000)]
    runs = [(10**6 - n, 1, end - took, end, 0) for n, end, took in ends]
    with queuectl.open(str(site.folder / "queuectl.db")) as queue, queue.store.transaction():
        for minute in minutes:
            queue.store.run("insert into minutes values (?, ?, ?) on conflict (minute) do nothing", minute)
        for run in runs:
            queue.store.run(
                "insert into attempts (job, run, started_us, ended_us, exit_code, log_start) values (?, ?, ?, ?, ?, 0)", run
            )


def main() -> int:
    with sync_playwright() as playwright, tempfile.TemporaryDirectory(prefix="shop-") as folder:
        site = Site(Path(folder), "--count", "4")
        try:
            fill(site)
            remember(site)
            eyes = Eyes(playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--hide-scrollbars"]))
            for name, (view, theme, height) in SCREENS.items():
                page = eyes.open(site, f"/#/{view}", size={"width": WIDTH, "height": height} if height else PHONE, theme=theme)
                settled(page)
                page.wait_for_timeout(500)
                page.screenshot(path=ROOT / "docs/pictures" / f"{name}.png")
            eyes.close()
        finally:
            site.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
