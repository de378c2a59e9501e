// Pulumi's command plugin for machines that cannot download one: local commands as resources, as
// the pulumi_command SDK describes them. Its remote ones aren't served: whatever runs elsewhere runs
// by the user's own ssh (docs/decisions/0002).
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/middleware/schema"

	"rack-lab/plugins/command/local"
)

// Set by the linker to the version that the Python SDK asks for.
var version = "0.0.0"

func main() {
	plugin := infer.Provider(infer.Options{
		Metadata: schema.Metadata{
			DisplayName: "Command",
			Description: "Run commands on this machine as part of a resource's life.",
			License:     "Apache-2.0",
		},
		Resources: []infer.InferredResource{
			infer.Resource(&local.Command{}),
		},
		Functions: []infer.InferredFunction{infer.Function(&local.Run{})},
	})
	plugin.Diff = compareValues(plugin.Diff)
	if err := plugin.Run(context.Background(), "command", version); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
