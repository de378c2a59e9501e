package provider

import (
	"context"
	"regexp"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/dmacvicar/terraform-provider-libvirt/libvirt"
	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
)

var machineType = regexp.MustCompile(`<type [^>]*machine=['"]([^'"]+)['"]`)

// keepMachine corrects how the provider reads a domain's machine type: it turns pc-i440fx-7.2
// into the alias pc, which would be a difference, and so a replacement, at every run.
func keepMachine(kind string, inner operation) operation {
	if kind != "libvirt_domain" {
		return inner
	}
	return func(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
		wanted := d.Get("machine").(string)
		result := inner(ctx, d, meta)
		if wanted != "" && d.Id() != "" && d.Get("machine").(string) != wanted &&
			machineOf(d.Id(), connection(meta.(*libvirt.Client))) == wanted {
			_ = d.Set("machine", wanted)
		}
		return result
	}
}

func machineOf(id string, l *rpc.Libvirt) string {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return ""
	}
	domain, err := l.DomainLookupByUUID(rpc.UUID(parsed))
	if err != nil {
		return ""
	}
	description, err := l.DomainGetXMLDesc(domain, 0)
	if err != nil {
		return ""
	}
	if found := machineType.FindStringSubmatch(description); found != nil {
		return found[1]
	}
	return ""
}
