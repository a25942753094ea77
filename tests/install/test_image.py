"""Tests the container image: built from the Dockerfile, and run with a read-only root."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.browser import Browser
from tests.support.charger_values import single_tracker
from tests.support.container import (
    Buildah,
    Container,
    Image,
    NotPossible,
    make_base,
    require_permission,
)
from tests.support.extent import IS_LONG
from tests.support.faulty_backend import Forced
from tests.support.fixtures import ROOF
from tests.support.installed import Installed, all_of_it_runs
from tests.support.installing import Surroundings
from tests.support.places import ROOT
from tests.support.running import World
from tests.support.sshd import free_port

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(not IS_LONG, reason="takes minutes: tests/run slow runs it"),
]

BASE = "localhost/base"
NAME = "localhost/mqtt-http-bridge"
COMMAND = "mqtt-http-bridge"


@pytest.fixture(scope="session")
def store(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    """A store with the image; the processes of one run of the tests share it."""
    try:
        require_permission()
    except NotPossible as reason:
        pytest.skip(str(reason))
    own = tmp_path_factory.getbasetemp()
    directory = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "image"
    directory.mkdir(exist_ok=True)
    buildah = Buildah(directory / "store")
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "is-built").exists():
            build(buildah, checkout, directory / "base")
            (directory / "is-built").touch()
    return buildah


def build(buildah: Buildah, checkout: Path, base: Path) -> None:
    """Builds the image as a user builds it, on a base of Debian's."""
    make_base(base)
    buildah.add_base(base, BASE)
    shutil.rmtree(base)
    shutil.copy2(ROOT / "Dockerfile", checkout)
    buildah.build(checkout, BASE, NAME)


@pytest.fixture(scope="session")
def image(store: Buildah) -> Image:
    """Reads what the image says of itself."""
    return store.image(NAME)


@pytest.fixture
def containers(
    store: Buildah, image: Image, world: World, tmp_path: Path
) -> Iterator["Containers"]:
    """Containers with the config of `world`, one after the other on one new volume."""
    world.add_gx().add("solarcharger", ROOF, single_tracker())
    with closing(containers_with(world.write_config(), store, image, tmp_path)) as found:
        yield found


def containers_with(config: Path, store: Buildah, image: Image, directory: Path) -> "Containers":
    """Makes a new volume below `directory`, for containers with this config."""
    volume = directory / "volume"
    # An engine fills a new volume with what the image has in its place.
    shutil.copytree(store.root_of(NAME) / "data", volume)
    config.chmod(0o400)
    user, group = map(int, image.user.split(":"))
    for path in (volume, *volume.iterdir(), config):
        os.chown(path, user, group)
    return Containers(store, image, volume, config)


class Containers:
    """Makes one fresh container after the other, all with one volume and one config."""

    def __init__(self, store: Buildah, image: Image, volume: Path, config: Path) -> None:
        self._store, self._image = store, image
        self.volume, self._config = volume, config
        self._containers: list[Container] = []

    def new(self) -> Container:
        """Gives a container whose root is as the image has it, with the volume as it is by now."""
        root = self._store.root_of(NAME)
        container = Container(self._image, root, volume=self.volume, config=self._config)
        self._containers.append(container)
        return container

    def close(self) -> None:
        """Ends what still runs."""
        for container in self._containers:
            container.close()


# --- what the image says of itself ---------------------------------------------------------------


def test_its_user_is_no_root_and_a_number(image: Image) -> None:
    """An engine that is told to run no root can tell that this is none."""
    user, group = image.user.split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_it_has_one_volume_and_ends_by_sigterm(image: Image) -> None:
    """Keeps in one place what must outlive a container."""
    assert image.volumes == {"/data"}
    assert image.stop_signal == "SIGTERM"
    assert image.command == (COMMAND, "run")


def test_only_threads_that_stand_still_make_it_ill(image: Image) -> None:
    """The outage of a backend must restart nobody."""
    assert image.health == ("CMD", COMMAND, "health", "--alive")


# --- what is in it -------------------------------------------------------------------------------


