"""A lack of descriptors is told from the faults of receivers, and logged at its begin and end."""

from __future__ import annotations

import errno
import logging
import os

import pytest

from rq_broker.delivery.http.descriptors import Descriptors
from rq_broker.delivery.http.errors import NameLookupFailed


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_lack_is_told_once_at_each_end(caplog: pytest.LogCaptureFixture, number: int) -> None:
    """Many attempts that lack a descriptor make one line, and the next success another."""
    caplog.set_level(logging.INFO)
    lack = Descriptors()
    assert all(lack.caused(OSError(number, "no")) for _ in range(3))
    lack.note_success()
    lack.note_success()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


@pytest.mark.parametrize(
    "error",
    [ConnectionRefusedError(errno.ECONNREFUSED, "no"), NameLookupFailed("no"), ValueError("no")],
    ids=lambda error: type(error).__name__,
)
def test_faults_of_others_are_no_lack(error: Exception) -> None:
    """An error of a receiver, of a name server or of the code says nothing of descriptors."""
    assert not Descriptors().caused(error)


@pytest.mark.parametrize("error", [NameLookupFailed("could not ask"), OSError("several errors")])
def test_an_error_that_tells_nothing_is_ours_while_none_is_left(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The resolver does not say that it had no descriptor: whether one is left now decides."""

    def no_descriptor(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", no_descriptor)
    assert Descriptors().caused(error)
