"""Settings: typed, checked, hand-edited files honoured, broken files never overwritten."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from queuectl.config import SETTINGS, Config, checked, setting_name
from queuectl.errors import InvalidInput, NotFound, StorageError
from queuectl.settings import FILE_NAME, ConfigFile

# setting → (accepted and what it becomes, refused)
VALUES: dict[str, tuple[list[tuple[Any, Any]], list[Any]]] = {
    "max_retries": ([(0, 0), ("5", 5)], [-1, "x", 1.5, None, True, []]),
    "backoff_base": ([(2, 2), ("1.5", 1.5), (0, 0), (1000, 1000)], [-1, 1001, "x", "nan", float("nan"), "1e999", None, True, []]),
    "backoff_max": ([(0, 0), ("10m", 600), (1.5, 1.5)], [-1, "x", None, True, []]),
    "backoff_jitter": ([(0, 0), ("0.1", 0.1)], [-0.1, 11, "x", None, True]),
    "job_timeout": ([(0, 0), ("1h", 3600)], [-1, "soon", None, True]),
    "kill_grace": ([(0, 0), ("2.5", 2.5)], [-1, "x", None, True]),
    "capture_env": ([("all", "all"), ("basic", "basic"), ("none", "none")], ["", "All", 1, None, True, []]),
    "max_output": ([(0, 0), ("500M", 500_000_000)], [-1, "x", 1.5, None, True, []]),
    "min_free": ([(0, 0), ("1G", 1_000_000_000)], [-1, "x", 1.5, None, True, []]),
    "output_over": ([("cut", "cut"), ("kill", "kill")], ["", "Cut", 1, None, True, []]),
    "keep_days": ([(0, 0), ("0.5", 0.5), (30, 30)], [-1, 36501, "x", None, True]),
    "copy_output": ([(0, 0), ("16M", 16_000_000)], [-1, "x", 1.5, None, True]),
    "object_store": ([("", ""), ("s3://b/a", "s3://b/a"), ("file:///srv/out", "file:///srv/out")], ["b", 5, None, True]),
    "lease": ([(60, 60), ("2", 2)], [1, 3601, "x", None, True]),
    "call_slots": ([(1, 1), ("20000", 20_000)], [0, 20_001, "x", 1.5, None, True]),
    "call_parallel": ([(1, 1), (64, 64)], [0, 20_001, "x", None, True]),
    "call_timeout": ([(0, 0), ("5m", 300)], [-1, "soon", None, True]),
    "call_connect_timeout": ([(0, 0), ("2.5", 2.5)], [-1, "soon", None, True]),
    "call_max_output": ([(0, 0), ("1M", 1_000_000)], [-1, "x", 1.5, None, True]),
    "call_allow": ([("", ""), ("10.0.0.0/8", "10.0.0.0/8")], ["10.0.0.0/33", "somewhere else", 5, None, True]),
    "call_deny": ([("", ""), ("private", "private")], ["300.1.1.1", "somewhere else", 5, None, True]),
    "call_ca": ([("", ""), ("/etc/ours.pem", "/etc/ours.pem")], ["ours.pem", "/a\0b", 5, None, True]),
}
BROKEN = [
    "",
    "{",
    "[]",
    "5",
    '{"max_retries": -1}',
    '{"max_retries": "many"}',
    '{"colour": 1}',
    '{"max_retries": 1, "max_retries": 2}',
    "\x00",
]


@pytest.fixture
def file(tmp_path: Path) -> ConfigFile:
    return ConfigFile(str(tmp_path))


@pytest.fixture
def edited(file: ConfigFile) -> Callable[[str], ConfigFile]:
    def edit(text: str) -> ConfigFile:
        Path(file.path).write_text(text)
        return file

    return edit


def rows() -> Iterator[tuple[str, Any, Any]]:
    yield from ((name, value, becomes) for name, (right, _) in VALUES.items() for value, becomes in right)


def test_every_setting_is_in_this_table() -> None:
    assert set(VALUES) == set(SETTINGS) == set(Config.fields)


@pytest.mark.parametrize(("name", "value", "becomes"), list(rows()))
def test_a_right_value_is_stored_and_in_force(file: ConfigFile, name: str, value: Any, becomes: Any) -> None:
    assert file.set(name, value) == becomes
    assert getattr(file.read(), name) == becomes
    assert json.loads(Path(file.path).read_text()) == {name: becomes}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (_, wrong) in VALUES.items() for value in wrong])
def test_a_wrong_value_is_refused_and_nothing_is_stored(file: ConfigFile, name: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refusal:
        file.set(name, value)
    assert name in str(refusal.value)
    assert not os.path.exists(file.path)


@pytest.mark.parametrize("name", list(SETTINGS))
def test_the_built_in_value_is_an_allowed_one(name: str) -> None:
    assert checked(name, getattr(Config(), name)) == getattr(Config(), name)


def test_dashes_and_underscores_are_the_same(file: ConfigFile) -> None:
    file.set("max-retries", 7)
    assert file.read().max_retries == 7
    assert setting_name("backoff-base") == "backoff_base"


@pytest.mark.parametrize("name", ["", "colour", "max retries", "MAX_RETRIES"])
def test_an_unknown_setting_is_refused_with_those_there_are(file: ConfigFile, name: str) -> None:
    for act in (lambda: file.set(name, 1), lambda: file.unset(name)):
        with pytest.raises(NotFound, match="max_retries"):
            act()


def test_without_a_file_the_built_in_values_hold(file: ConfigFile) -> None:
    assert file.read() == Config()


def test_a_file_edited_by_hand_is_honoured(edited: Callable[[str], ConfigFile]) -> None:
    file = edited('\ufeff{\n  "max-retries": 5,\n  "backoff_max": "10m"\n}\n')
    assert (file.read().max_retries, file.read().backoff_max) == (5, 600)


def test_an_edit_is_seen_at_the_next_read(edited: Callable[[str], ConfigFile]) -> None:
    file = edited('{"max_retries": 5}')
    assert file.read().max_retries == 5
    edited('{"max_retries": 66}')
    assert file.read().max_retries == 66
    os.unlink(file.path)
    assert file.read().max_retries == 3


def test_setting_one_keeps_what_else_was_set_by_hand(edited: Callable[[str], ConfigFile]) -> None:
    file = edited('{"capture_env": "none"}')
    file.set("max_retries", 1)
    file.unset("max_retries")
    file.set("keep_days", 2)
    assert json.loads(Path(file.path).read_text()) == {"capture_env": "none", "keep_days": 2}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_is_named_and_never_overwritten(edited: Callable[[str], ConfigFile], text: str) -> None:
    file = edited(text)
    for act in (file.read, file.stored, lambda: file.set("max_retries", 1), lambda: file.unset("max_retries")):
        with pytest.raises(StorageError) as refusal:
            act()
        assert file.path in str(refusal.value)
        assert refusal.value.hint
    assert Path(file.path).read_text() == text


def test_a_file_that_is_not_utf_8_is_named_and_kept(file: ConfigFile) -> None:
    Path(file.path).write_bytes(b'{"capture_env": "\xff"}')
    with pytest.raises(StorageError):
        file.set("max_retries", 1)
    assert Path(file.path).read_bytes() == b'{"capture_env": "\xff"}'


def test_a_folder_in_the_way_is_named(file: ConfigFile) -> None:
    os.mkdir(file.path)
    with pytest.raises(StorageError):
        file.read()


def test_the_file_is_for_its_owner_alone(file: ConfigFile) -> None:
    before = os.umask(0)
    try:
        file.set("max_retries", 1)
    finally:
        os.umask(before)
    for name in os.listdir(os.path.dirname(file.path)):
        assert stat.S_IMODE(os.stat(os.path.join(os.path.dirname(file.path), name)).st_mode) == 0o600


def test_settings_set_at_the_same_moment_are_all_kept(tmp_path: Path) -> None:
    values = {"max_retries": 9, "backoff_base": 3, "job_timeout": 7, "kill_grace": 1, "keep_days": 4, "capture_env": "basic"}
    threads = [Thread(target=ConfigFile(str(tmp_path)).set, args=item) for item in values.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert json.loads((tmp_path / FILE_NAME).read_text()) == values


def test_the_backoff_is_what_the_settings_say() -> None:
    backoff = Config(backoff_base=3, backoff_max=10, backoff_jitter=0.5).backoff
    assert (backoff.delay_s(1), backoff.delay_s(5), backoff.delay_s(5, 1.0)) == (3.0, 10.0, 15.0)
