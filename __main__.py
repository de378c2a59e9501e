"""The program Pulumi runs: settings, the rack, its exports."""

import sys

import pulumi

from components.rack import Rack
from config.errors import ConfigError
from config.settings import load_settings

try:
    settings = load_settings(pulumi.get_stack(), pulumi.Config("lab").get)
except ConfigError as error:
    sys.exit(str(error))

rack = Rack(settings)
pulumi.export("services", rack.services)
