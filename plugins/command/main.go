// Pulumi's command plugin for machines that cannot download one: commands, local ones and
// over ssh, as resources, as the pulumi_command SDK describes them.
//
// Two things differ from the original on purpose: a change of nothing but the connection
// re-runs nothing, and one ssh connection serves all resources that name the same one.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/middleware/schema"

	"rack-lab/plugins/command/local"
	"rack-lab/plugins/command/remote"
)

// Set by the linker to the version that the Python SDK asks for.
var version = "0.0.0"

func main() {
	plugin := infer.Provider(infer.Options{
		Metadata: schema.Metadata{
			DisplayName: "Command",
			Description: "Run commands on this machine and over ssh as part of a resource's life.",
			License:     "Apache-2.0",
		},
		Resources: []infer.InferredResource{
			infer.Resource(&local.Command{}),
			infer.Resource(&remote.Command{}),
			infer.Resource(&remote.CopyToRemote{}),
			infer.Resource(&remote.CopyFile{}),
		},
		Functions: []infer.InferredFunction{infer.Function(&local.Run{})},
	})
	plugin.Diff = compareValues(plugin.Diff)
	if err := plugin.Run(context.Background(), "command", version); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
