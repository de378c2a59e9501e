"""The built plugins and an sshd, once for all tests of the plugins."""

import getpass
import os
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import pytest
from libvirtd_harness import Libvirtd
from plugin_harness import Plugin, Project, Run, Start, Values
from sshd_harness import NodeUri, Sshd

from plugins.build import environment, home, tools


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The time limit is for the tests, not for the first build of what they test."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(120, func_only=True))


@pytest.fixture(scope="session")
def pulumi() -> dict[str, str]:
    """The environment Pulumi runs in, with everything built. The first time takes minutes."""
    return environment(tools())


@pytest.fixture
def project(pulumi: dict[str, str], tmp_path: Path) -> Project:
    """Makes a project of a small program, and tells how to run Pulumi on it."""

    def make(program: str, environ: Mapping[str, str]) -> Run:
        folder, state = tmp_path / "project", tmp_path / "state"
        folder.mkdir()
        state.mkdir()
        (folder / "Pulumi.yaml").write_text("name: contract\nruntime: python\n")
        (folder / "__main__.py").write_text(program)
        env = os.environ | pulumi | {"PULUMI_BACKEND_URL": f"file://{state}"}
        env |= {"PULUMI_CONFIG_PASSPHRASE": "x", **environ}

        def run(*arguments: str, fails: bool = False, **more: str) -> str:
            done = subprocess.run(
                ["pulumi", "--non-interactive", "--color=never", *arguments],
                cwd=folder, env={**env, **more}, capture_output=True, text=True, check=False,
            )  # fmt: skip
            text = done.stdout + done.stderr
            assert bool(done.returncode) == fails, text
            return text

        run("stack", "init", "test")
        return run

    return make


@pytest.fixture
def start(pulumi: dict[str, str]) -> Iterator[Start]:
    """Starts an installed plugin by its name."""
    running: list[Plugin] = []

    def launch(name: str, **config: str) -> Plugin:
        folder = home() / "plugins" / f"resource-{name}-v{version(f'pulumi-{name}')}"
        running.append(Plugin(folder / f"pulumi-resource-{name}", dict(config), pulumi))
        return running[-1]

    yield launch
    for plugin in running:
        plugin.close()


@pytest.fixture
def command(start: Start) -> Plugin:
    """The command plugin."""
    return start("command")


@pytest.fixture(scope="session")
def shared_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    server.prepare()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def sshd(shared_sshd: Sshd) -> Sshd:
    """A running sshd."""
    return shared_sshd


@pytest.fixture
def connection(sshd: Sshd) -> Values:
    """The inputs that connect to the sshd."""
    return {
        "host": "127.0.0.1",
        "port": sshd.port,
        "user": getpass.getuser(),
        "privateKey": sshd.key,
        "dialErrorLimit": 1,
    }


@pytest.fixture
def own_sshd(tmp_path: Path) -> Iterator[Sshd]:
    """An sshd that is not running yet, for one test alone."""
    folder = tmp_path / "sshd"
    folder.mkdir()
    server = Sshd(folder)
    server.prepare()
    yield server
    if server.process is not None:
        server.stop()


@pytest.fixture(scope="session")
def libvirtd() -> Iterator[Libvirtd]:
    """A running libvirtd."""
    daemon = Libvirtd()
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture
def node_uri(libvirtd: Libvirtd, tmp_path: Path) -> NodeUri:
    """The URI of the libvirtd as a node's behind a lab machine, both played by one sshd."""

    def write(sshd: Sshd) -> str:
        config, known = tmp_path / "ssh_config", tmp_path / "known_hosts"
        known.write_text(f"node,lab {sshd.host_key}")
        config.write_text(
            "Host node\n  HostKeyAlias node\n  ProxyJump lab\n"
            "Host lab\n  HostKeyAlias lab\n"
            f"Host *\n  HostName 127.0.0.1\n  Port {sshd.port}\n"
            f"  User {getpass.getuser()}\n  IdentityFile {sshd.folder}/user\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n  StrictHostKeyChecking yes\n"
        )
        return f"qemu+ssh://node/session?ssh_config={config}&socket={libvirtd.socket}"

    return write


@pytest.fixture
def uri(node_uri: NodeUri, sshd: Sshd) -> str:
    """The same, with the sshd of all tests."""
    return node_uri(sshd)
