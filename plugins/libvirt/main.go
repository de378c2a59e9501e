// Pulumi's libvirt plugin for machines that cannot download one: terraform-provider-libvirt
// behind Pulumi's bridge, changed so that hosts which are switched off do no harm.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"

	"rack-lab/plugins/libvirt/provider"
)

// Made by `go generate ./schema`, once per version of what the plugin wraps.
//
//go:embed schema/schema.json
var schema []byte

// Set by the linker to the version that the Python SDK asks for.
var version = "0.0.0"

func main() {
	if err := endWithEngine(os.Args[len(os.Args)-1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	tfbridge.Main("libvirt", version, provider.Info(version), schema)
}

// endWithEngine ends this process soon after the engine at address, which a SIGKILL keeps from
// saying so: the ssh tunnels to the nodes would stay for good. Pulumi's own frame for plugins does
// the same since it can, the bridge's doesn't. Without an address there is no engine to end with.
func endWithEngine(address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil
	}
	gone := func() { os.Exit(1) }
	return rpcutil.Healthcheck(context.Background(), address, 2*time.Second, gone)
}
