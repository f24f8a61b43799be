"""A public key is kept as long as a token that it verifies may be accepted."""

import importlib
import pkgutil

import pytest
from pydantic import ValidationError

import svckit.tokens
from authsvc.config import AuthSettings, FixedConfiguration
from blobsvc.config import BlobSettings
from blobsvc.domain.upload import UploadLifetimes
from roadstead.auth.v1.configuration_service_pb2 import UpdateConfigurationsRequest
from roadstead.options.v1.bounds_pb2 import bounds
from svckit.keys import KeyPair
from svckit.services import NAMES
from svckit.tokens import RegistryToken
from svckit.tokens.claims import Claims
from svckit.tokens.retention import KINDS, kinds_of, needed_seconds
from svckit.tokens.signer import TokenSigner

HOUR = 3600


@pytest.mark.parametrize(
    ("service", "seconds"),
    [
        # A registry token lives for a day at most. An upload that began with it goes on for a day, and its blob is
        # linked within an hour. Clocks may differ by a minute.
        ("authsvc", (24 + 24 + 1) * HOUR + 60),
        ("blobsvc", 24 * HOUR + 5),  # tickets
        ("metasvc", 305),  # grants
        ("gateway", 305),  # service tokens
        ("jobsvc", 305),
        ("worker", 305),
    ],
)
def test_the_old_key_of_a_service_is_needed_for(service: str, seconds: int) -> None:
    assert needed_seconds(service) == seconds


def test_there_is_no_other_service() -> None:
    assert set(NAMES) == {"authsvc", "blobsvc", "metasvc", "gateway", "jobsvc", "worker"}


def test_all_kinds_of_token_count() -> None:
    names = (f"svckit.tokens.{module.name}" for module in pkgutil.iter_modules(svckit.tokens.__path__))
    found = {
        value
        for name in names
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, type) and issubclass(value, Claims) and hasattr(value, "typ")
    }
    assert set(KINDS) == found
    assert {kind for name in NAMES for kind in kinds_of(name)} == found


def test_no_setting_lets_a_token_live_longer() -> None:
    day = 24 * 60
    FixedConfiguration(token_expiration_minutes=day)
    with pytest.raises(ValidationError):
        FixedConfiguration(token_expiration_minutes=day + 1)
    field = UpdateConfigurationsRequest.DESCRIPTOR.fields_by_name["token_expiration_minutes"]
    assert field.GetOptions().Extensions[bounds].maximum == day == RegistryToken.longest_lifetime_seconds / 60
    with pytest.raises(ValidationError):
        AuthSettings(identity_token_seconds=HOUR + 1)
    with pytest.raises(ValidationError):
        BlobSettings(upload_expiry_seconds=24 * HOUR + 1)
    assert UploadLifetimes(total_seconds=1, idle_seconds=1).receipt_seconds == HOUR


def test_a_token_that_would_outlive_its_key_is_not_signed() -> None:
    signer = TokenSigner("authsvc", KeyPair.generate())
    signer.sign(RegistryToken(subject="user:7"), lifetime_seconds=24 * HOUR)
    with pytest.raises(ValueError, match="valid for 86400 s at most"):
        signer.sign(RegistryToken(subject="user:7"), lifetime_seconds=24 * HOUR + 1)
