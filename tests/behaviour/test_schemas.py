"""The two engines have the same tables with the same columns, but for what only one of them needs."""

from __future__ import annotations

from pathlib import Path

import pytest

import queuectl

from . import postgres

ONLY_POSTGRES = {"deltas", "settings", "inputs", "shown"}
TIMES = {"created_at", "updated_at", "started_at", "finished_at", "next_run_at", "run_at"}
SHOWN_FOR_PEOPLE = {"id", "log_file", "timeout", "duration_seconds", *TIMES}


@pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing())
def test_both_engines_have_the_same_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with queuectl.open(f"sqlite://{tmp_path}/q.db") as queue:
        tables = [name for (name,) in queue.store.run("select name from sqlite_master where type = 'table'")]
        sqlite = {t: {row[1] for row in queue.store.run(f"pragma table_xinfo({t})")} for t in tables if not t.startswith("sqlite_")}
    url = postgres.url()
    with queuectl.open(url) as queue:
        rows = queue.store.run(
            "select table_name, column_name from information_schema.columns where table_schema = ?", (queue.store.to.schema,)
        )
        shared: dict[str, set[str]] = {}
        for table, column in rows:
            shared.setdefault(table, set()).add(column)
        versions = queue.store.schema_version()
    postgres.drop(url)
    sqlite["jobs"] -= SHOWN_FOR_PEOPLE
    assert {t: sorted(c) for t, c in shared.items() if t not in ONLY_POSTGRES} == {t: sorted(c) for t, c in sqlite.items()}
    assert versions == max(int(file.name[:4]) for file in Path(queuectl.__file__).parent.glob("store/schema/*.sql"))
