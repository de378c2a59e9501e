// Writes schema.json, the description of the plugin that Pulumi reads.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfgen"

	"rack-lab/plugins/libvirt/provider"
)

//go:generate go run . schema --skip-docs --out .
//go:generate rm Pulumi.yaml

func main() {
	// The number is the only one pulumi accepts from an untagged build; the plugin
	// answers with its own.
	tfgen.Main("libvirt", "0.0.1", provider.Info("0.0.1"))
}
