package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/dmacvicar/terraform-provider-libvirt/libvirt"
	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
)

// The lab machine's name in the program's ssh configuration; it has no power switch.
const labMachine = "labmachine"

type operation = func(context.Context, *schema.ResourceData, any) diag.Diagnostics

// guardResource makes a resource's operations connect first, and say what to do when the
// host can't be reached.
func guardResource(name string, resource *schema.Resource) {
	create, read, update, remove := resource.CreateContext, resource.ReadContext, resource.UpdateContext,
		resource.DeleteContext
	resource.CreateContext = connected(mustReach, func(ctx context.Context, d *schema.ResourceData, c *libvirt.Client) diag.Diagnostics {
		if err := clearRemnant(name, d, connection(c)); err != nil {
			return diag.FromErr(err)
		}
		return keepMachine(name, create)(ctx, d, c)
	})
	resource.ReadContext = again(connected(keepState, func(ctx context.Context, d *schema.ResourceData, c *libvirt.Client) diag.Diagnostics {
		return keepMachine(name, read)(ctx, d, c)
	}))
	if update != nil {
		resource.UpdateContext = connected(mustReach, func(ctx context.Context, d *schema.ResourceData, c *libvirt.Client) diag.Diagnostics {
			return update(ctx, d, c)
		})
	}
	resource.DeleteContext = connected(mustReachToDelete, func(ctx context.Context, d *schema.ResourceData, c *libvirt.Client) diag.Diagnostics {
		if gone(name, d.Id(), connection(c)) {
			return nil
		}
		return remove(ctx, d, c)
	})
}

// connected is an operation that runs with the connection, or `otherwise` without one.
func connected(
	otherwise func(context.Context, *schema.ResourceData, *host, error) diag.Diagnostics,
	then func(context.Context, *schema.ResourceData, *libvirt.Client) diag.Diagnostics,
) operation {
	return func(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
		target := meta.(*host)
		client, err := target.connect()
		if err != nil {
			return otherwise(ctx, d, target, err)
		}
		return then(ctx, d, client)
	}
}

// again runs a read once more if it lost the connection on the way: what the host was asked
// over may have broken long before, when the host lost its power.
func again(read operation) operation {
	return func(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
		result := read(ctx, d, meta)
		if result.HasError() && meta.(*host).lost() {
			return read(ctx, d, meta)
		}
		return result
	}
}

func mustReach(_ context.Context, _ *schema.ResourceData, h *host, err error) diag.Diagnostics {
	return diag.Errorf("%s\n%s, then run pulumi up again", unreachable(h, err), remedy(h))
}

func mustReachToDelete(_ context.Context, _ *schema.ResourceData, h *host, err error) diag.Diagnostics {
	return diag.Errorf("%s\n%s, then run it again; or remove the node's domain as well: "+
		"`pulumi destroy` skips what lived inside a machine that is deleted with it", unreachable(h, err), remedy(h))
}

// keepState leaves a resource as it was last seen: a node that is off is not a change. An
// import has seen nothing yet, so it fails.
func keepState(ctx context.Context, d *schema.ResourceData, h *host, err error) diag.Diagnostics {
	if d.Get("name").(string) == "" {
		return mustReach(ctx, d, h, err)
	}
	// A warning among the diagnostics would only reach the debug log.
	tfbridge.GetLogger(ctx).Warn(unreachable(h, err) + "; kept as last seen")
	return nil
}

func unreachable(h *host, err error) string {
	return fmt.Sprintf("libvirt on %s (%s) can't be reached: %s", h.name(), h.address(), err)
}

func remedy(h *host) string {
	lab := "lab"
	if stack := h.stack(); stack != "" {
		lab += " --stack " + stack
	}
	name := h.name()
	if name == labMachine || name == "this machine" || strings.HasPrefix(name, "127.") {
		return fmt.Sprintf("start the lab machine: %[1]s machine up (or %[1]s doctor to see what is wrong)", lab)
	}
	return fmt.Sprintf("switch the node on: %[2]s power %[1]s on (or %[2]s ssh %[1]s to look)", name, lab)
}

// guardDataSource makes the functions that ask a host connect first. The templates need none.
func guardDataSource(name string, source *schema.Resource) {
	if !strings.HasPrefix(name, "libvirt_node_") {
		return
	}
	read := source.Read
	source.Read = func(d *schema.ResourceData, meta any) error {
		target := meta.(*host)
		client, err := target.connect()
		if err != nil {
			return fmt.Errorf("%s\n%s", unreachable(target, err), remedy(target))
		}
		return read(d, client)
	}
}
