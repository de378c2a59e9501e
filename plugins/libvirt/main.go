// Pulumi's libvirt plugin for machines that cannot download one: terraform-provider-libvirt
// behind Pulumi's bridge, changed so that hosts which are switched off do no harm.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"

	"rack-lab/plugins/libvirt/provider"
)

// Made by `go generate ./schema`, once per version of what the plugin wraps.
//
//go:embed schema/schema.json
var schema []byte

// Set by the linker to the version that the Python SDK asks for.
var version = "0.0.0"

func main() {
	tfbridge.Main("libvirt", version, provider.Info(version), schema)
}
