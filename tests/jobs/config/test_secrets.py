"""Passwords and tokens in URLs are struck out; paths that only look like them stay."""

from __future__ import annotations

import pytest

from gmm_spark.jobs.config.secrets import redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://tok-en@host/a", "https://[redacted]@host/a"),
        ("s3a://key:word@bucket/t", "s3a://key:[redacted]@bucket/t"),
        ("s3a://key:wo/rd+x=@bucket/t", "s3a://key:[redacted]@bucket/t"),
        ("s3a://key:w@r/d@bucket", "s3a://key:[redacted]@bucket"),
        ("s3a://key:8080@bucket/t", "s3a://key:[redacted]@bucket/t"),
        ("s3a://:word@bucket/t", "s3a://:[redacted]@bucket/t"),
        ("redis://:p@host:6379/0", "redis://:[redacted]@host:6379/0"),
        ("jdbc:postgresql://me:w?rd@host:5432/db", "jdbc:postgresql://me:[redacted]@host:5432/db"),
        ("jdbc:mysql://me:w@rd@host/db", "jdbc:mysql://me:[redacted]@host/db"),
        ("jdbc:oracle:thin:scott/ti@ger@//host:1521/x", "jdbc:oracle:thin:scott/[redacted]@//host:1521/x"),
        ("jdbc:x://host/db?user=me&password=word&ssl=true", "jdbc:x://host/db?user=me&password=[redacted]&ssl=true"),
        ("jdbc:sqlserver://host;user=me;Password=word;a=b", "jdbc:sqlserver://host;user=me;Password=[redacted];a=b"),
        ("https://a.blob/x?se=2&sig=ab%2Fc", "https://a.blob/x?se=2&sig=[redacted]"),
        (
            "of s3a://k:w@b/x,s3a://b/me@x and https://t@h",
            "of s3a://k:[redacted]@b/x,s3a://b/me@x and https://[redacted]@h",
        ),
        ("abfss://k:w@account/x", "abfss://k:[redacted]@account/x"),
    ],
)
def test_passwords_and_tokens_are_struck_out_of_urls(text: str, expected: str) -> None:
    assert redact(text, ()) == expected
    assert redact(expected, ()) == expected, "twice is as once"


@pytest.mark.parametrize(
    "text",
    [
        "/data/me@example.com/t",
        "s3a://bucket/me@example.com/day=1:2@3",
        "hdfs://name:9000/me@example.com",
        "https://host:8080?mail=me@example.com",
        "http://[::1]:8080/a@b",
        "abfss://container@account.dfs.core.windows.net/t",
        "WASBS://container@account/t",
        "jdbc:oracle:thin:@//host:1521/x",
        "file:///a/b@c",
        "write --input.options password=VALUE",
        "hdfs://name:9000 was asked by me@example.com",
        "tried s3a://a/x and me@b",
    ],
)
def test_paths_with_an_at_sign_stay(text: str) -> None:
    assert redact(text, ()) == text
