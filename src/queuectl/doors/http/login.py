"""The page that asks who somebody is: it needs nothing from anywhere, because nothing else is given to strangers."""

from __future__ import annotations

import base64
import hashlib
from html import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...errors import QueueError

STYLE = """
:root { color-scheme: light dark; --line: light-dark(#868f9d, #6b7685); --accent: light-dark(#2456c7, #86aaff); }
* { box-sizing: border-box; }
body { margin: 12vh auto; width: min(440px, 100% - 32px); font: 14px/1.5 system-ui, sans-serif; color: light-dark(#171b22, #e7eaee);
  background: light-dark(#f5f6f8, #111418); }
main, form { display: grid; gap: 14px; }
main { padding: 28px; border: 1px solid light-dark(#dde1e7, #2c323b); border-radius: 10px; background: light-dark(#fff, #191d23); }
h1, p { margin: 0; }
h1 { display: flex; align-items: center; gap: 10px; font-size: 19px; }
label { display: grid; gap: 4px; font-weight: 600; }
input, button { font: inherit; height: 34px; padding: 0 10px; border: 1px solid var(--line); border-radius: 7px; }
input { background: transparent; color: inherit; }
button { justify-self: end; padding: 0 16px; border: 0; font-weight: 600; background: var(--accent);
  color: light-dark(#fff, #0d1520); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
code { padding: 1px 5px; border-radius: 4px; background: light-dark(#eef0f3, #20252c); }
[role=alert] { color: light-dark(#b8242f, #ff8a86); font-weight: 600; }
"""
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>queuectl</title>
<style>{style}</style>
<main><h1><svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" fill="#2456c7"/>
<path d="M8 9h16v4H8zM8 15h11v4H8zM8 21h6v3H8z" fill="#fff"/></svg>Who are you?</h1>
{wrong}<p>This queue belongs to somebody. On its machine,
<code>queuectl token link</code> prints a link that lets a browser in, once.</p>
<form method="post" action="{root}/login"><label><span>Or the token that <code>queuectl token</code> shows</span>
<input name="token" type="password" autocomplete="off" required autofocus></label><button>Enter</button></form></main>
"""
DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{DIGEST}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
# A form of a page without referrer is sent with an Origin that is nobody's, and would be refused.
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}


def page(root: str, wrong: QueueError | None = None) -> bytes:
    """The page, below the prefix `root`; with what was wrong about the last try."""
    said = f'<p role="alert">{escape(str(wrong))}</p>' if wrong else ""
    return PAGE.format(style=STYLE, root=escape(root, quote=True), wrong=said).encode()
