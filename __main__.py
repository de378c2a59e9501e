"""The program Pulumi runs: settings, the rack, its exports."""

import sys

import pulumi

from components.rack import Rack
from config.errors import ConfigError
from config.settings import load_settings
from lab.remote import reach_lab_machine

try:
    settings = load_settings(pulumi.get_stack(), pulumi.Config("lab").get)
    if not pulumi.runtime.is_dry_run():  # a preview contacts no machine
        reach_lab_machine(settings)
except ConfigError as error:
    sys.exit(str(error))

rack = Rack(settings)
pulumi.export("services", rack.services)
