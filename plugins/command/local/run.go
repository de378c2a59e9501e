package local

import (
	"context"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// Run is the function command:local:run, which runs at every preview and every deployment.
type Run struct{}

// RunInputs are its inputs.
type RunInputs struct {
	How
	Command string `pulumi:"command"`
}

// RunOutputs are its results.
type RunOutputs struct {
	RunInputs
	Outcome
}

// Annotate describes the function in the schema.
func (r *Run) Annotate(a infer.Annotator) {
	a.Describe(&r, "A local command to be executed at every preview and every deployment.")
}

// Invoke runs the command.
func (*Run) Invoke(
	ctx context.Context, request infer.FunctionRequest[RunInputs],
) (infer.FunctionResponse[RunOutputs], error) {
	outcome, err := request.Input.execute(ctx, request.Input.Command, Outcome{})
	return infer.FunctionResponse[RunOutputs]{Output: RunOutputs{request.Input, outcome}}, err
}
