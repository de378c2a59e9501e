package local

// This file owns a command's output, the variables with the previous output, and how a failure reads.

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	provider "github.com/pulumi/pulumi-go-provider"
)

// The end of its output that a failed command's error quotes.
const lastLines = 20

// streams says which of a command's streams are shown while it runs.
type streams struct{ Stdout, Stderr bool }

// shown are the streams that a `logging` input names; nil means both.
func shown(logging *string) streams {
	if logging == nil {
		return streams{true, true}
	}
	return streams{
		Stdout: *logging == "stdout" || *logging == "stdoutAndStderr",
		Stderr: *logging == "stderr" || *logging == "stdoutAndStderr",
	}
}

// captured takes a command's streams: keeps both and shows them, line by line, in Pulumi's
// output.
type captured struct {
	Stdout, Stderr io.Writer

	stdout, stderr, both locked
	lines                []*lineLogger
}

// newOutput shows what it is given through the logger of ctx.
func newOutput(ctx context.Context, shown streams) *captured {
	o := &captured{}
	o.Stdout = o.stream(ctx, &o.stdout, shown.Stdout)
	o.Stderr = o.stream(ctx, &o.stderr, shown.Stderr)
	return o
}

func (o *captured) stream(ctx context.Context, keep *locked, show bool) io.Writer {
	if !show {
		return io.MultiWriter(keep, &o.both)
	}
	line := &lineLogger{log: provider.GetLogger(ctx).Info}
	o.lines = append(o.lines, line)
	return io.MultiWriter(keep, &o.both, line)
}

// Result is the whole of both streams, without the last line's end.
func (o *captured) Result() (stdout, stderr string) {
	for _, line := range o.lines {
		line.flush()
	}
	return strings.TrimSuffix(o.stdout.String(), "\n"), strings.TrimSuffix(o.stderr.String(), "\n")
}

// Failed is the error of a command that ended badly: what it was, why, and its last words.
func (o *captured) Failed(command string, cause error) error {
	_, words := o.Result()
	if strings.TrimSpace(words) == "" {
		words = o.both.String()
	}
	lines := strings.Split(strings.TrimSpace(words), "\n")
	if len(lines) > lastLines {
		lines = lines[len(lines)-lastLines:]
	}
	first, _, more := strings.Cut(strings.TrimSpace(command), "\n")
	if more {
		first += " …"
	}
	return fmt.Errorf("running %q: %w\n%s", first, cause, strings.Join(lines, "\n"))
}

// previous are the variables with the output of the command before this one.
func previous(wanted *bool, stdout, stderr string) map[string]string {
	result := map[string]string{}
	if wanted != nil && !*wanted {
		return result
	}
	if stdout != "" {
		result["PULUMI_COMMAND_STDOUT"] = stdout
	}
	if stderr != "" {
		result["PULUMI_COMMAND_STDERR"] = stderr
	}
	return result
}

type locked struct {
	lock   sync.Mutex
	buffer bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.buffer.Write(p)
}

func (l *locked) String() string {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.buffer.String()
}

type lineLogger struct {
	log  func(string)
	lock sync.Mutex
	rest string
}

func (l *lineLogger) Write(p []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	lines := strings.Split(l.rest+string(p), "\n")
	l.rest = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		l.log(line)
	}
	return len(p), nil
}

func (l *lineLogger) flush() {
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.rest != "" {
		l.log(l.rest)
	}
	l.rest = ""
}
