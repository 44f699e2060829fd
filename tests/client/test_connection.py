"""Which server is meant, and how it is spoken to: ours plainly, the user's by Temporal's own configuration."""

import json
from pathlib import Path

import pytest

from client.connection import Unreachable, configured_address, connect, running_note, target
from client.dev import dev_stack
from client.exits import CommandError, ExitCode
from settings import Settings


@pytest.fixture
def address(temporal_env) -> str:
    return temporal_env.client.service_client.config.target_host


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporal's configuration for a cloud: a key, and so TLS. The file has no address yet."""
    path = tmp_path / "temporal.toml"
    path.write_text('[profile.default]\nnamespace = "theirs.a1b2c"\napi_key = "secret"\n')
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(path))
    return path


@pytest.mark.parametrize("named", [True, False], ids=["named by its address", "found by its note"])
async def test_the_stack_of_this_home_is_spoken_to_without_the_clouds_key(tmp_path, address, cloud, named) -> None:
    settings = Settings(home=tmp_path, temporal_namespace="default", temporal_address=address if named else None)
    if named:
        with pytest.raises(Unreachable):
            await connect(settings)

    running_note(settings).write_text(json.dumps({"address": address, "ui_url": None}))
    client = await connect(settings)

    assert client.service_client.config.target_host == address
    assert (client.service_client.config.tls, client.service_client.config.api_key) == (None, None)


async def test_a_server_that_is_being_started_is_spoken_to_without_the_clouds_key(tmp_path, address, cloud) -> None:
    settings = Settings(home=tmp_path, temporal_namespace="default", temporal_address=address)

    client = await connect(settings, local=True)

    assert client.service_client.config.api_key is None


def test_a_profile_without_an_address_does_not_hide_the_stack_of_this_home(tmp_path, cloud) -> None:
    settings = Settings(home=tmp_path)
    running_note(settings).write_text(json.dumps({"address": "127.0.0.1:7999", "ui_url": None}))

    assert configured_address(settings) is None
    assert target(settings) == ("127.0.0.1:7999", "research")


async def test_an_address_in_the_profile_alone_is_the_users_own_server(tmp_path, cloud) -> None:
    cloud.write_text(cloud.read_text() + 'address = "127.0.0.1:1"\n')
    settings = Settings(home=tmp_path / "home")
    told: list[str] = []

    with pytest.raises(CommandError, match=r"no Temporal server answers at 127\.0\.0\.1:1"):
        async with dev_stack(settings, told.append):
            pass

    assert told == []
    assert not settings.home.exists()


def test_a_profile_that_is_not_there_is_an_error_of_the_configuration(command, cloud) -> None:
    ran = command("list", "--profile", "nowhere")

    assert ran.code == ExitCode.CONFIGURATION
    assert "Profile 'nowhere' not found" in ran.err
    assert "Traceback" not in ran.err
