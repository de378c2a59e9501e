package local

import (
	"context"
	"reflect"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Command is the resource command:local:Command.
type Command struct{}

// CommandInputs are its inputs.
type CommandInputs struct {
	How
	Create   *string `pulumi:"create,optional"`
	Delete   *string `pulumi:"delete,optional"`
	Triggers *[]any  `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Update   *string `pulumi:"update,optional"`
}

// CommandState is its state.
type CommandState struct {
	CommandInputs
	Outcome
}

// Annotate describes the resource in the schema.
func (c *Command) Annotate(a infer.Annotator) {
	a.Describe(&c, "A local command to be executed.")
}

// WireDependencies says what the output follows from: it is secret, or unknown in a preview,
// when one of these is.
func (*Command) WireDependencies(f infer.FieldSelector, in *CommandInputs, state *CommandState) {
	causes := []infer.InputField{
		f.InputField(&in.Create), f.InputField(&in.Update), f.InputField(&in.Stdin), f.InputField(&in.Environment),
		f.InputField(&in.Triggers), f.InputField(&in.Dir), f.InputField(&in.Interpreter),
	}
	f.OutputField(&state.Stdout).DependsOn(causes...)
	f.OutputField(&state.Stderr).DependsOn(causes...)
	f.OutputField(&state.Assets).DependsOn(append(causes, f.InputField(&in.AssetPaths))...)
	f.OutputField(&state.Archive).DependsOn(append(causes, f.InputField(&in.ArchivePaths))...)
}

// Create runs the create command.
func (*Command) Create(
	ctx context.Context, request infer.CreateRequest[CommandInputs],
) (infer.CreateResponse[CommandState], error) {
	result := infer.CreateResponse[CommandState]{Output: CommandState{CommandInputs: request.Inputs}}
	var err error
	if result.ID, err = resource.NewUniqueHex(request.Name, 8, 0); err != nil || request.DryRun {
		return result, err
	}
	if request.Inputs.Create != nil {
		result.Output.Outcome, err = request.Inputs.execute(ctx, *request.Inputs.Create, Outcome{})
	}
	return result, err
}

// Update runs the update command, or the create command if there is none.
func (*Command) Update(
	ctx context.Context, request infer.UpdateRequest[CommandInputs, CommandState],
) (infer.UpdateResponse[CommandState], error) {
	result := infer.UpdateResponse[CommandState]{Output: CommandState{request.Inputs, request.State.Outcome}}
	command := request.Inputs.Update
	if command == nil {
		command = request.Inputs.Create
	}
	if request.DryRun || command == nil || reflect.DeepEqual(request.Inputs, request.State.CommandInputs) {
		return result, nil
	}
	var err error
	result.Output.Outcome, err = request.Inputs.execute(ctx, *command, request.State.Outcome)
	return result, err
}

// Delete runs the delete command.
func (*Command) Delete(
	ctx context.Context, request infer.DeleteRequest[CommandState],
) (infer.DeleteResponse, error) {
	if request.State.Delete == nil {
		return infer.DeleteResponse{}, nil
	}
	how := request.State.How
	how.AssetPaths, how.ArchivePaths = nil, nil // nobody would see them
	_, err := how.execute(ctx, *request.State.Delete, request.State.Outcome)
	return infer.DeleteResponse{}, err
}
