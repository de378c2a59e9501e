"""The program Pulumi runs: settings, the rack, its exports."""

import pulumi

from components.rack import Rack
from config.bill import bill, summary
from config.errors import ConfigError
from config.settings import load_settings
from lab import logs, mirror
from lab.ground import check_ground
from lab.survey import KEYS

try:
    looks = pulumi.runtime.is_dry_run()  # a preview contacts no machine and writes nothing
    settings = load_settings(pulumi.get_stack(), pulumi.Config("lab").get, keep=not looks)
    if not looks:
        logs.keep(settings.stack, "program")
    pulumi.log.info(summary(bill(settings.topology), settings.memory))
    if notice := mirror.notice(settings):
        pulumi.log.warn(notice)
    for node in () if looks else check_ground(settings):
        pulumi.log.warn(
            f"{node} is off: what lives there is kept as last seen. "
            f"To switch it on: {settings.power_on(node)}"
        )
except (ConfigError, OSError) as error:
    raise pulumi.RunError(str(error)) from None

rack = Rack(settings)
pulumi.export("services", rack.services)
pulumi.export(KEYS, settings.admin_key.public)  # no secret; tells another clone its seed differs