def test_its_user_can_alter_the_volume_and_nothing_else_of_ours(
    store: Buildah, image: Image
) -> None:
    """Also where somebody runs it without a read-only root."""
    root, user = store.root_of(NAME), int(image.user.partition(":")[0])
    ours = [root / "opt", root / "config", *(root / "opt").rglob("*")]
    assert {path.lstat().st_uid for path in ours} == {0}
    assert not [path for path in ours if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert (root / "data/outbox").stat().st_uid == user


def test_no_start_compiles_anything(store: Buildah) -> None:
    """Nothing can be written there: what is not compiled beforehand is compiled each time."""
    library = store.root_of(NAME) / "opt/mqtt-http-bridge/lib"
    modules = {path.relative_to(library) for path in library.rglob("*.py")}
    compiled = {
        path.relative_to(library).parent.parent / f"{path.name.partition('.')[0]}.py"
        for path in library.rglob("*.pyc")
    }
    assert len(modules) > 100
    assert modules == compiled


def test_the_engine_runs_it_as_its_user(store: Buildah, image: Image) -> None:
    """The command is there, for who has the image's user and environment and nothing else."""
    has_started = f"{COMMAND} --version | grep -q '^{COMMAND} '"
    store.run(NAME, "sh", "-c", f'{has_started} && [ "$(id -u):$(id -g)" = {image.user} ]')


# --- the service ---------------------------------------------------------------------------------


def test_it_relays_and_ends_within_five_seconds(containers: Containers, world: World) -> None:
    """With a config that names no folder, on a root that is read-only; docker stop is no kill."""
    container = containers.new()
    service = container.start()
    world.backend.wait_for(3, timeout_s=60.0)
    assert container.call("touch", "/config/x", "/tmp/x").returncode == 1
    said = container.call(COMMAND, "status")
    assert said.returncode == 0, said
    assert "by config.yaml" in said.stdout
    assert service.stop() == 0
    assert container.call(COMMAND, "status").returncode == 1
    assert {path.name for path in containers.volume.iterdir()} == {"outbox"}


def test_a_backend_that_is_away_does_not_make_it_ill(containers: Containers, world: World) -> None:
    """The image's own health check, run as an engine runs it: beside the service."""
    world.backend.always(Forced(503))
    container = containers.new()
    service = container.start()
    world.backend.wait_for_arrivals(2, 60.0)
    alive = container.call(*container.health)
    assert alive.returncode == 0, alive
    assert service.stop() == 0
    assert container.call(*container.health).returncode == 1


def test_killed_and_made_anew_it_loses_nothing(containers: Containers, world: World) -> None:
    """Sends, unchanged, what the container before it had stored while the backend was down."""
    world.backend.always(Forced(503))
    first = containers.new()
    service = first.start()
    # Without a first POST it would still be waiting for the clock to be trusted.
    world.backend.wait_for_arrivals(1, 60.0)
    deadline_s = time.monotonic() + 60.0
    while len(waiting(first)) < 5:
        assert time.monotonic() < deadline_s
    service.kill()
    before = waiting(first)
    assert len(before) >= 5
    assert not before & stored(world)
    world.backend.always(None)
    service = containers.new().start()
    world.wait_until(lambda: before <= stored(world), timeout_s=60.0)
    assert service.stop() == 0
    assert world.backend.contract_violations == []


def waiting(container: Container) -> set[str]:
    """The timestamps of what the outbox holds."""
    said = container.call(COMMAND, "outbox", "list", "--json")
    assert said.returncode == 0, said
    return {json.loads(line)["timestamp"] for line in said.stdout.splitlines()}


def stored(world: World) -> set[str]:
    """The timestamps of what the backend has stored."""
    return {timestamp for timestamp, _ in list(world.backend.stored)}


def test_all_of_it_runs(
    store: Buildah, image: Image, surroundings: Surroundings, browser: Browser, tmp_path: Path
) -> None:
    """Tries the page, check, outbox status, --version and demo, as in the other installations."""
    port, config = free_port(), tmp_path / "given.yaml"
    status = f"status: {{listen: '127.0.0.1:{port}'}}\n"
    config.write_text(surroundings.config() + status, encoding="utf-8")
    with closing(containers_with(config, store, image, tmp_path)) as containers:
        container = containers.new()
        service = container.start()
        surroundings.wait_for_another_post()
        installed = Installed(container.command(COMMAND), "/config/config.yaml", port)
        all_of_it_runs(installed, browser, tmp_path)
        assert service.stop() == 0


def test_the_demo_runs_in_it(containers: Containers) -> None:
    """Shows the relay at work to a person who has the image and nothing else."""
    demo = containers.new().start(COMMAND, "demo")
    assert demo.wait(120.0) == 0
