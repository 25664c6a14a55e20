"""What answers mean, and how calls are signed."""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from pathlib import Path

import pytest

from queuectl import answers, signing
from queuectl.errors import InvalidInput, NotAllowed, NotFound
from queuectl.locate import Place


@pytest.mark.parametrize("text", ["", "20", "2000", "6xx", "099", "abc", "204-200", "200-", "-200", True, "2xx;204"])
def test_a_set_of_statuses_that_is_none_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput):
        answers.status_set(text)


@pytest.mark.parametrize(
    ("status", "expected", "is_one"),
    [(200, "200", True), (201, "200", False), (299, "2xx", True), (304, "2xx,304", True), (404, "2xx,404", True)],
)
def test_a_status_is_expected_or_not(status: int, expected: str, is_one: bool) -> None:
    assert answers.is_expected(status, expected) is is_one


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 7 ", 7.0),
        ("99999999999999999999", answers.RETRY_AFTER_S_MAX),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", answers.RETRY_AFTER_S_MAX),
        ("1.5", None),
        ("-5", None),
        ("", None),
        ("tomorrow", None),
        (None, None),
        ("Thu, 99 Jan 1970 00:02:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(value: str | None, seconds: float | None) -> None:
    assert answers.retry_after_s(value, 100.0) == seconds


def test_a_target_can_say_that_another_attempt_is_of_no_use() -> None:
    assert answers.forbids_retry({"X-Queuectl-Retry": " No "})
    assert not answers.forbids_retry({"X-Queuectl-Retry": "yes"})
    assert not answers.forbids_retry({})


def test_the_signature_is_that_of_standard_webhooks() -> None:
    key = signing.secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = signing.headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_secrets_are_kept_in_a_file_of_their_own_that_nobody_else_can_read(tmp_path: Path) -> None:
    secrets = signing.Secrets(Place(str(tmp_path / "queuectl.db")))
    secret = signing.new_secret()
    secrets.put("shop", secret)
    file = tmp_path / signing.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secrets.names() == ["shop"]
    assert secrets.key("shop") == signing.secret_bytes(secret)
    secrets.remove("shop")
    with pytest.raises(NotFound):
        secrets.key("shop")


def test_a_file_of_secrets_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secrets = signing.Secrets(Place(str(tmp_path / "queuectl.db")))
    secrets.put("shop", signing.new_secret())
    os.chmod(tmp_path / signing.FILE, 0o640)
    with pytest.raises(NotAllowed):
        secrets.key("shop")


@pytest.mark.parametrize("text", ["", "short", "whsec_!!!", "whsec_" + b64encode(b"x" * 15).decode(), "x" * 513])
def test_a_weak_secret_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        signing.secret_bytes(text)
