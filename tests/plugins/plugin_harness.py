"""Drives a built plugin as Pulumi's engine does, over gRPC, and keeps what it logs.

Owns the wire format. Leaves what is right to the tests.
"""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf import json_format  # type: ignore[import-untyped]
from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc

Values = dict[str, Any]

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"


def secret(value: Any) -> Values:
    """A value marked as secret, as it goes over the wire."""
    return {SIGNATURE: SECRET, "value": value}


def asset(**what: str) -> Values:
    """A FileAsset (path=) or StringAsset (text=) with its hash."""
    return {SIGNATURE: ASSET, **what}


def archive(**what: str) -> Values:
    """A FileArchive (path=) with its hash."""
    return {SIGNATURE: ARCHIVE, **what}


def _packed(values: Mapping[str, Any]) -> Struct:
    result = Struct()
    json_format.ParseDict(dict(values), result)
    return result


def _unpacked(values: Struct) -> Values:
    result: Values = json.loads(json_format.MessageToJson(values))
    return result


class _Engine(engine_pb2_grpc.EngineServicer):
    """The side of the engine that plugins log to."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802
        name = engine_pb2.LogSeverity.Name(request.severity).lower()
        self.lines.append(f"{name}: {request.message}")
        return Empty()


class Refused(Exception):
    """An operation failed; the text is the plugin's."""


@dataclass
class Resource:
    """A resource as the engine remembers it."""

    token: str
    id: str
    inputs: Values
    state: Values


class Plugin:
    """A running plugin. An operation that fails raises Refused with what the plugin said."""

    def __init__(self, binary: Path, config: Values, env: Mapping[str, str]) -> None:
        self._engine = _Engine()
        self._server = grpc.server(ThreadPoolExecutor(4))
        engine_pb2_grpc.add_EngineServicer_to_server(self._engine, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.process = subprocess.Popen(
            [str(binary), f"127.0.0.1:{port}"], stdout=subprocess.PIPE, env={**os.environ, **env}
        )
        assert self.process.stdout is not None
        own = int(self.process.stdout.readline())
        self._channel = grpc.insecure_channel(f"127.0.0.1:{own}")
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)
        self._stub.Configure(
            provider_pb2.ConfigureRequest(
                args=_packed(config),
                variables={f"libvirt:config:{k}": v for k, v in config.items()},
                acceptSecrets=True,
                acceptResources=True,
                sends_old_inputs=True,
                sends_old_inputs_to_delete=True,
            )
        )

    def kill_engine(self) -> None:
        """The engine is gone, without a word to the plugin."""
        self._server.stop(None).wait()

    def close(self) -> None:
        """End the plugin, as the engine does at the end of a deployment."""
        self._channel.close()
        self.process.kill()
        self.process.wait()
        self._server.stop(None)

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request)
        except grpc.RpcError as error:
            raise Refused(error.details()) from error

    @property
    def log(self) -> list[str]:
        """What the plugin logged above debug level, as `severity: message`."""
        return [line for line in self._engine.lines if not line.startswith("debug")]

    def check(self, token: str, inputs: Values, old: Values | None = None) -> Values:
        """The inputs as the plugin wants them: with defaults, secrets marked."""
        answer = self._call(
            "Check",
            provider_pb2.CheckRequest(
                urn=_urn(token), olds=_packed(old or {}), news=_packed(inputs)
            ),
        )
        assert not answer.failures, answer.failures
        return _unpacked(answer.inputs)

    def create(self, token: str, inputs: Values, *, preview: bool = False) -> Resource:
        """Create a resource, or see what it would be."""
        checked = self.check(token, inputs)
        answer = self._call(
            "Create",
            provider_pb2.CreateRequest(
                urn=_urn(token), properties=_packed(checked), preview=preview
            ),
        )
        return Resource(token, answer.id, checked, _unpacked(answer.properties))

    def diff(self, old: Resource, inputs: Values) -> dict[str, str]:
        """The properties that differ, and in which way (`UPDATE`, `UPDATE_REPLACE`, ...)."""
        answer = self._call(
            "Diff",
            provider_pb2.DiffRequest(
                id=old.id,
                urn=_urn(old.token),
                olds=_packed(old.state),
                old_inputs=_packed(old.inputs),
                news=_packed(self.check(old.token, inputs, old.inputs)),
            ),
        )
        kinds = provider_pb2.PropertyDiff.Kind
        return {path: kinds.Name(change.kind) for path, change in answer.detailedDiff.items()}

    def update(self, old: Resource, inputs: Values, *, preview: bool = False) -> Resource:
        """Change a resource's inputs."""
        checked = self.check(old.token, inputs, old.inputs)
        answer = self._call(
            "Update",
            provider_pb2.UpdateRequest(
                id=old.id,
                urn=_urn(old.token),
                olds=_packed(old.state),
                old_inputs=_packed(old.inputs),
                news=_packed(checked),
                preview=preview,
            ),
        )
        return Resource(old.token, old.id, checked, _unpacked(answer.properties))

    def read(self, old: Resource) -> Resource:
        """Refresh a resource; its id is empty if it is gone."""
        answer = self._call(
            "Read",
            provider_pb2.ReadRequest(
                id=old.id,
                urn=_urn(old.token),
                properties=_packed(old.state),
                inputs=_packed(old.inputs),
            ),
        )
        return Resource(old.token, answer.id, old.inputs, _unpacked(answer.properties))

    def delete(self, old: Resource) -> None:
        """Delete a resource."""
        self._call(
            "Delete",
            provider_pb2.DeleteRequest(
                id=old.id,
                urn=_urn(old.token),
                properties=_packed(old.state),
                old_inputs=_packed(old.inputs),
            ),
        )

    def invoke(self, token: str, arguments: Values) -> Values:
        """Call a function."""
        answer = self._call(
            "Invoke", provider_pb2.InvokeRequest(tok=token, args=_packed(arguments))
        )
        result: Values = _unpacked(getattr(answer, "return"))
        return result


def _urn(token: str) -> str:
    return f"urn:pulumi:test::test::{token}::it"


Start = Callable[..., Plugin]
"""Starts a plugin by its name."""

Run = Callable[..., str]
"""Runs Pulumi on a project (arguments, `fails`, variables of the environment); what it said."""

Project = Callable[[str, Mapping[str, str]], Run]
"""A project of a program, with this environment."""
