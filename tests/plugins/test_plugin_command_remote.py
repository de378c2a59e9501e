"""command:remote:Command does over ssh what its SDK's docstrings promise."""

import os
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from plugin_harness import SIGNATURE, Plugin, Refused, Start, Values, secret
from sshd_harness import Sshd

COMMAND = "command:remote:Command"


def test_create_update_and_delete_run_there(
    command: Plugin, connection: Values, tmp_path: Path
) -> None:
    inputs = {
        "connection": connection,
        "create": "read line; echo $line; echo $SSH_CONNECTION >&2",
        "update": "echo [$PULUMI_COMMAND_STDOUT]",
        "delete": f"echo $PULUMI_COMMAND_STDOUT >{tmp_path}/log",
        "stdin": "hello\n",
    }
    made = command.create(COMMAND, inputs)
    assert made.state["stdout"] == "hello"
    assert "127.0.0.1" in made.state["stderr"]
    assert "info: hello" in command.log
    changed = command.update(made, {**inputs, "stdin": "other\n"})
    assert changed.state["stdout"] == "[hello]"
    command.delete(changed)
    assert (tmp_path / "log").read_text() == "[hello]\n"


def test_environment_needs_the_servers_consent(command: Plugin, connection: Values) -> None:
    inputs = {"connection": connection, "create": "echo $WELCOME", "environment": {"WELCOME": "x"}}
    assert command.create(COMMAND, inputs).state["stdout"] == "x"
    with pytest.raises(Refused, match=r"does not accept the variable NOT .*AcceptEnv"):
        command.create(COMMAND, {**inputs, "environment": {"NOT": "x"}})


def test_an_error_ends_with_the_last_of_stderr(command: Plugin, connection: Values) -> None:
    with pytest.raises(Refused, match=r"(?s)exit status 4 on 127\.0\.0\.1.*\nthe reason$"):
        command.create(COMMAND, {"connection": connection, "create": "echo the reason >&2; exit 4"})


def test_secrets_stay_secret_and_are_no_difference(command: Plugin, connection: Values) -> None:
    inputs = {"connection": connection, "create": "echo x"}
    made = command.create(COMMAND, inputs)
    assert made.inputs["connection"][SIGNATURE]
    assert made.state["connection"][SIGNATURE]
    assert made.state["stdout"] == "x"  # a secret connection does not make the output one
    inner = {**connection, "privateKey": secret(connection["privateKey"])}
    assert command.diff(made, {**inputs, "connection": secret(inner)}) == {}
    hidden = command.create(COMMAND, {**inputs, "create": secret("echo y")})
    assert hidden.state["stdout"][SIGNATURE]


def test_a_changed_connection_alone_re_runs_nothing(
    command: Plugin, connection: Values, tmp_path: Path
) -> None:
    inputs = {"connection": connection, "create": f"echo run >>{tmp_path}/log"}
    made = command.create(COMMAND, inputs)
    other = {**inputs, "connection": {**connection, "perDialTimeout": 99}}
    assert set(command.diff(made, other).values()) == {"UPDATE"}
    changed = command.update(made, other)
    assert changed.inputs["connection"]["value"]["perDialTimeout"] == 99
    command.update(changed, {**other, "stdin": "x"})
    assert (tmp_path / "log").read_text() == "run\nrun\n"


def test_changed_triggers_replace(command: Plugin, connection: Values) -> None:
    made = command.create(COMMAND, {"connection": connection, "triggers": ["a"]})
    changes = command.diff(made, {"connection": connection, "triggers": ["b"]})
    assert set(changes.values()) == {"UPDATE_REPLACE"}


def test_one_connection_serves_all_and_a_broken_one_is_replaced(
    command: Plugin, connection: Values, own_sshd: Sshd
) -> None:
    own_sshd.start()
    there = {**connection, "port": own_sshd.port, "privateKey": own_sshd.key}
    inputs = {"connection": there, "create": "sleep 0.3"}
    for _ in range(3):
        command.create(COMMAND, inputs)
    assert own_sshd.logins() == 1
    own_sshd.drop_connections()
    command.create(COMMAND, inputs)
    assert own_sshd.logins() == 2
    # More at once than sshd lets one connection carry (10).
    with ThreadPoolExecutor(14) as threads:
        list(threads.map(lambda _: command.create(COMMAND, inputs), range(14)))
    assert own_sshd.logins() == 3


