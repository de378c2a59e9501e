// Package provider is terraform-provider-libvirt as this project needs it: it connects when
// it has to, outlives hosts that are off, and never answers a change with silence.
package provider

import (
	"context"

	"github.com/dmacvicar/terraform-provider-libvirt/libvirt"
	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// Info describes the plugin to Pulumi's bridge, under the names the pulumi_libvirt SDK uses.
func Info(version string) tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:           sdkv2.NewProvider(wrapped()),
		Name:        "libvirt",
		DisplayName: "libvirt",
		Version:     version,
		Description: "A Pulumi package for creating and managing libvirt resources",
		License:     "Apache-2.0",
		GitHubOrg:   "dmacvicar",
		Config: map[string]*tfbridge.SchemaInfo{
			"uri": {Default: &tfbridge.DefaultInfo{EnvVars: []string{"LIBVIRT_DEFAULT_URI"}}},
		},
		Resources: map[string]*tfbridge.ResourceInfo{
			"libvirt_cloudinit_disk": {Tok: resourceToken("cloudInitDisk", "CloudInitDisk")},
			"libvirt_combustion":     {Tok: resourceToken("combustion", "Combustion")},
			"libvirt_domain":         {Tok: resourceToken("domain", "Domain")},
			"libvirt_ignition":       {Tok: resourceToken("ignition", "Ignition")},
			"libvirt_network":        {Tok: resourceToken("network", "Network")},
			"libvirt_pool":           {Tok: resourceToken("pool", "Pool")},
			"libvirt_volume":         {Tok: resourceToken("volume", "Volume")},
		},
		DataSources: map[string]*tfbridge.DataSourceInfo{
			"libvirt_network_dns_host_template":        {Tok: functionToken("getNetworkDnsHostTemplate")},
			"libvirt_network_dns_srv_template":         {Tok: functionToken("getNetworkDnsSrvTemplate")},
			"libvirt_network_dnsmasq_options_template": {Tok: functionToken("getNetworkDnsmasqOptionsTemplate")},
			"libvirt_node_device_info":                 {Tok: functionToken("getNodeDeviceInfo")},
			"libvirt_node_devices":                     {Tok: functionToken("getNodeDevices")},
			"libvirt_node_info":                        {Tok: functionToken("getNodeInfo")},
		},
	}
	info.SetAutonaming(255, "-")
	return info
}

func resourceToken(module, name string) tokens.Type {
	return tokens.Type("libvirt:index/" + module + ":" + name)
}

func functionToken(name string) tokens.ModuleMember {
	return tokens.ModuleMember("libvirt:index/" + name + ":" + name)
}

// wrapped is the Terraform provider with this package's changes made to it.
func wrapped() *schema.Provider {
	result := libvirt.Provider()
	result.ConfigureFunc = nil
	result.ConfigureContextFunc = func(_ context.Context, d *schema.ResourceData) (any, diag.Diagnostics) {
		return &host{uri: d.Get("uri").(string)}, nil
	}
	for name, resource := range result.ResourcesMap {
		guardResource(name, resource)
		replaceWhatIsNotUpdated(name, resource)
	}
	for name, source := range result.DataSourcesMap {
		guardDataSource(name, source)
	}
	return result
}
