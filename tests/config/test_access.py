"""The ssh configuration as ssh itself reads it, whatever the folder is called."""

import subprocess
from pathlib import Path

import pytest

from config import access
from config.access import LabMachine
from config.errors import ConfigError
from config.load import FOLDER, load_topology
from config.users_ssh import USERS_OWN, resolved, users_own

TOPOLOGY = load_topology(FOLDER / "mini.yaml", "mini")
FOLDERS = ("plain", "my rack", "50% off", "a#b", "größe ü", 'say "x"', "back\\slash", "%h", "it's")
USERS = """
Host mylab
    HostName 10.1.2.3
    Port 2200
    User admin
    IdentityFile "~/.ssh/the lab"
    ProxyJump me@gate:2022
Host two
    ProxyJump gate,inner
Host bare
    HostName 10.1.2.4
Host proxied
    ProxyCommand nc -X connect %h %p
Host odd
    HostName 10.1.2.5
    ProxyCommand /usr/bin/proxy %n %h %%n
    KnownHostsCommand /usr/bin/keys %n %H %%n
    UserKnownHostsFile none
    IdentityAgent none
    IdentityFile ~/.ssh/%n_key
    ProxyUseFdpass yes
    HostKeyAlgorithms ssh-rsa
    KexAlgorithms diffie-hellman-group14-sha256
    PubkeyAcceptedAlgorithms ssh-rsa
    AddressFamily inet
"""


def asked(config: Path, name: str) -> dict[str, list[str]]:
    """What counts for a host."""
    said = subprocess.run(
        ["ssh", "-F", str(config), "-G", name], capture_output=True, text=True, check=True
    )
    assert said.stderr == ""
    return asked_of(said.stdout.splitlines())


def asked_of(said: list[str]) -> dict[str, list[str]]:
    """What `ssh -G` says, by key."""
    found: dict[str, list[str]] = {}
    for line in said:
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def plain(value: str) -> str:
    """Of some options `ssh -G` shows what is written, of others what the tokens stand for."""
    return value.replace("%%", "%")


@pytest.mark.parametrize("name", FOLDERS)
def test_ssh_finds_its_files_in_any_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    lab = LabMachine("127.0.0.1", 2222, None, folder / "key", folder / "known")
    (folder / "ssh_config").write_text(access.ssh_config(lab, TOPOLOGY, folder))
    for machine, key, known in (
        ("router", "id_ecdsa", "known_hosts"), (access.LAB_MACHINE, "key", "known"),
    ):  # fmt: skip
        found = asked(folder / "ssh_config", machine)
        assert [plain(each) for each in found["identityfile"]] == [str(folder / key)]
        assert [plain(each) for each in found["userknownhostsfile"]] == [str(folder / known)]
        if "controlpath" in found:
            assert plain(found["controlpath"][0]).startswith(f"{folder}/ssh-")
    assert asked(folder / "ssh_config", "router")["hostname"] == ["10.77.3.1"]


@pytest.mark.parametrize("name", FOLDERS)
def test_the_way_by_the_lab_machine_is_one_word_for_the_shell(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    lab = LabMachine("127.0.0.1", 2222, None, folder / "key", folder / "known")
    (folder / "ssh_config").write_text(access.ssh_config(lab, TOPOLOGY, folder))
    (proxy,) = asked(folder / "ssh_config", "router")["proxycommand"]
    assert proxy.startswith("ssh -F ")
    # As ssh does: the tokens, then the shell.
    line = proxy.replace("%h", "H").replace("%p", "P") if "%" not in name else proxy
    line = line.replace("%%", "%").replace("ssh ", "printf '%s\\n' ", 1)
    words = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert words.stdout.splitlines()[1] == str(folder / "ssh_config")


@pytest.mark.parametrize("name", ["${HOME}", "line\nbreak"])
def test_what_no_quoting_takes_away_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="rename the folder"):
        access.ssh_config(LabMachine("h"), TOPOLOGY, tmp_path / name)


def said_of(tmp_path: Path, *words: str, file: str = "users") -> list[str]:
    (tmp_path / "users").write_text(USERS)
    done = subprocess.run(
        ["ssh", "-F", file, "-G", *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("text", "address", "proxy"),
    [
        ("ssh://mylab", "admin@10.1.2.3:2200", "ssh -W [%h]:%p -p 2022 me@gate"),
        ("ssh://root@mylab:22", "root@10.1.2.3:22", "ssh -W [%h]:%p -p 2022 me@gate"),
        ("ssh://bare", "root@10.1.2.4:22", "none"),
        ("ssh://two", "root@two:22", "ssh -J gate -W [%h]:%p inner"),
        ("ssh://proxied", "root@proxied:22", "nc -X connect %h %p"),
        ("ssh://odd", "root@10.1.2.5:22", "/usr/bin/proxy odd %h %%n"),
        ("ssh://unknown:23", "root@unknown:23", "none"),
    ],
)
def test_a_real_lab_machine_is_what_the_user_s_own_configuration_says(
    tmp_path: Path, text: str, address: str, proxy: str
) -> None:
    lab = LabMachine.parse(text, "mini")
    words = [*(["-p", str(lab.port)] if lab.port else []), *(["-l", lab.user] if lab.user else [])]
    said = said_of(tmp_path, *words, str(lab.host))
    default = said_of(tmp_path, *words, str(lab.host), file="none")
    local = next(line for line in said_of(tmp_path, "nowhere") if line.startswith("user "))
    full = users_own(lab, said, default, local.removeprefix("user "))
    (tmp_path / "ssh_config").write_text(access.ssh_config(full, TOPOLOGY, tmp_path))
    found = asked(tmp_path / "ssh_config", access.LAB_MACHINE)
    (host,), (port,), (user,) = found["hostname"], found["port"], found["user"]
    assert f"{user}@{host}:{port}" == address
    shown = found.get("proxycommand", ["none"])[0].replace("'", "")
    assert shown == proxy
    if text == "ssh://mylab":
        assert "~/.ssh/the lab" in found["identityfile"]
    taken = {key.lower() for key in USERS_OWN}
    for key, values in asked_of(said).items():
        if key in taken and key not in ("knownhostscommand", "identityfile"):
            assert found.get(key) == values, key
    if text == "ssh://odd":
        assert found["identityfile"] == ["~/.ssh/odd_key"]
        assert found["knownhostscommand"] == ["/usr/bin/keys odd %H %%n"]
    assert found["batchmode"] == ["yes"]


@pytest.mark.parametrize(
    "text",
    [
        "ssh://h:abc", "ssh://root@host:99999", "ssh://h:0", "ssh://-oProxyCommand=x", "ssh://a b",
        "ssh://u:secret@h", "ssh://h?x", "ssh://h#x", "ssh://$(id)", "ssh://-l@h", "ssh://[::1",
    ],
)  # fmt: skip
def test_what_isn_t_an_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="lab:machine") as refused:
        LabMachine.parse(text, "mini")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "host", "port"), [("ssh://MyLab", "MyLab", None), ("ssh://[::1]:23", "::1", 23)]
)
def test_an_address_is_taken_as_it_is_written(text: str, host: str, port: int | None) -> None:
    lab = LabMachine.parse(text, "mini")
    assert (lab.host, lab.port, lab.user) == (host, port, None)


def test_the_user_s_ssh_is_asked_with_the_user_s_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Match exec and IdentityAgent may read any of it, and the connection has it, too."""
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\necho hostname h; echo port 22; echo user ${WORK:-nobody}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("WORK", "dora")
    assert resolved(LabMachine("alias")).user == "dora"
