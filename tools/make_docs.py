"""Writes the pages that are made from the code: docs/cli.md, docs/api.md and docs/states.md. With --check it only
compares.

The command reference comes from the tables of commands, that of the API from the table of operations, the diagram from
the table of transitions, so that none can differ from what the program does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from queuectl import config, lifecycle, ops
from queuectl.cli import ALIASES, COMMANDS, load
from queuectl.cli.command import Command, Option
from queuectl.model import ENDED, STAGES, state_of

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOTE = "<!-- Made by 'make docs' from the code; do not edit. -->\n\n"
EXIT_CODES = {
    "0": "done",
    "1": "failed; also: the job that was waited for failed",
    "2": "usage or bad input",
    "3": "not found",
    "4": "not allowed",
    "5": "conflict: the id exists, the job's state does not allow it",
    "7": "storage: disk full, read-only, damaged",
    "75": "try again later",
    "124": "a wait timed out",
    "128+n": "ended by signal n",
}


# ---------------------------------------------------------------- docs/cli.md


def cli() -> str:
    parts = [
        "# Commands\n\n",
        NOTE,
        "`queuectl COMMAND --help` says the same. Data goes to stdout, all else to stderr; `--json` prints\n",
        "[these shapes](json.md).\n",
        "`run` and `wait` of one job end with the job's own exit status.\n\n",
        table(("command", "what it does"), [(f"[`{name}`](#{anchor(name)})", about) for name, (_, about) in COMMANDS.items()]),
        "".join(command(name) for name in COMMANDS),
        "\n## Which jobs are meant\n\n",
        "Every command whose usage has `[JOB]…` understands an id, a range `5-9`, a list `1,3`, `last`, `last-3`,\n",
        "`all`, `%label` and `@queue`, narrowed by `--state`, `--queue` and `--label`; `dlq retry` takes ids alone.\n",
        "\n## Other words for the same\n\n",
        table(("word", "stands for"), [(f"`{word}`", f"`{' '.join(words)}`") for word, words in ALIASES.items()]),
        "\n## Settings\n\n`queuectl config set NAME VALUE`; `-` and `_` in names are the same.\n\n",
        settings(),
        "\n## Exit codes\n\n",
        table(("code", "meaning"), list(EXIT_CODES.items())),
    ]
    return "".join(parts)


def settings() -> str:
    rows = [(f"`{name}`", f"`{getattr(config.Config(), name)}`", about) for name, (_, about) in config.SETTINGS.items()]
    return table(("setting", "built-in value", "meaning"), rows)


def anchor(name: str) -> str:
    return "queuectl-" + name.replace(" ", "-")


def command(name: str) -> str:
    found = load(name)
    about = COMMANDS[name][1]
    lines = [f"\n## queuectl {name}\n\n{about[0].upper()}{about[1:]}.", f" {escaped(found.about)}" if found.about else "", "\n\n"]
    lines.append(f"```console\n$ {found.example}\n```\n")
    lines.append(f"\nusage: `queuectl {name}{usage(found)}`\n")
    if found.options:
        rows = [
            (f"`{spelled(option)}`", escaped(option.help) + (" (may be repeated)" if option.many else ""))
            for option in found.options
        ]
        lines.append("\n" + table(("option", "meaning"), rows))
    return "".join(lines)


def usage(found: Command) -> str:
    words = ""
    if found.words:
        words = (
            " "
            + (found.words if found.least else f"[{found.words}]")
            + ("…" if found.most is None and not found.takes_rest else "")
        )
    return (" [options]" if found.options else "") + words + (" [-- PROGRAM ARG…]" if found.takes_rest else "")


def spelled(option: Option) -> str:
    flags = ", ".join(dict.fromkeys(option.flags))
    return flags + (f" {option.takes}" if option.takes else "")


def table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [headings, tuple("---" for _ in headings), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


# ---------------------------------------------------------------- docs/api.md


def api() -> str:
    rows = [
        (f"`{one.method}`", f"[`{one.path}`](#{one.name.replace('_', '-')})", escaped(one.about), "yes" if one.writes else "")
        for one in ops.OPERATIONS
    ]
    parts = [
        "# The HTTP API\n\n",
        NOTE,
        f"Every path below begins with `{ops.BASE}`. [HTTP](http.md) tells how to begin, who may, and how streams work;\n",
        "`/openapi.json` of a server says the same as this page for programs. Jobs have [these fields](json.md). Errors are\n",
        "problem documents (RFC 9457) with `detail`, and where they help `field`, `reason`, `hint`.\n\n",
        table(("method", "path", "what it does", "changes something"), rows),
        "".join(operation(one) for one in ops.OPERATIONS),
    ]
    return "".join(parts)


def operation(one: ops.Operation) -> str:
    """A section: what it does, what it takes, what it answers."""
    lines = [f"\n## {one.name.replace('_', '-')}\n\n`{one.method} {one.path}`\n\n{escaped(one.about)}\n"]
    if one.kind == "add":
        lines.append('\nThe body is a job, `{"command": …}`, or an array. With an `Idempotency-Key` a repeat is harmless.\n')
    if one.arguments:
        rows = [
            (f"`{a.name}`", a.where + (", needed" if a.required else ""), escaped(kind_of(a.schema)), escaped(a.about))
            for a in one.arguments
        ]
        lines.append("\n" + table(("argument", "where", "what", "meaning"), rows))
    return "".join(lines)


def kind_of(schema: dict[str, object]) -> str:
    """A schema in a few words.

    >>> kind_of({"type": "integer", "minimum": 1, "maximum": 9}), kind_of({"enum": ["a", "b"]})
    ('integer, 1 to 9', '`a`, `b`')
    """
    if "enum" in schema:
        return ", ".join([f"`{choice}`" for choice in schema["enum"]])  # type: ignore[attr-defined]
    if "oneOf" in schema:
        kinds = [kind_of(one) for one in schema["oneOf"]]  # type: ignore[attr-defined]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind))
    kind = schema.get("type", "")
    names = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if "minimum" in schema and "maximum" in schema:
        names += f", {schema['minimum']} to {schema['maximum']}"
    return f"{names}, {schema['format']}" if "format" in schema else names


# ---------------------------------------------------------------- docs/states.md


def states() -> str:
    return "".join(
        [
            "# The states of a job\n\n",
            NOTE,
            "Users see six states. Inside, a job stands in one of nine stages, which say *why* a pending job waits.\n",
            "Every arrow is a row of `RULES` in `lifecycle.py`; what has no arrow is refused. Those marked *(store)* are made\n",
            "by the database, because only it can make them atomic.\n\n",
            f"```mermaid\nstateDiagram-v2\n{diagram()}```\n\n",
            table(("stage", "state that users see"), [(f"`{stage}`", shown(stage)) for stage in STAGES]),
            "\nA job that is being stopped stays `running` until its processes have ended. `finish` leads to `completed` when\n",
            "the run succeeded, to `later` when it failed and may run again, to `dead` when it may not. An `interrupt` is a run\n",
            "that was cut and nobody knows how it ended; the job's `if_interrupted` decides.\n",
        ]
    )


def shown(stage: str) -> str:
    names = dict.fromkeys((state_of(stage, 0), state_of(stage, 1)))  # type: ignore[arg-type]
    return "; after a failure ".join(f"`{name}`" for name in names)


def diagram() -> str:
    """An arrow per pair of stages, with every event that leads that way."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (stage, event), rule in lifecycle.RULES.items():
        for target in lifecycle.LEADS_TO[rule]:
            arrows.setdefault((stage, target), []).append(event)
    for (stage, event), targets in lifecycle.DECIDED_BY_SQL.items():
        for target in targets:
            arrows.setdefault((stage, target), []).append(f"{event} (store)")
    lines = ["  [*] --> ready: add\n", "  [*] --> later: add with a time\n"]
    lines += [f"  {stage} --> {target}: {', '.join(events)}\n" for (stage, target), events in arrows.items()]
    lines += [f"  {stage} --> [*]: clean\n" for stage in ENDED]
    return "".join(lines)


# ---------------------------------------------------------------- writing


PAGES = {"cli.md": cli, "api.md": api, "states.md": states}


def main(arguments: list[str]) -> int:
    stale = []
    for name, made in PAGES.items():
        page, text = DOCS / name, made()
        if "--check" in arguments:
            if not page.exists() or page.read_text(encoding="utf-8") != text:
                stale.append(f"docs/{name}")
        else:
            page.write_text(text, encoding="utf-8")
    if stale:
        print(f"{', '.join(stale)} differ from the code; 'make docs' writes them anew", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
