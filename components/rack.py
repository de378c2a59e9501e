"""Rack: the whole rack as one graph, from the topology.

Owns which component gets what from which; it alone knows them all. Leaves every name and
number to `config/`.
"""

import hashlib
from collections.abc import Mapping
from typing import TypeVar

import pulumi
from pulumi_command import local

import equipment
from alpine.boottree import common_key
from alpine.image import image_key
from alpine.release import chosen
from components.boot_server import BootServer, BootServerArgs
from components.command import equipment_command, lab_command
from components.commits import Commit
from components.first_level_node import FirstLevelNode, FirstLevelNodeArgs
from components.lab import libvirt_provider, open_lab
from components.lxc_compute import LxcCompute, LxcComputeArgs
from components.machine import MachineArgs
from components.nbd_user import ConsulServer, NbdUser, NbdUserArgs, Nfs
from components.network import OvsNetwork, OvsNetworkArgs
from components.raid import RaidVolume, RaidVolumeArgs
from components.san import San, SanArgs
from components.second_level_guest import Host, SecondLevelGuestArgs
from config import access, addressing, names, topology
from config.settings import Settings
from guest import consul
from guest.overlay import MachineKeys, overlay
from lab import bmcs

Component = TypeVar("Component", bound=NbdUser)
ARRAY_IN_NODE = "/dev/md0"  # guest/roles/storage assembles it


