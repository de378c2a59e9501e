"""How a rack runs: which profile a lab machine has, and what a stack's options make of it."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from config import profile
from config.consul import PATIENT
from config.profile import EMULATED, KVM, Cpu, of_stack, of_virtual


@pytest.mark.parametrize("text", ["qemu64", "Westmere,+vmx,?sha-ni", "EPYC-v4,?x2apic,+sse4.1"])
def test_a_cpu_is_written_as_it_is_read(text: str) -> None:
    assert str(Cpu.parse(text)) == text


@pytest.mark.parametrize("text", ["", ",+vmx", "a b", "Westmere,", "Westmere,+", "Westmere,-vmx"])
def test_what_is_no_cpu_isn_t_read(text: str) -> None:
    with pytest.raises(ValueError):
        Cpu.parse(text)


@pytest.mark.parametrize("found", profile.PROFILES.values())
def test_nodes_have_all_that_guests_have(found: profile.Profile) -> None:
    """What moves between a lab machine and a node finds the same CPU there."""
    assert found.node_cpu.model == found.guest_cpu.model
    assert set(found.guest_cpu.features) < set(found.node_cpu.features)
    more = {name for name, _ in set(found.node_cpu.features) - set(found.guest_cpu.features)}
    assert more & {"svm", "vmx"}


def test_on_kvm_a_node_of_either_vendor_runs_guests() -> None:
    assert {("vmx", "optional"), ("svm", "optional")} < set(KVM.node_cpu.features)


def test_the_virtual_one_s_is_that_of_its_accelerator(tmp_path: Path) -> None:
    hardware = tmp_path / "hardware.json"
    assert of_virtual(hardware, None) == EMULATED
    hardware.write_text('{"accelerator": "tcg"}')
    assert of_virtual(hardware, None) == EMULATED
    assert of_virtual(hardware, 2) == replace(EMULATED, boots_at_once=2)
    hardware.write_text('{"accelerator": "kvm"}')
    assert of_virtual(hardware, 2) == KVM
    hardware.write_text("torn")
    assert of_virtual(hardware, None) == EMULATED


VALUES = {
    "profile": "emulated",
    "nodeCpu": "EPYC,+svm",
    "guestCpu": "EPYC",
    "hugePages": "false",
    "bootsAtOnce": "3",
    "timing": "patient",
    "kernel": "rack",
}


@pytest.mark.parametrize("key", VALUES)
def test_each_value_is_one_option(key: str) -> None:
    made = of_stack("mini", {key: VALUES[key]}.get, KVM)
    assert dict(made.shown())[key] == VALUES[key]
    others = {name: value for name, value in made.shown() if name != key}
    if key != "profile":
        assert others == {name: value for name, value in KVM.shown() if name != key}
    assert of_stack("mini", lambda _: None, KVM) == KVM


def test_all_that_is_shown_is_an_option_and_can_be_written_back() -> None:
    for found in profile.PROFILES.values():
        shown = dict(found.shown())
        assert set(shown) == set(VALUES)
        assert of_stack("mini", shown.get, KVM) == found
    assert {each.name for each in fields(EMULATED)} == {
        "name", "cpu_check", *profile.KEYS.values()
    }  # fmt: skip


def test_one_value_of_another_profile_can_be_taken() -> None:
    made = of_stack("mini", {"timing": "patient"}.get, KVM)
    assert made == replace(KVM, timing=PATIENT)
