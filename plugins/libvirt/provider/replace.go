package provider

import (
	"strings"

	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
)

// notUpdated lists what the provider (0.8.3) accepts a change of and then ignores. Left out is
// what it does update: a domain's autostart and cloudinit, the DHCP hostname of its network
// interfaces, a network's autostart and DNS hosts; and `running`, which Pulumi's program
// ignores, and qemu_agent and wait_for_lease, which only tell the provider how to look.
var notUpdated = map[string][]string{
	"libvirt_domain": {
		"arch", "boot_device", "console", "disk", "emulator", "filesystem", "initrd", "kernel",
		"machine", "metadata", "tpm", "video", "xml",
		"network_interface.bridge", "network_interface.mac", "network_interface.macvtap",
		"network_interface.network_id", "network_interface.network_name",
		"network_interface.passthrough", "network_interface.private", "network_interface.vepa",
	},
	"libvirt_network": {"dns.enabled", "dns.local_only", "dnsmasq_options", "mtu"},
}

// replaceWhatIsNotUpdated makes such a change replace the resource instead.
func replaceWhatIsNotUpdated(name string, resource *schema.Resource) {
	for _, path := range notUpdated[name] {
		block, field, nested := strings.Cut(path, ".")
		if nested {
			forceNew(resource.Schema[block].Elem.(*schema.Resource).Schema[field])
		} else {
			forceNew(resource.Schema[block])
		}
	}
}

func forceNew(field *schema.Schema) {
	field.ForceNew = true
	if block, ok := field.Elem.(*schema.Resource); ok {
		for _, inner := range block.Schema {
			forceNew(inner)
		}
	}
}