def test_the_host_key_is_checked_if_it_is_given(
    command: Plugin, connection: Values, sshd: Sshd
) -> None:
    good = {**connection, "hostKey": sshd.host_key}
    command.create(COMMAND, {"connection": good, "create": "true"})
    wrong = {**connection, "dialErrorLimit": 0, "hostKey": (sshd.folder / "user.pub").read_text()}
    with pytest.raises(Refused, match="host key mismatch"):
        command.create(COMMAND, {"connection": wrong, "create": "true"})


def test_a_key_with_a_password(command: Plugin, connection: Values, sshd: Sshd) -> None:
    locked = sshd.folder / "locked"
    locked.write_text(sshd.key)
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "pass", "-f", locked], check=True)
    there = {**connection, "privateKey": locked.read_text(), "privateKeyPassword": "pass"}
    command.create(COMMAND, {"connection": there, "create": "true"})
    with pytest.raises(Refused, match="privateKey"):
        del there["privateKeyPassword"]
        command.create(COMMAND, {"connection": there, "create": "true"})


def test_an_agent_has_the_key(
    command: Plugin, connection: Values, sshd: Sshd, tmp_path: Path
) -> None:
    path = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            time.sleep(0.02)
        env = {**os.environ, "SSH_AUTH_SOCK": str(path)}
        subprocess.run(["ssh-add", "-q", sshd.folder / "user"], env=env, check=True)
        there = {**connection, "agentSocketPath": str(path)}
        del there["privateKey"]
        command.create(COMMAND, {"connection": there, "create": "true"})
    finally:
        agent.kill()
        agent.wait()


def test_a_proxy_leads_there(command: Plugin, connection: Values, own_sshd: Sshd) -> None:
    own_sshd.start()
    proxy = {**connection, "port": own_sshd.port, "privateKey": own_sshd.key}
    inputs = {"connection": {**connection, "proxy": proxy}, "create": "echo $SSH_CONNECTION"}
    assert command.create(COMMAND, inputs).state["stdout"].endswith(f" {connection['port']}")
    assert own_sshd.logins() == 1


def test_dialling_goes_on_until_the_limit(
    command: Plugin, connection: Values, own_sshd: Sshd
) -> None:
    there = {**connection, "port": own_sshd.port, "privateKey": own_sshd.key}
    with pytest.raises(Refused, match=r"can't reach 127\.0\.0\.1:\d+ over ssh \(tried 2 times\)"):
        command.create(COMMAND, {"connection": there, "create": "true"})
    threading.Timer(1, own_sshd.start).start()
    patient = {**there, "dialErrorLimit": -1}
    command.create(COMMAND, {"connection": patient, "create": "true"})


def test_a_dial_ends_in_time_where_nobody_answers(command: Plugin, connection: Values) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = {**connection, "port": silent.getsockname()[1], "perDialTimeout": 1}
        began = time.monotonic()
        with pytest.raises(Refused, match="no ssh handshake"):
            command.create(
                COMMAND, {"connection": {**there, "dialErrorLimit": 0}, "create": "true"}
            )
        assert 0.9 < time.monotonic() - began < 5


def test_a_dead_host_fails_a_delete_but_not_a_preview(start: Start, connection: Values) -> None:
    command = start("command")
    made = command.create(COMMAND, {"connection": connection, "create": "true", "delete": "true"})
    with socket.create_server(("127.0.0.1", 0)) as probe:
        dead = {**connection, "port": probe.getsockname()[1], "dialErrorLimit": 0}
    command.create(COMMAND, {"connection": dead, "create": "false"}, preview=True)
    moved = command.update(made, {**made.inputs, "connection": dead})
    with pytest.raises(Refused, match="can't reach"):
        command.delete(moved)
