package remote

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"golang.org/x/crypto/ssh"

	"rack-lab/plugins/command/script"
)

// Logging says which streams appear in Pulumi's output.
type Logging string

// Values are the ones the SDK knows.
func (Logging) Values() []infer.EnumValue[Logging] {
	return []infer.EnumValue[Logging]{
		{Name: "stdout", Value: "stdout", Description: "Capture stdout in logs but not stderr"},
		{Name: "stderr", Value: "stderr", Description: "Capture stderr in logs but not stdout"},
		{Name: "stdoutAndStderr", Value: "stdoutAndStderr", Description: "Capture stdout and stderr in logs"},
		{Name: "none", Value: "none", Description: "Capture no logs"},
	}
}

// Command is the resource command:remote:Command.
type Command struct{}

// CommandInputs are its inputs.
type CommandInputs struct {
	AddPreviousOutputInEnv *bool              `pulumi:"addPreviousOutputInEnv,optional"`
	Connection             Connection         `pulumi:"connection" provider:"secret"`
	Create                 *string            `pulumi:"create,optional"`
	Delete                 *string            `pulumi:"delete,optional"`
	Environment            *map[string]string `pulumi:"environment,optional"`
	Logging                *Logging           `pulumi:"logging,optional"`
	Stdin                  *string            `pulumi:"stdin,optional"`
	Triggers               *[]any             `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Update                 *string            `pulumi:"update,optional"`
}

// CommandState is its state.
type CommandState struct {
	CommandInputs
	Stderr string `pulumi:"stderr"`
	Stdout string `pulumi:"stdout"`
}

// Annotate describes the resource in the schema.
func (c *Command) Annotate(a infer.Annotator) {
	a.Describe(&c, "A command to run on a remote host. The connection is established via ssh.")
}

// WireDependencies says what the output follows from. The connection is not among it: it is
// secret, and a command's output is not for that.
func (*Command) WireDependencies(f infer.FieldSelector, in *CommandInputs, state *CommandState) {
	causes := []infer.InputField{
		f.InputField(&in.Create), f.InputField(&in.Update), f.InputField(&in.Stdin),
		f.InputField(&in.Environment), f.InputField(&in.Triggers),
	}
	f.OutputField(&state.Connection).AlwaysSecret()
	f.OutputField(&state.Stdout).DependsOn(causes...)
	f.OutputField(&state.Stderr).DependsOn(causes...)
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
		err = result.Output.run(ctx, *request.Inputs.Create)
	}
	return result, err
}

// Update runs the update command, or the create command if there is none; unless nothing but
// the connection changed, which says how to get there, not what is to be there.
func (*Command) Update(
	ctx context.Context, request infer.UpdateRequest[CommandInputs, CommandState],
) (infer.UpdateResponse[CommandState], error) {
	result := infer.UpdateResponse[CommandState]{
		Output: CommandState{request.Inputs, request.State.Stderr, request.State.Stdout},
	}
	before := request.State.CommandInputs
	before.Connection = request.Inputs.Connection
	command := request.Inputs.Update
	if command == nil {
		command = request.Inputs.Create
	}
	if request.DryRun || command == nil || reflect.DeepEqual(before, request.Inputs) {
		return result, nil
	}
	err := result.Output.run(ctx, *command)
	return result, err
}

// Delete runs the delete command.
func (*Command) Delete(
	ctx context.Context, request infer.DeleteRequest[CommandState],
) (infer.DeleteResponse, error) {
	if request.State.Delete == nil {
		return infer.DeleteResponse{}, nil
	}
	return infer.DeleteResponse{}, request.State.run(ctx, *request.State.Delete)
}

// run runs a command on the machine and puts its output into the state.
func (s *CommandState) run(ctx context.Context, command string) error {
	session, done, err := shared.session(ctx, s.Connection)
	if err != nil {
		return err
	}
	defer done()
	defer func() { _ = session.Close() }()
	defer context.AfterFunc(ctx, func() { _ = session.Signal(ssh.SIGTERM); _ = session.Close() })()
	if err := s.setVariables(ctx, session); err != nil {
		return err
	}
	if s.Stdin != nil {
		session.Stdin = strings.NewReader(*s.Stdin)
	}
	output := script.NewOutput(ctx, script.Shown((*string)(s.Logging)))
	session.Stdout, session.Stderr = output.Stdout, output.Stderr
	if err := session.Run(command); err != nil {
		return output.Failed(command, s.why(err))
	}
	s.Stdout, s.Stderr = output.Result()
	return nil
}

// why says in which way a command ended badly.
func (s *CommandState) why(err error) error {
	var exit *ssh.ExitError
	if errors.As(err, &exit) && exit.Signal() == "" {
		return fmt.Errorf("exit status %d on %s", exit.ExitStatus(), s.Connection.Host)
	}
	return fmt.Errorf("lost on %s: %w", s.Connection.Host, err)
}

// setVariables sets the environment. A server that refuses what the user asked for is an
// error. One that refuses the previous output is not: nobody asked, and few allow it.
func (s *CommandState) setVariables(ctx context.Context, session *ssh.Session) error {
	if s.Environment != nil {
		for name, value := range *s.Environment {
			if err := session.Setenv(name, value); err != nil {
				return fmt.Errorf("%s does not accept the variable %s (%w): list it under AcceptEnv in its sshd's "+
					"configuration, or write `%s=... command`", s.Connection.Host, name, err, name)
			}
		}
	}
	for name, value := range script.Previous(s.AddPreviousOutputInEnv, s.Stdout, s.Stderr) {
		if err := session.Setenv(name, value); err != nil {
			provider.GetLogger(ctx).Debugf("%s does not accept the variable %s", s.Connection.Host, name)
		}
	}
	return nil
}
