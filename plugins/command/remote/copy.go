package remote

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/pkg/sftp"
	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// CopyToRemote is the resource command:remote:CopyToRemote.
type CopyToRemote struct{}

// CopyToRemoteInputs are its inputs, which are its state too.
type CopyToRemoteInputs struct {
	Connection Connection           `pulumi:"connection" provider:"secret"`
	RemotePath string               `pulumi:"remotePath"`
	Source     types.AssetOrArchive `pulumi:"source"`
	Triggers   *[]any               `pulumi:"triggers,optional" provider:"replaceOnChanges"`
}

// CopyToRemoteState is its state.
type CopyToRemoteState struct{ CopyToRemoteInputs }

// Annotate describes the resource in the schema.
func (c *CopyToRemote) Annotate(a infer.Annotator) {
	a.Describe(&c, "Copy an Asset or Archive to a remote host.")
}

// Check refuses sources that are not here to be read.
func (*CopyToRemote) Check(
	ctx context.Context, request infer.CheckRequest,
) (infer.CheckResponse[CopyToRemoteInputs], error) {
	inputs, failures, err := infer.DefaultCheck[CopyToRemoteInputs](ctx, request.NewInputs)
	refuse := func(reason string) {
		failures = append(failures, provider.CheckFailure{Property: "source", Reason: reason})
	}
	known := !request.NewInputs.Get("source").HasComputed()
	switch asset, archive := inputs.Source.Asset, inputs.Source.Archive; {
	case asset != nil && !asset.IsPath() && !asset.IsText():
		refuse("an asset must be a FileAsset or a StringAsset")
	case archive != nil && !archive.IsPath():
		refuse("an archive must be a FileArchive")
	case asset == nil && archive == nil && known:
		refuse("an asset or an archive must be given")
	}
	return infer.CheckResponse[CopyToRemoteInputs]{Inputs: inputs, Failures: failures}, err
}

// Create copies.
func (*CopyToRemote) Create(
	ctx context.Context, request infer.CreateRequest[CopyToRemoteInputs],
) (infer.CreateResponse[CopyToRemoteState], error) {
	result := infer.CreateResponse[CopyToRemoteState]{Output: CopyToRemoteState{request.Inputs}}
	var err error
	if result.ID, err = resource.NewUniqueHex(request.Name, 8, 0); err != nil || request.DryRun {
		return result, err
	}
	return result, request.Inputs.copy(ctx)
}

// Update copies again if the source or the path changed.
func (*CopyToRemote) Update(
	ctx context.Context, request infer.UpdateRequest[CopyToRemoteInputs, CopyToRemoteState],
) (infer.UpdateResponse[CopyToRemoteState], error) {
	result := infer.UpdateResponse[CopyToRemoteState]{Output: CopyToRemoteState{request.Inputs}}
	same := request.Inputs.hash() == request.State.hash() && request.Inputs.RemotePath == request.State.RemotePath
	if request.DryRun || same {
		return result, nil
	}
	return result, request.Inputs.copy(ctx)
}

func (in CopyToRemoteInputs) hash() string {
	if in.Source.Asset != nil {
		return in.Source.Asset.Hash
	}
	if in.Source.Archive != nil {
		return in.Source.Archive.Hash
	}
	return ""
}

func (in CopyToRemoteInputs) copy(ctx context.Context) error {
	return in.Connection.withFiles(ctx, func(files *sftp.Client) error {
		switch asset := in.Source.Asset; {
		case asset == nil:
			return upload(files, in.Source.Archive.Path, in.RemotePath)
		case asset.IsPath():
			return upload(files, asset.Path, in.RemotePath)
		default:
			if there, err := stat(files, in.RemotePath); err == nil && there != nil && there.IsDir() {
				return fmt.Errorf("%s is a folder; a StringAsset needs the path of a file", in.RemotePath)
			}
			return write(files, strings.NewReader(asset.Text), in.RemotePath)
		}
	})
}

// CopyFile is the resource command:remote:CopyFile, the predecessor of CopyToRemote.
type CopyFile struct{}

// CopyFileInputs are its inputs.
type CopyFileInputs struct {
	Connection Connection `pulumi:"connection" provider:"secret"`
	LocalPath  string     `pulumi:"localPath"`
	RemotePath string     `pulumi:"remotePath"`
	Triggers   *[]any     `pulumi:"triggers,optional" provider:"replaceOnChanges"`
}

// CopyFileState is its state.
type CopyFileState struct{ CopyFileInputs }

// Annotate describes the resource in the schema.
func (c *CopyFile) Annotate(a infer.Annotator) {
	a.Describe(&c, "Copy a local file to a remote host.")
	a.Deprecate(&c, "This resource is deprecated and will be removed in a future release. "+
		"Please use the `CopyToRemote` resource instead.")
}

// Create copies the file.
func (*CopyFile) Create(
	ctx context.Context, request infer.CreateRequest[CopyFileInputs],
) (infer.CreateResponse[CopyFileState], error) {
	result := infer.CreateResponse[CopyFileState]{Output: CopyFileState{request.Inputs}}
	var err error
	if result.ID, err = resource.NewUniqueHex(request.Name, 8, 0); err != nil || request.DryRun {
		return result, err
	}
	return result, request.Inputs.copy(ctx)
}

// Update copies the file again, unless nothing but the connection changed.
func (*CopyFile) Update(
	ctx context.Context, request infer.UpdateRequest[CopyFileInputs, CopyFileState],
) (infer.UpdateResponse[CopyFileState], error) {
	result := infer.UpdateResponse[CopyFileState]{Output: CopyFileState{request.Inputs}}
	before := request.State.CopyFileInputs
	before.Connection = request.Inputs.Connection
	if request.DryRun || reflect.DeepEqual(before, request.Inputs) {
		return result, nil
	}
	return result, request.Inputs.copy(ctx)
}

func (in CopyFileInputs) copy(ctx context.Context) error {
	return in.Connection.withFiles(ctx, func(files *sftp.Client) error {
		return upload(files, in.LocalPath, in.RemotePath)
	})
}
