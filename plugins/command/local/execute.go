// Package local runs commands on the machine where Pulumi runs.
package local

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// How long a command's streams are read on after it has ended: a daemon that it started may
// hold them open for ever.
const streamsAfterEnd = 2 * time.Second

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

// How is what Command and Run have in common.
type How struct {
	AddPreviousOutputInEnv *bool              `pulumi:"addPreviousOutputInEnv,optional"`
	ArchivePaths           *[]string          `pulumi:"archivePaths,optional"`
	AssetPaths             *[]string          `pulumi:"assetPaths,optional"`
	Dir                    *string            `pulumi:"dir,optional"`
	Environment            *map[string]string `pulumi:"environment,optional"`
	Interpreter            *[]string          `pulumi:"interpreter,optional"`
	Logging                *Logging           `pulumi:"logging,optional"`
	Stdin                  *string            `pulumi:"stdin,optional"`
}

// Outcome is what a run leaves.
type Outcome struct {
	Archive *resource.Archive                `pulumi:"archive,optional"`
	Assets  *map[string]types.AssetOrArchive `pulumi:"assets,optional"`
	Stderr  string                           `pulumi:"stderr"`
	Stdout  string                           `pulumi:"stdout"`
}

// execute runs a command and returns what it left; `before` is what the last one left.
func (how How) execute(ctx context.Context, command string, before Outcome) (Outcome, error) {
	words := []string{"/bin/sh", "-c"}
	if how.Interpreter != nil && len(*how.Interpreter) > 0 {
		words = append([]string{}, *how.Interpreter...)
	}
	words = append(words, command)
	program := exec.CommandContext(ctx, words[0], words[1:]...)
	program.Env = how.variables(before)
	if how.Dir != nil {
		program.Dir = *how.Dir
	}
	if how.Stdin != nil {
		program.Stdin = strings.NewReader(*how.Stdin)
	}
	output := newOutput(ctx, shown((*string)(how.Logging)))
	program.Stdout, program.Stderr = output.Stdout, output.Stderr
	program.WaitDelay = streamsAfterEnd
	// A group of its own, so that stopping the command stops what it started.
	program.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	program.Cancel = func() error { return syscall.Kill(-program.Process.Pid, syscall.SIGTERM) }
	if err := program.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return before, output.Failed(command, err)
	}
	after := Outcome{}
	after.Stdout, after.Stderr = output.Result()
	err := how.collect(&after)
	return after, err
}

func (how How) variables(before Outcome) []string {
	result := os.Environ()
	if how.Environment != nil {
		for name, value := range *how.Environment {
			result = append(result, name+"="+value)
		}
	}
	for name, value := range previous(how.AddPreviousOutputInEnv, before.Stdout, before.Stderr) {
		result = append(result, name+"="+value)
	}
	return result
}
