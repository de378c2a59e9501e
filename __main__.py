"""The program Pulumi runs: settings, the rack, its exports."""

import pulumi

from components.rack import Rack
from config.bill import bill, summary
from config.errors import ConfigError
from config.settings import load_settings
from lab.power import nodes_off

try:
    settings = load_settings(pulumi.get_stack(), pulumi.Config("lab").get)
    pulumi.log.info(summary(bill(settings.topology), settings.memory))
    if not pulumi.runtime.is_dry_run():  # a preview contacts no machine
        for node in nodes_off(settings):
            pulumi.log.warn(
                f"{node} is off: what lives there is kept as last seen. "
                f"To switch it on: {settings.power_on(node)}"
            )
except ConfigError as error:
    raise pulumi.RunError(str(error)) from None

rack = Rack(settings)
pulumi.export("services", rack.services)