class Rack(pulumi.ComponentResource):
    """Everything a topology names. `services`: the containers' URLs by name."""

    services: Mapping[str, str]

    def __init__(self, settings: Settings) -> None:
        super().__init__("rack:lab:Rack", settings.stack)
        if not pulumi.runtime.is_dry_run():  # a preview writes nothing: an `up` may be under way
            settings.write_access()
        self._settings = settings
        self._topology = settings.topology
        self._release = chosen(settings.mirror, settings.profile.kernel)
        self._opts = pulumi.ResourceOptions(parent=self)
        self._lab = open_lab(settings, self._opts)
        self._booted: list[pulumi.Resource] = []
        self._networks = self._make_networks()
        self._guard_dhcp()
        self._make_stations()
        self._raid = self._make_raid()
        self._logs = self._make_logs()
        self._boot_server = self._make_boot_server()
        self._nodes = self._make_nodes()
        self._hosts = self._make_hosts()
        self._sans = self._make_sans()
        self._consul = self._make_nbd_users(topology.ConsulServer, ConsulServer)
        self._nfs = self._make_nbd_users(topology.NfsServer, Nfs)
        self._lxc = self._make_lxc()
        self._show_commits(self._commit_nodes())
        self._move_boot_server()
        self.services = {
            name: url for lxc in self._lxc.values() for name, url in lxc.services.items()
        }
        self.register_outputs({"services": self.services})

    def _bridges(self, name: str) -> dict[str, str]:
        """Where a machine plugs in to each network."""
        stack = self._settings.stack
        return {
            network: addressing.plug(stack, self._topology, name, network)
            for network in self._networks
        }

    def _machine(self, name: str) -> MachineArgs:
        """A machine's arguments; an `up` keeps its overlay where `lab publish` finds it."""
        machine = self._topology.machines[name]
        settings = self._settings
        keys = MachineKeys(
            host_key=settings.host_key(name).private,
            authorized_key=settings.admin_key.public,
            files=consul.files(
                settings.stack, self._topology, name, settings.seed, settings.profile.timing
            ),
        )
        content = overlay(settings.stack, self._topology, name, keys)
        if not pulumi.runtime.is_dry_run():
            settings.keep_overlay(name, content)
        return MachineArgs(
            name=name,
            role=machine.role,
            memory=machine.memory,
            cpus=machine.cpus,
            nics=addressing.nics(settings.stack, self._topology, name),
            image_key=self._image_key(machine.role),
            overlay_sha256=hashlib.sha256(content).hexdigest(),
        )

    def _image_key(self, role: str) -> str:
        return image_key(role, consul.image_folders(self._topology), self._release)

    def _turn(self) -> list[pulumi.Resource]:
        """What the next machine waits for, so that no more boot at once than the lab can bear."""
        most = self._settings.profile.boots_at_once
        return [self._booted[-most]] if most and len(self._booted) >= most else []

    def _make_networks(self) -> dict[str, OvsNetwork]:
        stack = self._settings.stack
        return {
            network: OvsNetwork(
                self._lab,
                OvsNetworkArgs(
                    network,
                    equipment.switch(stack, self._topology, network),
                    list(equipment.lines(stack, self._topology, network).values()),
                ),
                opts=self._opts,
            )
            for network in self._topology.networks
        }

    def _guard_dhcp(self) -> None:
        lan = pulumi.ResourceOptions(parent=self, depends_on=[self._networks["lan"]])
        guard = equipment.dhcp_guard(self._settings.stack, self._topology)
        equipment_command(self._settings, guard, lan)

    def _make_stations(self) -> None:
        """The hosts on lan, isp and ipmi that aren't machines of the topology."""
        stack, settings = self._settings.stack, self._settings
        lan = pulumi.ResourceOptions(parent=self, depends_on=[self._networks["lan"]])
        equipment_command(settings, equipment.ntp(stack, self._topology), lan)
        if beyond := equipment.provider(stack, self._topology):
            isp = pulumi.ResourceOptions(parent=self, depends_on=[self._networks["isp"]])
            equipment_command(settings, beyond, isp)
        if managers := equipment.bmcs(stack, self._topology):
            passwords = lab_command(
                "bmcs-settings",
                settings,
                create=["publish", "bmcs"],
                wanted=[bmcs.version(settings)],
                opts=self._opts,
            )
            ipmi = pulumi.ResourceOptions(
                parent=self, depends_on=[self._networks["ipmi"], passwords]
            )
            equipment_command(settings, managers, ipmi)

    def _make_raid(self) -> RaidVolume:
        stack = self._settings.stack
        args = RaidVolumeArgs(
            equipment.array(stack, self._topology), equipment.volumes(stack, self._topology)
        )
        return RaidVolume(self._lab, args, opts=self._opts)

    def _make_logs(self) -> pulumi.Resource:
        return equipment_command(self._settings, equipment.logs(self._settings.stack), self._opts)

    def _make_boot_server(self) -> BootServer:
        name = next(iter(self._topology.of(topology.BootServer)))
        stick = names.node_volume(name, "stick")
        roles = {machine.role for machine in self._topology.machines.values()}
        args = BootServerArgs(
            machine=self._machine(name),
            stick=self._raid.paths[stick],
            image_keys={role: self._image_key(role) for role in sorted(roles)},
            common_key=common_key(self._release),
            moves=name in self._topology.moves,
            bridges=self._bridges(name),
            needs=[self._networks["lan"], self._raid.volumes[stick], self._logs],
        )
        return BootServer(self._lab, args, opts=self._opts)

    def _make_nodes(self) -> dict[str, FirstLevelNode]:
        made: dict[str, FirstLevelNode] = {}
        nodes = self._topology.of(topology.Node)
        for name, node in sorted(nodes.items(), key=lambda item: item[1].networks[0] != "lan"):
            if isinstance(node, topology.BootServer):
                continue
            disks = node.disks if isinstance(node, topology.StorageNode) else ()
            volumes = [names.node_volume(name, disk) for disk in names.node_disks(disks)]
            needs: list[pulumi.Resource] = [
                self._logs,
                *self._turn(),
                *(self._networks[network] for network in node.networks),
                *(self._raid.volumes[volume] for volume in volumes),
            ]
            if node.networks[0] != "lan":  # it PXE-boots through the router's DHCP relay
                needs += [made[router] for router in self._topology.of(topology.Router)]
            made[name] = FirstLevelNode(
                self._lab,
                FirstLevelNodeArgs(
                    machine=self._machine(name),
                    tree=self._boot_server.tree,
                    bridges=self._bridges(name),
                    disks=tuple(self._raid.paths[volume] for volume in volumes),
                    needs=needs,
                ),
                opts=self._opts,
            )
            self._booted.append(made[name])
        return made

    def _make_hosts(self) -> dict[str, Host]:
        return {
            name: Host(name, node, libvirt_provider(self._settings, name, self._opts))
            for name, node in self._nodes.items()
            if self._topology.guests_on(name)
        }

    def _guest(self, name: str, guest: topology.Guest) -> SecondLevelGuestArgs:
        return SecondLevelGuestArgs(
            self._machine(name), self._hosts[guest.node], self._boot_server.tree, self._turn()
        )

    def _make_sans(self) -> dict[str, San]:
        made = {}
        for name, san in self._topology.of(topology.San).items():
            args = SanArgs(self._guest(name, san), ARRAY_IN_NODE, san.volumes)
            made[name] = San(self._lab, args, opts=self._opts)
            self._booted.append(made[name])
        return made

    def _volumes(self, user: topology.VolumeUser) -> tuple[list[pulumi.Resource], int]:
        """The resources of a guest's volumes, and the bytes that each of them has."""
        made = [self._sans[san].volumes[volume] for san, volume in user.legs]
        san, volume = user.legs[0]
        return made, self._topology.of(topology.San)[san].volumes[volume]

    def _make_nbd_users(
        self, kind: type[topology.NbdUser], component: type[Component]
    ) -> dict[str, Component]:
        made = {}
        for name, user in self._topology.of(kind).items():
            args = NbdUserArgs(self._guest(name, user), *self._volumes(user))
            made[name] = component(self._lab, args, opts=self._opts)
            self._booted.append(made[name])
        return made

    def _make_lxc(self) -> dict[str, LxcCompute]:
        made = {}
        for name, lxc in self._topology.of(topology.LxcHost).items():
            volumes, size = self._volumes(lxc)
            args = LxcComputeArgs(
                guest=self._guest(name, lxc),
                volumes=volumes,
                volume_size=size,
                share=self._nfs[lxc.share],
                containers=lxc.containers,
                services={
                    container: f"http://{addressing.container(self._topology, inside.host).ip}/"
                    for container, inside in lxc.containers.items()
                },
            )
            made[name] = LxcCompute(self._lab, args, opts=self._opts)
            self._booted.append(made[name])
        return made

    def _commit_nodes(self) -> dict[str, local.Command]:
        """Each node's overlay learns the guests that libvirt now knows there."""
        made = {}
        guests = {
            name: component.guest
            for group in (self._sans, self._consul, self._nfs, self._lxc)
            for name, component in group.items()
        }
        for name, host in self._hosts.items():
            mine = [guests[guest] for guest in self._topology.guests_on(name)]
            made[name] = lab_command(
                f"{name}-commit",
                self._settings,
                create=["commit", name],
                wanted=[guest.domain.id for guest in mine],
                opts=pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[guest.domain for guest in mine],
                    deleted_with=host.node.domain,
                ),
            )
        return made

    def _show_commits(self, own: Mapping[str, local.Command]) -> None:
        """With a control plane any machine can commit: drift, but for the program's own."""
        if not self._topology.founder:
            return
        for name in self._topology.machines:
            mine = [own[name]] if name in own else []
            Commit(
                self._settings,
                name,
                [each.stdout for each in mine],
                pulumi.ResourceOptions(parent=self, depends_on=[self._boot_server, *mine]),
            )

    def _move_boot_server(self) -> None:
        """As soon as its volume and its node are there (seed); home before its domain goes."""
        for name, to in self._topology.moves.items():
            server, node = self._boot_server, self._nodes[to]
            volumes, _size = self._volumes(self._topology.of(topology.Founder)[name])
            lab_command(
                f"{name}-move",
                self._settings,
                create=["boot-server", "move", to],
                delete=["boot-server", "move", access.LAB_MACHINE],
                wanted=[server.domain.id, node.domain.id],
                opts=pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[server, node, *volumes],
                    deleted_with=node.domain,
                    replace_on_changes=["environment"],
                    delete_before_replace=True,
                ),
            )
