"""Credentials are taken out of text, and words that only sound like them stay."""

from __future__ import annotations

import pytest

from rq_broker.domain.scrubbing import scrubbed

TEXTS = {
    "cannot connect to redis://user:s3cret@db:6379/0": "cannot connect to redis://***@db:6379/0",
    "rediss://:p@ss@h/1 and https://u:p@k.lab/v3": "rediss://***@h/1 and https://***@k.lab/v3",
    "auth(password=hunter2, user=a)": "auth(password=***, user=a)",
    "?api_key=abc&x=1": "?api_key=***&x=1",
    "{'username': 'a', 'password': 'x y'}": "{'username': 'a', 'password': ***}",
    '{"application_credential_secret": "abc"}': '{"application_credential_secret": ***}',
    "Authorization: Bearer abc.def": "Authorization: ***",
    "sent 'Authorization': 'Basic dTpw'": "sent 'Authorization': ***",
    "X-Auth-Token: gAAAAABmX0123456789": "X-Auth-Token: ***",
    "401 for Bearer abcdef123456": "401 for Bearer ***",
    "key whsec_bm90YXNlY3JldA== is wrong": "key whsec_*** is wrong",
    "no token rqb_0123456789abcdefghij": "no token rqb_***",
    f"token gAAAA{'Bm' * 40}== ended": "token gAAAA*** ended",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln": "eyJ***",
    "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA": "-----BEGIN RSA PRIVATE KEY-----*** RSA",
}
KEPT = [
    "the token in X-Auth-Token: it has expired, was revoked or is none",
    "placement /resource_providers: HTTP 503 (Request-ID: req-1)",
    "basic authentication failed; bearer credentials are required",
    "https://k.lab:5000/v3?x=a@b",
    "the password is wrong; the secret of a user",
    "--redis redis://10.0.0.5:6379/0 must have a port from 0 to 65535",
]


@pytest.mark.parametrize("text", TEXTS)
def test_credentials_are_taken_out(text: str) -> None:
    """Logins of URLs, fields, headers and what is a credential by its form are replaced."""
    assert scrubbed(text) == TEXTS[text]


@pytest.mark.parametrize("text", KEPT)
def test_other_words_stay(text: str) -> None:
    """A sentence about credentials, or with a URL, is not changed."""
    assert scrubbed(text) == text
